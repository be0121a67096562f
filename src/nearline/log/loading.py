"""New logs from the rows of another one, with the same offsets and tombstones."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from nearline.errors import InvalidInput
from nearline.log.archive import TOMBSTONE
from nearline.log.base import ForgottenRows, Readable
from nearline.log.codec import Coded, encode
from nearline.log.lock import check_folder
from nearline.log.tables import Tables
from nearline.schema import Erased

_ROWS = 10_000


def rows_of(log: Readable, until: int | None = None) -> Iterator[Coded]:
    """Yield the rows of a log in order, up to the offset `until`."""
    for _, record in log.read(0, until):
        yield Coded(TOMBSTONE) if isinstance(record, Erased) else encode(record)


def load_file(rows: Iterable[Coded], erasures: int, path: Path, forgotten: ForgottenRows) -> None:
    """Write rows to a new SQLite log, with the hashes of erased users; it appears atomically.

    Raises
    ------
    InvalidInput
        The file exists.
    DataNotFound
        Its folder does not exist.
    """
    if path.exists():
        raise InvalidInput(f"{path} exists; name a file that does not", field="path")
    check_folder(path)
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    tables, left = Tables(partial), iter(rows)
    try:
        while some := list(islice(left, _ROWS)):
            tables.insert(some)
        tables.count_erasures(erasures, forgotten)
    finally:
        tables.close()
    partial.rename(path)
