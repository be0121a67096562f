"""Read-only view of a log in PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path
from typing import Self

from nearline.log.base import ForgottenRows
from nearline.log.loading import load_file, rows_of
from nearline.log.postgres import session
from nearline.log.postgres.connections import Connections
from nearline.log.postgres.forgotten import rows_of as rows_of_forgotten
from nearline.log.postgres.session import check_exists, head_of
from nearline.log.postgres.target import PostgresTarget
from nearline.schema import Record


class PostgresReader:
    """Read-only view of a log in PostgreSQL, which ends where it ended when it was opened.

    Raises
    ------
    DataNotFound
        There is no log.
    LogUnavailable, InvalidInput
        As in `PostgresLog`.
    """

    def __init__(self, target: PostgresTarget) -> None:
        self._connections = Connections(target)
        try:
            check_exists(self._connections)
            with self._connections.reading() as db:
                self._head = head_of(db)
        except BaseException:
            self._connections.close()
            raise

    @property
    def seal(self) -> None:
        """None, since logs in PostgreSQL are not sealed."""
        return

    @property
    def end(self) -> int:
        """End of the log when it was opened."""
        return self._head.end

    @property
    def erasures(self) -> int:
        """Number of erasures when the log was opened."""
        return self._head.erasures

    @property
    def forgotten(self) -> ForgottenRows:
        """Hashes of erased users, which a copy of the log needs."""
        return self._connections.query(rows_of_forgotten)

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Record]]:
        """Yield (offset, record), `Erased` included, for offsets from `start` to ``stop - 1``."""
        stop = self.end if stop is None else min(stop, self.end)
        while start < stop:
            found = self._rows(start, stop)
            yield from session.records(found, self.erasures)
            start = found[-1][0] + 1

    def _rows(self, start: int, stop: int) -> list[session.Row]:
        shown = self._connections.target.shown
        return self._connections.query(lambda db: session.rows(db, start, stop, shown))

    def copy_to(self, path: Path) -> None:
        """Write a copy of the log to a new SQLite file."""
        load_file(rows_of(self), self.erasures, path, self.forgotten)

    def close(self) -> None:
        """Disconnect."""
        self._connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
