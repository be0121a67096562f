"""One process a store: a lock that a killed process cannot leave behind."""

import os
from pathlib import Path

from filelock import FileLock, Timeout

from nearline.errors import DataNotFound, StoreInUse


class StoreLock:
    """Holds `path` for this process from construction until `release`.

    The operating system frees the lock when its holder dies, however it dies.

    Parameters
    ----------
    path : Path
        File to protect. ``<path>.lock`` is locked; ``<path>.pid`` names the holder for people.

    Raises
    ------
    StoreInUse
        If this or another process holds it.
    DataNotFound
        If its folder does not exist.
    """

    def __init__(self, path: Path) -> None:
        check_folder(path)
        # Not thread-local: whoever closes the store may be another thread than who opened it.
        self._lock = FileLock(f"{path}.lock", thread_local=False)
        # Beside the lock, not inside it: older releases of filelock empty a file they fail to lock.
        self._holder = Path(f"{path}.pid")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise StoreInUse(self._refusal(path)) from None
        self._holder.write_text(str(os.getpid()))

    def release(self) -> None:
        """Let others in; safe to call twice."""
        if self._lock.is_locked:
            self._holder.unlink(missing_ok=True)
            self._lock.release()

    def _refusal(self, path: Path) -> str:
        try:
            pid = self._holder.read_text() or "unknown"
        except FileNotFoundError:  # the holder is between taking the lock and naming itself
            pid = "unknown"
        if pid == str(os.getpid()):
            return f"{path} is already open in this process (pid {pid}); close it there first"
        return (
            f"{path} is open in process {pid}; stop that process, talk to its HTTP address, "
            "or choose another store"
        )


def check_folder(path: Path) -> None:
    """Raise `DataNotFound` unless the folder in which `path` shall stand exists."""
    if not path.parent.is_dir():
        raise DataNotFound(f"{path.parent} is not a folder; create it, or name another store")
