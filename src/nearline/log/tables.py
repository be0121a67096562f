"""Rows of the log in SQLite. The indexes are in `run_index`."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Lock
from typing import cast

import apsw
import numpy as np
from numpy.typing import NDArray

from nearline.errors import Closed, Damaged, InvalidInput, StorageFailed
from nearline.log.base import ForgottenRows
from nearline.log.block_codec import CodedBlock
from nearline.log.burials import Marker
from nearline.log.codec import Coded
from nearline.log.convert_index import FORMAT, convert
from nearline.log.forgotten import ForgottenUsers
from nearline.log.forgotten_table import new_secret, store_erasure, store_rows, stored_rows
from nearline.log.lock import check_folder
from nearline.log.payload_seal import PayloadSeal
from nearline.log.read_connection import connect_to_read
from nearline.log.run_index import SCHEMA, Pair, RunIndex
from nearline.log.runs import Buried
from nearline.schema import UserRecord
from nearline.sealing import Seal, unlocked_beside
from nearline.sealing.seal import number_of

# Before format 4, the indexes are tables of the file; before format 3, event IDs have no offsets.
VERSION = FORMAT
READ_BLOCK = 1_000
# The same for readers that need no object for each record.
LARGE_BLOCK = 20_000
BUSY_MS = 5_000
SETTINGS = {
    "synchronous": "full",  # a commit is on disk before it is acknowledged
    "secure_delete": "on",  # freed space is overwritten
    "temp_store": "memory",  # nothing is written outside the folder of the log
    # The pages of the hash tables are accessed at random and cached by the operating system too, so
    # SQLite's cache is small (16 MiB), except that it keeps all pages of a transaction. Pages are
    # written back to the file when the write-ahead log has this many (32 MiB).
    "cache_size": -16_384,
    "cache_spill": "off",
    "wal_autocheckpoint": 8_000,
}

# Erased events must be gone from the file. `secure_delete` does not ensure that for rows which
# SQLite moves to other pages, since old copies remain in the unused parts of pages. Rows of `log`
# never move: they are only appended, and only overwritten by the same number of zeros. The tables
# in which SQLite does move rows contain hashes only.
_SCHEMA = """
CREATE TABLE log (offset INTEGER PRIMARY KEY, payload BLOB NOT NULL) STRICT;
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('erasures', 0);
"""
# One statement per table inserts many rows from arrays, without calling back into Python: row by
# row, the writer would have to acquire the interpreter lock for each.
_ADD = "INSERT INTO log (offset, payload) SELECT ?1 + rowid - 1, value FROM carray(?2)"
_ADD_SPANS = (
    "INSERT INTO log (offset, payload) "
    "SELECT ?1 + rowid - 1, substr(?2, (value >> 32) + 1, value & 0xffffffff) FROM carray(?3)"
)
_BLOCK = "SELECT offset, payload FROM log WHERE offset >= ? AND offset < ? ORDER BY offset LIMIT ?"
# One statement for many rows, which runs without the interpreter lock.
_BURY = (
    "UPDATE log SET payload = zeroblob(length(payload)) "
    "WHERE offset IN (SELECT value FROM carray(?))"
)
_COUNT_ERASURE = "UPDATE meta SET value = value + 1 WHERE name = 'erasures'"
_SEALED = "INSERT INTO meta VALUES ('sealed', ?)"
_MARK = "INSERT OR REPLACE INTO meta VALUES (?, ?)"
_UNMARK = "DELETE FROM meta WHERE name = ? AND value = ?"
_MARKERS = "SELECT name, value FROM meta"


class Tables:
    """Tables of a log in a file, or in memory if `path` is None.

    One thread writes; any thread may read. Each read of a file uses its own connection and waits
    for no other. A log in memory has only one, and `_guard` prevents reads during transactions.

    Attributes
    ----------
    sealed : int
        Number of the keys with which the payloads are sealed; 0 if they are not.
    forgotten : ForgottenUsers
        Users who were erased; only of a log that is written.
    hidden : dict of bytes to int
        Digests of the users that are being erased, see `burials`; their events before the offset
        are hidden from readers. The dictionary is replaced, not changed.

    Raises
    ------
    Damaged
        The file is not a log, or is damaged.
    InvalidInput
        A newer version of this package wrote the file.
    StorageFailed
        The disk or SQLite rejects a write; nothing of the failed call is stored.
    """

    def __init__(self, path: Path | None, *, read_only: bool = False) -> None:
        self._path, self._read_only = path, read_only
        self._guard = Lock()
        self.hidden: Mapping[bytes, int] = {}
        self.forgotten = ForgottenUsers(ForgottenRows())
        with self._explained():
            self._db = _connect(path, read_only=read_only)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def known(self, event_keys: Sequence[bytes]) -> set[bytes]:
        """Return the subset of `event_keys` that is stored."""
        with self._explained(), self._guard:
            return self._index.known(event_keys)

    def insert(self, rows: Sequence[Coded]) -> None:
        """Append at least one row, durably and atomically."""
        with self._transaction():
            payloads = apsw.carray(tuple(row.payload for row in rows))
            self._db.execute(_ADD, (self.end, payloads))
        with self._guard:
            self._index.add(self.end, rows)
        self.end += len(rows)
        self._index.flush_if_due()

    def known_in(self, block: CodedBlock) -> NDArray[np.int64]:
        """Return the positions in `block` of events whose keys are stored, in any order."""
        with self._explained(), self._guard:
            return self._index.known_in(block)

    def insert_block(self, block: CodedBlock) -> None:
        """Append a block of at least one event, durably and atomically; all events must be new."""
        with self._transaction():
            spans = apsw.carray(block.spans)
            self._db.execute(_ADD_SPANS, (self.end, block.payloads, spans))
        with self._guard:
            self._index.add_block(self.end, block)
        self.end += len(block.spans)
        self._index.flush_if_due()

    def under(self, user_key: int, start: int = 0) -> list[Pair]:
        """Return (offset, payload) of each row with a user key from an offset on, in order."""
        with self._explained(), self._guard:
            found = self._index.under(user_key, start)
        return self._sealing.opened(found)

    def key_ids(self, user_key: int) -> list[Pair]:
        """Return (ID of its key, payload) of each sealed row with a user key."""
        with self._explained(), self._guard:
            found = self._index.under(user_key, 0)
        return self._sealing.key_ids(found)

    @property
    def seal(self) -> Seal | None:
        """Seal of the payloads; None if they are not sealed."""
        return self._sealing.seal

    def event(self, event_key: bytes) -> Pair | None:
        """Return (offset, payload) of the event with a key; None if its offset is unknown."""
        with self._explained(), self._guard:
            offset = self._index.offset_of(event_key)
            if offset is None:
                return None
            found = cast("Pair", self._db.execute(_BLOCK, (offset, offset + 1, 1)).get)
        return self._sealing.opened([found])[0]

    def mark(self, marker: Marker, end: int) -> None:
        """Hide the events of a user before the offset `end`, and count an erasure."""
        with self._transaction():
            self._db.execute(_MARK, (marker.name, end))
            self._db.execute(_COUNT_ERASURE)
        self.hidden = {**self.hidden, marker.digest: end}
        self.erasures += 1

    def bury(self, events: Sequence[Buried], *, erasures: int = 0) -> None:
        """Overwrite the payloads of events with zeros, remove their keys, and count erasures."""
        with self._transaction():
            offsets = np.array([at for at, _, _ in events], np.int64)
            self._db.execute(_BURY, (apsw.carray(offsets),))
            self._index.bury_stored(offsets)
            if erasures:
                self._db.execute(_COUNT_ERASURE)
        with self._guard:
            self._index.bury(events)
        self.erasures += erasures

    def count_erasures(self, erasures: int, forgotten: ForgottenRows) -> None:
        """Set the erasures of a log that is written from another one, and the erased users."""
        with self._transaction():
            self._db.execute("UPDATE meta SET value = ? WHERE name = 'erasures'", (erasures,))
            store_rows(self._db, self.seal, forgotten)
        self.erasures = erasures

    def stored_erasures(self) -> int:
        """Return the number of erasures in the file, which another process may have changed."""
        with self._explained(), self._guard:
            return self._number("SELECT value FROM meta WHERE name = 'erasures'")

    def forgotten_rows(self) -> ForgottenRows:
        """Return the hashes of erased users."""
        with self._explained(), self._guard:
            return stored_rows(self._db, self.seal)

    def forget(self, user_id: str, at: float, records: Sequence[tuple[int, UserRecord]]) -> None:
        """Remember that a user with some records was erased at a time, durably."""
        rows = ForgottenRows() if self.forgotten.secret else ForgottenRows(new_secret())
        forgotten = ForgottenUsers(rows) if rows.secret else self.forgotten
        with self._transaction():
            store_rows(self._db, self.seal, rows)
            erasure = forgotten.erasure(user_id, at, [record for _, record in records])
            store_erasure(self._db, erasure)
        forgotten.add(erasure)
        self.forgotten = forgotten

    def markers(self) -> list[tuple[Marker, int]]:
        """Return all markers, and the offset before which each hides events."""
        named = self._db.execute(_MARKERS).fetchall()
        markers = [(Marker.parse(cast("str", name)), cast("int", end)) for name, end in named]
        return [(marker, end) for marker, end in markers if marker is not None]

    def unmark(self, marker: Marker, end: int) -> None:
        """Remove a marker after all events that it hides were overwritten."""
        with self._transaction():
            self._db.execute(_UNMARK, (marker.name, end))
        if self.hidden.get(marker.digest) == end:
            self.hidden = {key: at for key, at in self.hidden.items() if key != marker.digest}

    def scrub(self) -> None:
        """Empty the write-ahead file, which may still contain the bytes of erased rows.

        Raises
        ------
        StorageFailed
            A reader uses the file at this moment; the caller should try again.
        """
        with self._explained(), self._guard:
            self._index.sync()
            self._db.set_busy_timeout(0)
            try:
                # A statement releases the interpreter lock, unlike the method of the connection.
                ((busy, _, _),) = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                self._db.set_busy_timeout(BUSY_MS)
            if busy:
                raise apsw.BusyError("a reader held the write-ahead file for too long")

    def blocks(self, start: int, stop: int, size: int | None = None) -> Iterator[list[Pair]]:
        """Yield lists of `size` (offset, payload) for the offsets from `start` to ``stop - 1``.

        Each list is read in its own transaction, so that the write-ahead file can be emptied even
        if a reader is slow. Missing offsets and payloads that are not binary raise `Damaged`.
        """
        size = size or READ_BLOCK
        with self._explained():
            db = self._db if self._path is None else _connect(self._path, read_only=True)
            guard = self._guard if self._path is None else nullcontext()
        try:
            while start < stop:
                with self._explained(), guard:
                    rows = cast("list[Pair]", db.execute(_BLOCK, (start, stop, size)).fetchall())
                expected = min(stop, start + size)
                offsets, payloads = zip(*rows, strict=True) if rows else ((), ())
                if offsets != tuple(range(start, expected)):
                    raise Damaged(self._damage(f"offsets are missing in [{start}, {expected})"))
                if set(map(type, payloads)) != {bytes}:
                    raise Damaged(self._damage(f"a record in [{start}, {expected}) is not binary"))
                yield self._sealing.opened(rows)
                start = expected
        finally:
            if db is not self._db:
                db.close()

    def copy_to(self, path: Path) -> None:
        """Copy all committed records to a new file, which appears atomically."""
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
        """Write the keys that are in memory if possible, and release the file."""
        if not self._read_only:
            self._index.close()
        with self._guard:
            self._db.close()
        self._sealing.close()

    def _prepare(self) -> None:
        version = self._number("PRAGMA user_version")
        if version > VERSION:
            raise InvalidInput(
                f"{self._path} has log format {version}; this version of nearline reads up to "
                f"{VERSION}: upgrade nearline",
                field="path",
            )
        if version == 0:
            if self._read_only or self._number("SELECT count(*) FROM sqlite_schema"):
                raise Damaged(self._damage("it is a database, but not a log"))
            with self._db:
                self._db.execute(_SCHEMA + SCHEMA)
                self._db.pragma("user_version", VERSION)
                unlocked = None if self._path is None else unlocked_beside(self._path)
                if unlocked is not None:
                    self._db.execute(_SEALED, (number_of(unlocked),))
        # The mode is stored in the file; set again because a copy may lack it.
        if not self._read_only:
            self._db.pragma("journal_mode", "wal")
        self.end = self._number("SELECT coalesce(max(offset) + 1, 0) FROM log")
        self.erasures = self._number("SELECT value FROM meta WHERE name = 'erasures'")
        self.sealed = self._number("SELECT coalesce(max(value), 0) FROM meta WHERE name = 'sealed'")
        self._sealing = PayloadSeal(self._path, self.sealed, read_only=self._read_only)
        if not self._read_only:
            _ = self.seal  # a wrong master key is an error now, not at the first read
        self.hidden = {marker.digest: end for marker, end in self.markers()}
        if not self._read_only:
            self.forgotten = ForgottenUsers(stored_rows(self._db, self.seal))
            folder = None if self._path is None else runs_of(self._path)
            if 0 < version < VERSION:
                convert(self._db, folder, self.end, version)
            self._index = RunIndex(
                self._db, folder, self.end, self._transaction, self._sealing.opened
            )

    def _number(self, query: str) -> int:
        value = self._db.execute(query).get
        if not isinstance(value, int):
            raise Damaged(self._damage(f"{query!r} gives {value!r}, which is not an integer"))
        return value

    def _damage(self, what: str) -> str:
        return f"{self._path or 'the log in memory'}: {what}; restore the file from a backup"

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Return a context that is one transaction, which an exception rolls back.

        The transaction is started and committed by SQL statements, which release the interpreter
        lock (GIL). The context manager of an apsw connection would hold it during the commit.
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
        """Return a context in which exceptions of SQLite become those of this package."""
        try:
            yield
        except apsw.ConnectionClosedError as error:
            raise Closed("the log is closed; open the store again") from error
        except (apsw.CorruptError, apsw.NotADBError) as error:
            raise Damaged(self._damage(str(error))) from error
        except UnicodeDecodeError as error:  # a value whose type is damaged
            raise Damaged(self._damage(f"a value cannot be read: {error}")) from error
        except apsw.Error as error:
            raise StorageFailed(
                f"{self._path or 'the log in memory'}: {error} ({type(error).__name__}); "
                "nothing of this call was stored: free space or repair the disk, then try again"
            ) from error


def runs_of(path: Path) -> Path:
    """Return the folder of the index of a log file."""
    return path.with_name(f"{path.name}.runs")


def _connect(path: Path | None, *, read_only: bool = False) -> apsw.Connection:
    if path is None:
        return apsw.Connection(":memory:")
    if read_only:
        return connect_to_read(path, BUSY_MS)
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
    db.set_busy_timeout(BUSY_MS)
    for name, value in SETTINGS.items():
        db.pragma(name, value)
    return db
