"""Conversion of the index of log files of the formats 1 to 3, which was in tables of the file.

The tables are read in parts, each of which is kept in a file, so that a conversion that was
interrupted goes on where it stopped. One transaction adds the run, drops the tables and sets the
format.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import apsw
import numpy as np
from numpy.typing import NDArray

from nearline.kernels.key_filter import UNKNOWN, add_to_filter
from nearline.log.codec import KEY_BYTES
from nearline.log.run_index import REPORTED, SCHEMA
from nearline.log.runs import new_run, seal

logger = logging.getLogger(__name__)

# Format of the log after the conversion.
FORMAT = 4
PARTS = 32
_INDEXED = "SELECT value FROM meta WHERE name = 'indexed'"
_USERS = (
    "SELECT user_key, offset FROM users WHERE user_key BETWEEN ? AND ? AND offset < ? "
    "ORDER BY user_key, offset"
)
_IDS = (
    "SELECT event_key, {offset} FROM event_ids WHERE event_key BETWEEN ? AND ? "
    "AND coalesce({offset}, 0) < ? ORDER BY event_key"
)
_FINISH = """
DROP TABLE users;
DROP TABLE event_ids;
DELETE FROM meta WHERE name = 'indexed';
"""

Array = NDArray[Any]


def convert(db: apsw.Connection, folder: Path | None, end: int, version: int) -> None:
    """Convert the tables `users` and `event_ids` to a run.

    Parameters
    ----------
    db : apsw.Connection
        Writable connection.
    folder : Path or None
        Folder of the runs, which is created; without one, the keys are to be read from the log.
    end, version : int
        End and format of the log.
    """
    found: Any = db.execute(_INDEXED).get
    indexed = end if found is None else int(found)
    path = None
    if folder is not None and indexed:
        folder.mkdir(exist_ok=True)
        path = folder / f"{0:012}-{indexed:012}.run"
        users, ids = _parts(db, folder, indexed, version, end)
        run = new_run(path, 0, indexed, sum(map(_length, users)), sum(map(_length, ids)))
        filled = 0
        for part in users:
            keys = np.load(part)
            to = slice(filled, filled + len(keys))
            run.users[to], run.user_offsets[to] = keys["key"], keys["offset"]
            filled += len(keys)
        filled = 0
        for part in ids:
            keys = np.load(part)
            to = slice(filled, filled + len(keys))
            run.high[to], run.low[to] = keys["high"], keys["low"]
            run.id_offsets[to] = keys["offset"]
            add_to_filter(run.words, run.high[to], run.low[to])
            filled += len(keys)
        seal(run)
    # Pages of these tables contain hashes only; overwriting them would write the whole index.
    db.pragma("secure_delete", "off")
    with db:
        for statement in (SCHEMA, _FINISH):
            db.execute(statement)
        if path is not None:
            db.execute(
                "INSERT INTO runs (first, last, name) VALUES (0, ?, ?)", (indexed, path.name)
            )
        db.pragma("user_version", FORMAT)
    db.pragma("secure_delete", "on")


def _parts(
    db: apsw.Connection, folder: Path, indexed: int, version: int, end: int
) -> tuple[list[Path], list[Path]]:
    """Return the files of all parts of both tables, each sorted by key."""
    files: tuple[list[Path], list[Path]] = ([], [])
    for done, (which, low, high) in enumerate(_ranges()):
        # Names with the state of the log: parts of an older state are not used.
        erasures: Any = db.execute("SELECT value FROM meta WHERE name = 'erasures'").get
        path = folder / f"convert-{end}-{indexed}-{erasures}-{which}-{low:016x}.npy"
        if not path.exists():
            rows = _read_ids if which else _read_users
            partial = path.with_suffix(".partial")
            with partial.open("wb") as file:
                np.save(file, rows(db, low, high, indexed, version))
            partial.rename(path)
        files[which].append(path)
        if end > REPORTED:
            logger.warning("converting the index of the log: %d %%", 50 * (done + 1) // PARTS)
    return files


def _ranges() -> Iterator[tuple[int, int, int]]:
    width = 2**64 // PARTS
    for which in (0, 1):
        for part in range(PARTS):
            yield which, part * width, (part + 1) * width - 1


def _read_users(db: apsw.Connection, low: int, high: int, indexed: int, _version: int) -> Array:
    rows = db.execute(_USERS, (low - 2**63, high - 2**63, indexed)).fetchall()
    return np.array(rows, dtype=[("key", "<i8"), ("offset", "<u4")])


def _read_ids(db: apsw.Connection, low: int, high: int, indexed: int, version: int) -> Array:
    query = _IDS.format(offset="offset" if version >= 3 else "NULL")
    bounds = (low.to_bytes(8), high.to_bytes(8) + b"\xff" * (KEY_BYTES - 8), indexed)
    rows = cast("list[tuple[bytes, int | None]]", db.execute(query, bounds).fetchall())
    keys = np.frombuffer(b"".join(key for key, _ in rows), dtype=">u8").reshape(-1, 2)
    found = np.zeros(len(rows), dtype=[("high", "<u8"), ("low", "<u8"), ("offset", "<u4")])
    found["high"], found["low"] = keys[:, 0], keys[:, 1]
    found["offset"] = [UNKNOWN if offset is None else offset for _, offset in rows]
    return found


def _length(path: Path) -> int:
    return len(np.load(path, mmap_mode="r"))
