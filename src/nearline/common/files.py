"""Files: durable on the disk, written in pieces, or overwritten before they are removed."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
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


def sync_path(path: Path) -> None:
    """Make a file durable, or the names in a folder, so that a file that was renamed has its name.

    What other processes or objects wrote to the file is included.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def overwrite(path: Path) -> None:
    """Overwrite a file with zeros, durably, and remove it; do nothing if there is none."""
    with suppress(FileNotFoundError):
        size = path.stat().st_size
        with path.open("r+b") as file:
            for start in range(0, size, PIECE_BYTES):
                file.write(bytes(min(PIECE_BYTES, size - start)))
            flush_to_disk(file)
        path.unlink()
