"""Lock file with which only one process at a time can open a store."""

import os
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from nearline.errors import DataNotFound, StoreInUse


class StoreLock:
    """Exclusive lock of a path, from construction until `release`.

    The operating system releases the lock when the process ends, even after a crash.

    Parameters
    ----------
    path : Path
        File to protect. ``<path>.lock`` is locked, and ``<path>.pid`` contains the ID of the
        process that holds the lock, for error messages.

    Raises
    ------
    StoreInUse
        This or another process holds the lock.
    DataNotFound
        The folder of `path` does not exist.
    """

    def __init__(self, path: Path) -> None:
        check_folder(path)
        # Not thread-local: the store may be closed by another thread than the one that opened it.
        self._lock = FileLock(f"{path}.lock", thread_local=False)
        # A file of its own, because older releases of filelock empty a file they fail to lock.
        self._holder = Path(f"{path}.pid")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise StoreInUse(self._refusal(path)) from None
        with suppress(OSError):  # a full disk: the ID is only for error messages
            self._holder.write_text(str(os.getpid()))

    def release(self) -> None:
        """Release the lock; idempotent."""
        if self._lock.is_locked:
            self._holder.unlink(missing_ok=True)
            self._lock.release()

    def _refusal(self, path: Path) -> str:
        try:
            pid = self._holder.read_text() or "unknown"
        except FileNotFoundError:  # the holder has taken the lock and not yet written its ID
            pid = "unknown"
        if pid == str(os.getpid()):
            return f"{path} is already open in this process (pid {pid}); close it there first"
        return (
            f"{path} is open in process {pid}; stop that process, send requests to its HTTP "
            "address, or choose another store"
        )


def check_folder(path: Path) -> None:
    """Raise `DataNotFound` unless the parent folder of `path` exists."""
    if not path.parent.is_dir():
        raise DataNotFound(f"{path.parent} is not a folder; create it, or name another store")
