"""A disk that forgets what was not synced when the power is cut, for SQLite through apsw.

``kill -9`` does not show whether a commit was synced: the system's page cache outlives the process.
Here every write is remembered with what stood there before, until its file is synced. At the cut,
what was written since then is taken back, or comes through in part and out of order, as real disks
may have it.
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
# A database, and what stands beside it.
FILES = ("", "-wal", "-journal")


@dataclass(frozen=True)
class _Write:
    """One write since the last sync: where, what stood there, what was written, and the old size.

    `new` is None where the file was cut off at `offset`.
    """

    offset: int
    old: bytes
    new: bytes | None
    size: int


class LossyDisk(apsw.VFS):
    """The default file system of apsw inside a ``with`` block.

    After `allowed` writes and syncs the power is gone: every one fails from then on. `cut` gives
    what is left. That a file exists is taken to be durable at once.

    Parameters
    ----------
    allowed : int
        Writes and syncs before the cut.
    rng : random.Random
        Decides which unsynced writes come through.
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
        """Whether the power is gone."""
        return self._allowed <= 0

    def xOpen(self, name: Any, flags: Any) -> "_LossyFile":  # noqa: N802 (the name SQLite gives it)
        """Open a file."""
        path = name if isinstance(name, str) or name is None else name.filename()
        return _LossyFile(self, path, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        """Remove a file."""
        self.spend()
        with self._lock:
            self._pending.pop(filename, None)
        super().xDelete(filename, syncdir)

    def spend(self) -> None:
        """Count one operation; raise `apsw.IOError` where the power is gone."""
        with self._lock:
            self._allowed -= 1
            if self._allowed <= 0:
                raise apsw.IOError("the power is gone")

    def remember(self, path: str, write: _Write) -> None:
        """Keep a write until the next sync of its file."""
        with self._lock:
            self._pending.setdefault(path, []).append(write)

    def synced(self, path: str) -> None:
        """Forget the writes of a file: they are on the disk."""
        with self._lock:
            self._pending.pop(path, None)

    def cut(self, path: Path, target: Path) -> None:
        """Write to `target` what is left of the database `path` after the cut.

        A copy: connections of this process may still hold the files open. Unsynced writes of a file
        are taken back; in two cases of three some of them come through, each with even chance.
        Shared memory is no disk, and is left out.
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
    """A file of a `LossyDisk`."""

    def __init__(self, disk: LossyDisk, path: str | None, name: Any, flags: Any) -> None:
        super().__init__(BASE, name, flags)
        self._disk = disk
        self._path = path

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        """Write, remembering what stood there."""
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
        """Cut off, remembering the end."""
        self._disk.spend()
        size = self.xFileSize()
        if self._path is not None and newsize < size:
            old = super().xRead(size - newsize, newsize)
            self._disk.remember(self._path, _Write(newsize, bytes(old), None, size))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        """Bring everything to the disk."""
        self._disk.spend()
        super().xSync(flags)
        if self._path is not None:
            self._disk.synced(self._path)
