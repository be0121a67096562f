"""Copies of a log from PostgreSQL to SQLite and back, with all offsets and tombstones."""

from collections.abc import Callable
from pathlib import Path

import apsw

from nearline.errors import InvalidInput
from nearline.log.codec import Coded, decode, keys_of
from nearline.log.lock import check_folder
from nearline.log.postgres.session import Row
from nearline.log.tables import Tables

_TOMBSTONE = b"\0"


def copy_log(rows: Callable[[int, int], list[Row]], end: int, erasures: int, path: Path) -> None:
    """Write the rows before an offset to a new SQLite file, which appears atomically.

    Parameters
    ----------
    rows : callable
        Returns the rows from a first offset on, up to another.
    end, erasures : int
        Number of records, and of the erasures that hide records.
    """
    if path.exists():
        raise InvalidInput(f"{path} exists; name a file that does not", field="path")
    check_folder(path)
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    tables = Tables(partial)
    try:
        while tables.end < end:
            tables.insert([_coded(row) for row in rows(tables.end, end)])
    finally:
        tables.close()
    db = apsw.Connection(str(partial))
    db.execute("UPDATE meta SET value = ? WHERE name = 'erasures'", (erasures,))
    db.close()
    partial.rename(path)


def _coded(row: Row) -> Coded:
    place, payload, erased = row
    if erased is not None or payload[:1] == _TOMBSTONE:
        return Coded(_TOMBSTONE)
    return Coded(payload, *keys_of(decode(place, payload)))
