"""Opening of logs by URL."""

from pathlib import Path
from typing import Literal, overload

from nearline.errors import InvalidInput
from nearline.log.base import Log, ReadOnlyLog
from nearline.log.postgres.target import is_postgres, parse_target
from nearline.log.reader import LogReader
from nearline.log.sqlite import SQLiteLog
from nearline.log.writer import QUEUED_BYTES

MEMORY = "sqlite::memory:"
_PREFIX = "sqlite://"


def url_of(path: Path) -> str:
    """Return the URL of the SQLite log in a file."""
    return f"{_PREFIX}{path.absolute()}"


@overload
def open_log(
    url: str, *, read_only: Literal[False] = False, queue_bytes: int = QUEUED_BYTES
) -> Log: ...
@overload
def open_log(url: str, *, read_only: Literal[True]) -> ReadOnlyLog: ...
def open_log(
    url: str, *, read_only: bool = False, queue_bytes: int = QUEUED_BYTES
) -> Log | ReadOnlyLog:
    """Open the log at `url`; create it if it does not exist.

    Parameters
    ----------
    url : str
        ``sqlite:///absolute/path``, ``sqlite::memory:``, a plain path, or
        ``postgresql://user@host/database``, see `nearline.log.postgres.target`.
    read_only : bool
        Whether to open an existing log only for reading. No lock is taken and nothing is written,
        so another process may have it open.
    queue_bytes : int
        Bytes of encoded records that may wait to be written.

    Raises
    ------
    InvalidInput
        The scheme is unknown, or a log in memory is opened read-only.
    DataNotFound
        There is no log at `url` to read, or its folder does not exist.
    Damaged, StoreInUse
        As in `SQLiteLog`.
    LogUnavailable, MissingExtra
        The database cannot be reached; psycopg is not installed.
    """
    if url == MEMORY:
        if read_only:
            raise InvalidInput("a log in memory cannot be opened read-only", field="url")
        return SQLiteLog(None, queue_bytes)
    if is_postgres(url):
        # Imported here, because most stores need no PostgreSQL.
        from nearline.log.postgres.log import PostgresLog
        from nearline.log.postgres.reader import PostgresReader

        target = parse_target(url)
        return PostgresReader(target) if read_only else PostgresLog(target, queue_bytes)
    if url.startswith(_PREFIX):
        url = url.removeprefix(_PREFIX)
    elif ":" in url.split("/", 1)[0]:
        scheme = url.split(":", 1)[0]
        raise InvalidInput(
            f"the scheme {scheme!r} is not known; known are sqlite:///path, "
            f"{MEMORY}, postgresql://host/database and a plain path",
            field="url",
        )
    return LogReader(Path(url)) if read_only else SQLiteLog(Path(url), queue_bytes)
