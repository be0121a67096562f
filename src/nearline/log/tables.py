"""The log's tables in SQLite: every SQL statement of this room stands here."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Lock
from typing import NamedTuple, cast

import apsw
import numpy as np
from numpy.typing import NDArray

from nearline.errors import Closed, Damaged, InvalidInput, StorageFailed
from nearline.log.block_codec import CodedBlock
from nearline.log.codec import KEY_BYTES
from nearline.log.lock import check_folder

VERSION = 1
READ_BLOCK = 1_000
BUSY_MS = 5_000
SETTINGS = {
    "synchronous": "full",  # a commit is on the disk before it is acknowledged
    "secure_delete": "on",  # what is freed is overwritten
    "temp_store": "memory",  # nothing is written outside the folder of the log
    # Hashes fall on pages at random. The system's cache holds them too, so few are kept (KiB) but
    # for those of a transaction; each is written back to the file only after many changes (pages
    # in the write-ahead file, 32 MiB).
    "cache_size": -16_384,
    "cache_spill": "off",
    "wal_autocheckpoint": 8_000,
}

# The erased must be gone from the file. `secure_delete` does not see to that when SQLite moves
# rows to other pages: their old copies stay in the pages' unused parts. Rows of `log` never move:
# they are only added at the end and only overwritten by as many zeros. The tables that SQLite does
# rearrange hold hashes.
_SCHEMA = """
CREATE TABLE log (offset INTEGER PRIMARY KEY, payload BLOB NOT NULL) STRICT;
CREATE TABLE users (
    user_key INTEGER, offset INTEGER, PRIMARY KEY (user_key, offset)
) STRICT, WITHOUT ROWID;
CREATE TABLE event_ids (event_key BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('erasures', 0);
"""
# Many rows go in by one statement a table, which reads arrays and never calls back into Python:
# row by row the writer would queue for the interpreter with every one. A carray holds one value a
# row, so that two numbers share one, as halves.
_ADD = "INSERT INTO log (offset, payload) SELECT ?1 + rowid - 1, value FROM carray(?2)"
_ADD_SPANS = (
    "INSERT INTO log (offset, payload) "
    "SELECT ?1 + rowid - 1, substr(?2, (value >> 32) + 1, value & 0xffffffff) FROM carray(?3)"
)
_ADD_USERS = (
    "WITH keys (place, key) AS MATERIALIZED (SELECT rowid - 1, value FROM carray(?1)) "
    "INSERT INTO users (user_key, offset) "
    "SELECT key, ?2 + (rows.value & 0xffffffff) "
    "FROM carray(?3) rows CROSS JOIN keys ON place = rows.value >> 32"
)
_ADD_EVENT_IDS = "INSERT INTO event_ids (event_key) SELECT value FROM carray(?1)"
_ADD_PACKED_IDS = (
    "INSERT INTO event_ids (event_key) SELECT substr(?1, value + 1, ?2) FROM carray(?3)"
)
_KNOWN = "SELECT value FROM carray(?1) WHERE value IN (SELECT event_key FROM event_ids)"
_KNOWN_PACKED = (
    "SELECT value FROM carray(?3) "
    "WHERE substr(?1, value + 1, ?2) IN (SELECT event_key FROM event_ids)"
)
_BLOCK = "SELECT offset, payload FROM log WHERE offset >= ? AND offset < ? ORDER BY offset LIMIT ?"
_OF_USER = (
    "SELECT offset, payload FROM users JOIN log USING (offset) WHERE user_key = ? ORDER BY offset"
)
_BURY = "UPDATE log SET payload = zeroblob(length(payload)) WHERE offset = ?"
_BURY_USER = "DELETE FROM users WHERE user_key = ? AND offset = ?"
_BURY_EVENT_ID = "DELETE FROM event_ids WHERE event_key = ?"
_COUNT_ERASURE = "UPDATE meta SET value = value + 1 WHERE name = 'erasures'"

Pair = tuple[int, bytes]  # offset, payload


class Row(NamedTuple):
    """A record in the tables; the keys are hashes, and None where the record has no such id."""

    offset: int
    payload: bytes
    user_key: int | None
    event_key: bytes | None


class Tables:
    """A log's tables in one file, or in memory where `path` is None.

    One thread writes; any thread may read. A file is read through a connection of its own
    (a snapshot, so readers and the writer never wait for each other). Memory has only one
    connection; `_guard` keeps its readers out of unfinished transactions.

    Raises
    ------
    Damaged
        If the file is not a log or not whole.
    InvalidInput
        If a newer version of this package wrote it.
    StorageFailed
        If the disk or SQLite refuses; nothing of the failed call is stored.
    """

    def __init__(self, path: Path | None, *, read_only: bool = False) -> None:
        self._path = path
        self._guard = Lock()
        with self._explained():
            self._db = _connect(path, read_only=read_only)
            try:
                self._prepare(read_only=read_only)
            except BaseException:
                self._db.close()
                raise

    def known(self, event_keys: Sequence[bytes]) -> set[bytes]:
        """Those of `event_keys` that are stored."""
        with self._explained(), self._guard:
            found = self._db.execute(_KNOWN, (apsw.carray(tuple(event_keys)),))
            return {cast("bytes", key) for (key,) in found}

    def insert(self, rows: Sequence[Row]) -> None:
        """Store all `rows` (at least one, offsets without gaps from `end` on) durably, or none."""
        places = np.array([at for at, row in enumerate(rows) if row.user_key is not None], np.int64)
        user_keys = np.array([rows[at].user_key for at in places.tolist()], np.int64)
        event_keys = tuple(row.event_key for row in rows if row.event_key is not None)
        with self._transaction():
            payloads = apsw.carray(tuple(row.payload for row in rows))
            self._db.execute(_ADD, (self.end, payloads))
            if len(places):
                numbered = np.arange(len(places)) << 32 | places
                values = (apsw.carray(user_keys), self.end, apsw.carray(numbered))
                self._db.execute(_ADD_USERS, values)
            if event_keys:
                self._db.execute(_ADD_EVENT_IDS, (apsw.carray(event_keys),))
        self.end += len(rows)

    def known_in(self, block: CodedBlock) -> NDArray[np.int64]:
        """Positions in `block` of the events whose keys are stored, in no order."""
        starts, packed = _by_key(block)
        if not len(starts):
            return starts
        with self._explained(), self._guard:
            found = self._db.execute(_KNOWN_PACKED, (packed, KEY_BYTES, apsw.carray(starts)))
            return np.array(found.fetchall(), dtype=np.int64).ravel() // KEY_BYTES

    def insert_block(self, block: CodedBlock) -> None:
        """Store a block (at least one event, all of them new) at the end durably, or nothing."""
        size = len(block.spans)
        rows = np.sort(block.users << 32 | np.arange(size))
        starts, packed = _by_key(block)
        with self._transaction():
            spans = apsw.carray(block.spans)
            self._db.execute(_ADD_SPANS, (self.end, block.payloads, spans))
            values = (apsw.carray(block.user_keys), self.end, apsw.carray(rows))
            self._db.execute(_ADD_USERS, values)
            if len(starts):
                self._db.execute(_ADD_PACKED_IDS, (packed, KEY_BYTES, apsw.carray(starts)))
        self.end += size

    def under(self, user_key: int) -> list[Pair]:
        """(offset, payload) of every row with this key, in order."""
        with self._explained(), self._guard:
            return cast("list[Pair]", self._db.execute(_OF_USER, (user_key,)).fetchall())

    def bury(self, rows: Sequence[Row]) -> None:
        """Overwrite the payloads of `rows` with zeros, forget their keys, count one erasure."""
        users = [(row.user_key, row.offset) for row in rows]
        event_keys = [(row.event_key,) for row in rows if row.event_key is not None]
        with self._transaction():
            self._db.executemany(_BURY, [(row.offset,) for row in rows])
            self._db.executemany(_BURY_USER, users)
            self._db.executemany(_BURY_EVENT_ID, event_keys)
            self._db.execute(_COUNT_ERASURE)
        self.erasures += 1

    def scrub(self) -> None:
        """Empty the write-ahead file, where the bytes of buried rows may still stand."""
        with self._explained(), self._guard:
            # As a statement, which leaves the interpreter to others meanwhile.
            ((busy, _, _),) = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            if busy:
                raise apsw.BusyError("a reader held the write-ahead file for too long")

    def blocks(self, start: int, stop: int) -> Iterator[list[Pair]]:
        """Yield lists of (offset, payload) that cover [start, stop); no snapshot outlives a list.

        Raises `Damaged` if an offset is missing.
        """
        with self._explained():
            db = self._db if self._path is None else _connect(self._path, read_only=True)
            guard = self._guard if self._path is None else nullcontext()
        try:
            while start < stop:
                with self._explained(), guard:
                    rows = cast(
                        "list[Pair]", db.execute(_BLOCK, (start, stop, READ_BLOCK)).fetchall()
                    )
                expected = min(stop, start + READ_BLOCK)
                if len(rows) != expected - start:
                    raise Damaged(self._damage(f"offsets are missing in [{start}, {expected})"))
                yield rows
                start = expected
        finally:
            if db is not self._db:
                db.close()

    def copy_to(self, path: Path) -> None:
        """Copy what is committed to a new file; it appears whole or not at all."""
        if path.exists():
            raise InvalidInput(f"{path} exists; name a file that does not", field="path")
        check_folder(path)
        partial = path.with_name(f"{path.name}.partial")
        partial.unlink(missing_ok=True)
        guard = self._guard if self._path is None else nullcontext()
        with self._explained(), guard:
            source = self._db if self._path is None else _connect(self._path, read_only=True)
            target = apsw.Connection(str(partial))
            try:
                with target.backup("main", source, "main") as backup:
                    backup.step(-1)
            finally:
                target.close()
                if source is not self._db:
                    source.close()
        partial.rename(path)

    def close(self) -> None:
        """Release the file."""
        with self._guard:
            self._db.close()

    def _prepare(self, *, read_only: bool) -> None:
        version = self._number("PRAGMA user_version")
        if version > VERSION:
            raise InvalidInput(
                f"{self._path} has log format {version}; this version of nearline reads up to "
                f"{VERSION}: upgrade nearline",
                field="path",
            )
        if version == 0:
            if read_only or self._number("SELECT count(*) FROM sqlite_schema"):
                raise Damaged(self._damage("it is a database, but not a log"))
            with self._db:
                self._db.execute(_SCHEMA)
                self._db.pragma("user_version", VERSION)
        # Kept in the file, and asked for each time: a copy may come without it.
        if not read_only:
            self._db.pragma("journal_mode", "wal")
        self.end = self._number("SELECT coalesce(max(offset) + 1, 0) FROM log")
        self.erasures = self._number("SELECT value FROM meta WHERE name = 'erasures'")

    def _number(self, query: str) -> int:
        return int(self._db.execute(query).get)

    def _damage(self, what: str) -> str:
        return f"{self._path or 'the log in memory'}: {what}; restore the file from a copy"

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Commit what is done inside, durably, or undo it.

        By statements: apsw's own transactions hold the interpreter until the disk has it.
        """
        with self._explained(), self._guard:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what SQLite raises into this package's errors."""
        try:
            yield
        except apsw.ConnectionClosedError as error:
            raise Closed("the log is closed; open the store again") from error
        except (apsw.CorruptError, apsw.NotADBError) as error:
            raise Damaged(self._damage(str(error))) from error
        except apsw.Error as error:
            raise StorageFailed(
                f"{self._path or 'the log in memory'}: {error} ({type(error).__name__}); "
                "nothing of this call was stored: free space or repair the disk, then try again"
            ) from error


def _by_key(block: CodedBlock) -> tuple[NDArray[np.int64], bytes]:
    """Where each key starts in the bytes of all keys, in rising order of the first halves.

    Neighbours in the table are then written one after the other, a page at a time.
    """
    rows = np.flatnonzero(block.keyed)
    first_halves = block.event_keys[rows].view(">u8")[:, 0].astype(np.uint64)
    return rows[np.argsort(first_halves)] * KEY_BYTES, block.event_keys.tobytes()


def _connect(path: Path | None, *, read_only: bool = False) -> apsw.Connection:
    if path is None:
        return apsw.Connection(":memory:")
    write = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY if read_only else write)
    db.set_busy_timeout(BUSY_MS)
    if not read_only:
        for name, value in SETTINGS.items():
            db.pragma(name, value)
    return db
