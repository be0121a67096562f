"""Read-only access to a log that another process may have open."""

from collections.abc import Iterator
from pathlib import Path
from typing import Self

from nearline.errors import DataNotFound
from nearline.log.base import ForgottenRows
from nearline.log.burials import payloads_of, without_erased
from nearline.log.codec import decode
from nearline.log.tables import LARGE_BLOCK, Tables
from nearline.schema import Record
from nearline.sealing import Seal


class LogReader:
    """Read-only view of a log file, which ends where the log ended when it was opened.

    No lock is taken and nothing is written. Reader and writer do not wait for each other.

    Raises
    ------
    DataNotFound
        There is no such file.
    Damaged, InvalidInput, StorageFailed
        As in `SQLiteLog`.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise DataNotFound(f"there is no log at {path}; name the log file of a store")
        self._tables = Tables(path, read_only=True)
        self._end, self._erasures = self._tables.end, self._tables.erasures

    @property
    def seal(self) -> Seal | None:
        """Seal of the records; None if they are not sealed."""
        return self._tables.seal

    @property
    def end(self) -> int:
        """End of the log when it was opened."""
        return self._end

    @property
    def erasures(self) -> int:
        """Number of erasures when the log was opened."""
        return self._erasures

    @property
    def forgotten(self) -> ForgottenRows:
        """Hashes of erased users, which a copy of the log needs."""
        return self._tables.forgotten_rows()

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Record]]:
        """Yield (offset, record), `Erased` included, for offsets from `start` to ``stop - 1``."""
        yield from self._records(start, self.end if stop is None else min(stop, self.end))

    def _records(self, start: int, stop: int) -> Iterator[tuple[int, Record]]:
        hidden = self._tables.hidden
        for block in self._tables.blocks(start, stop):
            for offset, payload in block:
                record = decode(offset, payload)
                yield offset, without_erased(hidden, offset, record) if hidden else record

    def payloads(
        self, start: int = 0, stop: int | None = None
    ) -> Iterator[tuple[int, list[bytes]]]:
        """Yield the first offset and the payloads of blocks of records; see `ReadsPayloads`."""
        stop = self.end if stop is None else min(stop, self.end)
        return payloads_of(self._tables.hidden, self._tables.blocks(start, stop, LARGE_BLOCK))

    def copy_to(self, path: Path) -> None:
        """Write a copy of the log, as it is now, to a new file."""
        self._tables.copy_to(path)

    def close(self) -> None:
        """Release the file."""
        self._tables.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
