"""Simulation of power failures for SQLite: a file system for apsw that loses unsynced writes.

Killing a process does not show whether a commit was synced, since the page cache of the operating
system survives. This file system records every write with the previous content until the file is
synced. After the simulated failure, unsynced writes are undone, or some of them are kept, as on
real disks.
"""

import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Self

import apsw

BASE = "unix"
NAME = "nearline-lossy"
# Suffixes of the files of a database.
FILES = ("", "-wal", "-journal")


@dataclass(frozen=True)
class _Write:
    """Unsynced write to a file.

    Attributes
    ----------
    offset : int
        Position in the file.
    old : bytes
        Previous content.
    new : bytes or None
        New content; None if the file was truncated at `offset`.
    size : int
        Previous size of the file.
    """

    offset: int
    old: bytes
    new: bytes | None
    size: int


class LossyDisk(apsw.VFS):
    """Context in which SQLite uses a file system with a simulated power failure.

    After `allowed` writes, truncations, syncs and deletions, all of them fail. `cut` then copies
    the content that survives. The creation of a file is durable immediately.

    Parameters
    ----------
    allowed : int
        Number of operations before the failure.
    rng : random.Random
        Source of randomness that decides which unsynced writes survive.
    """

    def __init__(self, allowed: int, rng: random.Random) -> None:
        super().__init__(NAME, base=BASE)
        self._allowed = allowed
        self._rng = rng
        self._lock = Lock()
        self._pending: dict[str, list[_Write]] = {}
        self.dropped = 0

    def __enter__(self) -> Self:
        apsw.set_default_vfs(NAME)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        apsw.set_default_vfs(BASE)
        self.unregister()

    @property
    def is_cut(self) -> bool:
        """Whether the power failure has happened."""
        return self._allowed <= 0

    def xOpen(self, name: Any, flags: Any) -> "_LossyFile":  # noqa: N802 (the name SQLite gives it)
        """Open a file; called by SQLite."""
        path = name if isinstance(name, str) or name is None else name.filename()
        return _LossyFile(self, path, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        """Delete a file; called by SQLite."""
        self.spend()
        with self._lock:
            self._pending.pop(filename, None)
        super().xDelete(filename, syncdir)

    def spend(self) -> None:
        """Count one operation; raise `apsw.IOError` after the power failure."""
        with self._lock:
            self._allowed -= 1
            if self._allowed <= 0:
                raise apsw.IOError("the power is gone")

    def remember(self, path: str, write: _Write) -> None:
        """Record a write until the next sync of its file."""
        with self._lock:
            self._pending.setdefault(path, []).append(write)

    def synced(self, path: str) -> None:
        """Discard the recorded writes of a file, which are durable now."""
        with self._lock:
            self._pending.pop(path, None)

    def cut(self, path: Path, target: Path) -> None:
        """Copy the content of the database `path` that survives the failure to `target`.

        The original files are not changed, since connections of this process may have them open.
        With probability 1/3, all unsynced writes are undone; otherwise each of them survives with
        probability 1/2. The shared-memory file is not copied, since it is not on disk.
        """
        for ending in FILES:
            left = Path(f"{path}{ending}")
            if left.exists():
                shutil.copyfile(left, f"{target}{ending}")
                self._take_back(self._pending.get(str(left), []), Path(f"{target}{ending}"))

    def _take_back(self, writes: list[_Write], file: Path) -> None:
        some = self._rng.random() < 2 / 3
        with file.open("r+b") as stream:
            for write in reversed(writes):
                stream.seek(write.offset)
                stream.write(write.old)
                stream.truncate(write.size)
            for write in writes:
                if some and write.new is not None and self._rng.random() < 0.5:
                    stream.seek(write.offset)
                    stream.write(write.new)
                else:
                    self.dropped += 1


class _LossyFile(apsw.VFSFile):
    """Open file of a `LossyDisk`."""

    def __init__(self, disk: LossyDisk, path: str | None, name: Any, flags: Any) -> None:
        super().__init__(BASE, name, flags)
        self._disk = disk
        self._path = path

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        """Write data and record the previous content; called by SQLite."""
        self._disk.spend()
        if self._path is not None:
            size = self.xFileSize()
            old = (
                super().xRead(min(len(data), max(0, size - offset)), offset)
                if offset < size
                else b""
            )
            self._disk.remember(self._path, _Write(offset, bytes(old), bytes(data), size))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        """Truncate the file and record the removed content; called by SQLite."""
        self._disk.spend()
        size = self.xFileSize()
        if self._path is not None and newsize < size:
            old = super().xRead(size - newsize, newsize)
            self._disk.remember(self._path, _Write(newsize, bytes(old), None, size))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        """Sync the file and discard its recorded writes; called by SQLite."""
        self._disk.spend()
        super().xSync(flags)
        if self._path is not None:
            self._disk.synced(self._path)
