"""New logs from the rows of another one, with the same offsets and tombstones."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from nearline.errors import InvalidInput
from nearline.log.archive import TOMBSTONE
from nearline.log.base import ForgottenRows, Readable
from nearline.log.codec import Coded, decode, encode
from nearline.log.lock import check_folder
from nearline.log.sealed_rows import sealed_rows
from nearline.log.tables import Tables
from nearline.schema import Erased

_ROWS = 10_000


def rows_of(log: Readable, until: int | None = None) -> Iterator[Coded]:
    """Yield the rows of a log in order, up to the offset `until`."""
    for _, record in log.read(0, until):
        yield Coded(TOMBSTONE) if isinstance(record, Erased) else encode(record)


def load_file(rows: Iterable[Coded], erasures: int, path: Path, forgotten: ForgottenRows) -> None:
    """Write rows to a new SQLite log, with the hashes of erased users; it appears atomically.

    The rows are sealed if this process has unlocked keys in the folder.

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
            tables.insert(_sealed(tables, some))
        tables.count_erasures(erasures, forgotten)
    finally:
        tables.close()
    partial.rename(path)


def _sealed(tables: Tables, rows: list[Coded]) -> list[Coded]:
    """Return rows as they are stored: sealed for their users in a sealed log."""
    if tables.seal is None:
        return rows
    records = [(at, decode(at, row.payload)) for at, row in enumerate(rows)]
    alive = [at for at, record in records if not isinstance(record, Erased)]
    sealed = sealed_rows(tables.seal, [rows[at] for at in alive], [records[at] for at in alive])
    found = list(rows)
    for at, row in zip(alive, sealed, strict=True):
        found[at] = row
    return found
