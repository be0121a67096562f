"""Replacement and removal of files whose content must not stay on the disk."""

import os
from contextlib import suppress
from pathlib import Path

_BLOCK = 1 << 20


def overwrite(path: Path) -> None:
    """Overwrite a file with zeros, durably, and remove it; do nothing if there is none."""
    with suppress(FileNotFoundError):
        size = path.stat().st_size
        with path.open("r+b") as file:
            for start in range(0, size, _BLOCK):
                file.write(bytes(min(_BLOCK, size - start)))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()


def sync_folder(folder: Path) -> None:
    """Wait until the names of the files in a folder are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
