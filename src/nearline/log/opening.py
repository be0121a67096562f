"""Open a log by URL."""

from pathlib import Path
from typing import Literal, overload

from nearline.errors import InvalidInput
from nearline.log.base import Log, ReadOnlyLog
from nearline.log.reader import LogReader
from nearline.log.sqlite import SQLiteLog

MEMORY = "sqlite::memory:"
_PREFIX = "sqlite://"


def url_of(path: Path) -> str:
    """Return the URL of the SQLite log in a file."""
    return f"{_PREFIX}{path.absolute()}"


@overload
def open_log(url: str, *, read_only: Literal[False] = False) -> Log: ...
@overload
def open_log(url: str, *, read_only: Literal[True]) -> ReadOnlyLog: ...
def open_log(url: str, *, read_only: bool = False) -> Log | ReadOnlyLog:
    """Open the log at `url`, and create it where it does not exist.

    Parameters
    ----------
    url : str
        ``sqlite:///absolute/path``, ``sqlite::memory:``, or a plain path.
    read_only : bool
        Read the records of an existing log that another process may have open: no lock is taken
        and nothing is written.

    Raises
    ------
    InvalidInput
        The scheme is unknown, or a log in memory is to be opened read-only.
    DataNotFound, Damaged, StoreInUse
        As for the log itself.
    """
    if url == MEMORY:
        if read_only:
            raise InvalidInput("a log in memory cannot be opened read-only", field="url")
        return SQLiteLog(None)
    if url.startswith(_PREFIX):
        url = url.removeprefix(_PREFIX)
    elif ":" in url.split("/", 1)[0]:
        scheme = url.split(":", 1)[0]
        raise InvalidInput(
            f"no log is known under the scheme {scheme!r}; known are sqlite:///path, "
            f"{MEMORY} and a plain path",
            field="url",
        )
    return LogReader(Path(url)) if read_only else SQLiteLog(Path(url))
