"""Large files that are written while other files are flushed to the same disk."""

import os
from collections.abc import Iterable
from typing import BinaryIO

# Bytes after which a file is flushed to disk.
PIECE_BYTES = 8 * 1024 * 1024


def write_in_pieces(file: BinaryIO, parts: Iterable[bytes | memoryview]) -> None:
    """Write parts to a file, and flush it to disk after every `PIECE_BYTES` and at the end.

    A commit to the log waits for the disk. If a large file is flushed only at its end, a commit at
    the same time may wait until all of it is written; this bounds the wait to one piece.
    """
    unflushed = 0
    for part in parts:
        for start in range(0, len(part), PIECE_BYTES):
            piece = part[start : start + PIECE_BYTES]
            file.write(piece)
            unflushed += len(piece)
            if unflushed >= PIECE_BYTES:
                flush_to_disk(file)
                unflushed = 0
    flush_to_disk(file)


def flush_to_disk(file: BinaryIO) -> None:
    """Make what was written to a file durable."""
    file.flush()
    os.fsync(file.fileno())
