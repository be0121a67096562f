"""Indexes of the log: the offsets of each user's events, and of each known event ID.

Keys are hashes, so they are spread over the pages of a table at random. Inserting the keys of each
commit would write about one page per event, a hundred times the size of the event itself. New keys
are therefore kept in small tables in memory and moved to the file later, one range of hashes at a
time and in order, so that many of them share a page (as in O'Neil et al., "The log-structured
merge-tree", Acta Informatica 33, 1996). The keys in memory are those of the newest records; they
are read from the log again when it is opened.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple, cast

import apsw
import numpy as np
from numpy.typing import NDArray

from nearline.log.block_codec import CodedBlock
from nearline.log.codec import KEY_BYTES, Coded, decode, keys_of

# The range of hashes is divided into this number of parts, which are moved in turn: one part after
# each `RECORDS_A_PART` new records. On average, the keys of 16,384 records are in memory. After a
# round of all parts, all keys that existed at its beginning have been moved.
PARTS = 32
RECORDS_A_PART = 1_024

SCHEMA = """
CREATE TABLE users (
    user_key INTEGER, offset INTEGER, PRIMARY KEY (user_key, offset)
) STRICT, WITHOUT ROWID;
CREATE TABLE event_ids (event_key BLOB PRIMARY KEY, offset INTEGER) STRICT, WITHOUT ROWID;
"""
# The formats 1 and 2 have no offsets of event IDs; those of their events remain unknown.
ADD_OFFSETS = "ALTER TABLE event_ids ADD COLUMN offset INTEGER"
# Temporary tables are in memory but belong to the same transactions as the file.
_RECENT = """
CREATE TEMP TABLE recent_users (
    user_key INTEGER, offset INTEGER, PRIMARY KEY (user_key, offset)
) STRICT, WITHOUT ROWID;
CREATE TEMP TABLE recent_event_ids (
    event_key BLOB PRIMARY KEY, offset INTEGER
) STRICT, WITHOUT ROWID;
"""
# A carray has one value per row, so two 32-bit numbers are packed into one 64-bit value.
_ADD_USERS = (
    "WITH keys (place, key) AS MATERIALIZED (SELECT rowid - 1, value FROM carray(?1)) "
    "INSERT INTO {table} (user_key, offset) "
    "SELECT key, ?2 + (rows.value & 0xffffffff) "
    "FROM carray(?3) rows CROSS JOIN keys ON place = rows.value >> 32"
)
_ADD_BLOCK_USERS = _ADD_USERS.format(table="users")
_ADD_RECENT_USERS = _ADD_USERS.format(table="recent_users")
_ADD_EVENT_IDS = (
    "INSERT INTO recent_event_ids (event_key, offset) "
    "SELECT substr(?1, (value >> 32) * ?2 + 1, ?2), ?4 + (value & 0xffffffff) FROM carray(?3)"
)
_ADD_PACKED_IDS = (
    "INSERT INTO event_ids (event_key, offset) "
    "SELECT substr(?1, value + 1, ?2), ?4 + value / ?2 FROM carray(?3)"
)
_KNOWN = (
    "SELECT value FROM carray(?1) WHERE value IN (SELECT event_key FROM event_ids) "
    "OR value IN (SELECT event_key FROM recent_event_ids)"
)
_KNOWN_PACKED = (
    "SELECT place FROM "
    "(SELECT value AS place, substr(?1, value + 1, ?2) AS event_key FROM carray(?3)) "
    "WHERE event_key IN (SELECT event_key FROM event_ids) "
    "OR event_key IN (SELECT event_key FROM recent_event_ids)"
)
_OF_EVENT = (
    "SELECT offset FROM event_ids WHERE event_key = ?1 AND offset IS NOT NULL "
    "UNION ALL SELECT offset FROM recent_event_ids WHERE event_key = ?1"
)
_OF_USER = (
    "SELECT offset, payload FROM log WHERE offset IN ("
    "SELECT offset FROM users WHERE user_key = ?1 AND offset >= ?2 "
    "UNION SELECT offset FROM recent_users WHERE user_key = ?1 AND offset >= ?2) ORDER BY offset"
)
_PART = "FROM recent_{table} WHERE {key} BETWEEN ? AND ?"
# Keys that are read again when the log is opened may be in the file already.
_MOVE = "INSERT OR IGNORE INTO {table} SELECT * " + _PART
_MOVED = "DELETE " + _PART
_BURY_USER = "DELETE FROM {table} WHERE user_key = ? AND offset IN (SELECT value FROM carray(?))"
_BURY_EVENT_ID = "DELETE FROM {table} WHERE event_key IN (SELECT value FROM carray(?))"
_INDEXED = "SELECT value FROM meta WHERE name = 'indexed'"
_SET_INDEXED = "INSERT OR REPLACE INTO meta VALUES ('indexed', ?)"
_UNINDEXED = "SELECT offset, payload FROM log WHERE offset >= ?"

Pair = tuple[int, bytes]  # offset, payload


class Buried(NamedTuple):
    """Keys of an event to erase."""

    offset: int
    user_key: int
    event_key: bytes | None


class Progress(NamedTuple):
    """Progress of moving keys: next part, records since the last move, and end of the log then.

    `begun` is the end of the log at the beginning of the current round of all parts.
    """

    part: int
    waiting: int
    begun: int


class KeyIndex:
    """Indexes of one log; methods that write must be called in a transaction.

    Parameters
    ----------
    db : apsw.Connection
        Writable connection to the log's file.
    end : int
        End of the log.

    Attributes
    ----------
    progress : Progress
        Progress of moving keys. The caller must assign the result of `add` or `add_block` to it
        when the transaction is committed.

    Raises
    ------
    Damaged
        A record whose keys must be read again cannot be decoded.
    """

    def __init__(self, db: apsw.Connection, end: int) -> None:
        self._db = db
        db.execute(_RECENT)
        found = db.execute(_INDEXED).get
        if found is None:  # format 1, in which every key is in the file
            found = end
            self._set_indexed(end)
        self._read_again(int(found))
        self.progress = Progress(part=0, waiting=0, begun=end)

    def known(self, event_keys: Sequence[bytes]) -> set[bytes]:
        """Return the subset of `event_keys` that is stored."""
        found = self._db.execute(_KNOWN, (apsw.carray(tuple(event_keys)),))
        return {cast("bytes", key) for (key,) in found}

    def known_in(self, block: CodedBlock) -> NDArray[np.int64]:
        """Return the positions in `block` of events whose keys are stored, in any order."""
        starts, packed = _by_key(block)
        if not len(starts):
            return starts
        found = self._db.execute(_KNOWN_PACKED, (packed, KEY_BYTES, apsw.carray(starts)))
        return np.array(found.fetchall(), dtype=np.int64).ravel() // KEY_BYTES

    def under(self, user_key: int, start: int) -> list[Pair]:
        """Return (offset, payload) of each row with a user key from an offset on, in order."""
        return cast("list[Pair]", self._db.execute(_OF_USER, (user_key, start)).fetchall())

    def offset_of(self, event_key: bytes) -> int | None:
        """Return the offset of an event; None if it is unknown."""
        found: int | None = self._db.execute(_OF_EVENT, (event_key,)).get
        return found if found is None or isinstance(found, int) else found[0]

    def add(self, start: int, rows: Sequence[Coded]) -> Progress:
        """Add the keys of records with offsets from `start` on; move parts that are due."""
        self._add_recent(start, rows)
        part, waiting, begun = self.progress
        waiting += len(rows)
        while waiting >= RECORDS_A_PART:
            waiting -= RECORDS_A_PART
            self._move(part, part)
            part += 1
            if part == PARTS:
                self._set_indexed(begun)
                part, begun = 0, start + len(rows)
        return Progress(part, waiting, begun)

    def add_block(self, start: int, block: CodedBlock) -> Progress:
        """Add the keys of a block with offsets from `start` on; move all keys to the file."""
        end = start + len(block.spans)
        rows = np.sort(block.users << 32 | np.arange(end - start))
        values = (apsw.carray(block.user_keys), start, apsw.carray(rows))
        self._db.execute(_ADD_BLOCK_USERS, values)
        starts, packed = _by_key(block)
        if len(starts):
            self._db.execute(_ADD_PACKED_IDS, (packed, KEY_BYTES, apsw.carray(starts), start))
        return self.move_all(end)

    def move_all(self, end: int) -> Progress:
        """Move all keys to the file; `end` is the end of the log."""
        self._move(0, PARTS - 1)
        self._set_indexed(end)
        return Progress(part=0, waiting=0, begun=end)

    def bury(self, events: Iterable[Buried]) -> None:
        """Remove the keys of some events."""
        offsets: defaultdict[int, list[int]] = defaultdict(list)
        event_keys: list[bytes] = []
        for offset, user_key, event_key in events:
            offsets[user_key].append(offset)
            if event_key is not None:
                event_keys.append(event_key)
        for tables in (("users", "event_ids"), ("recent_users", "recent_event_ids")):
            for user_key, some in offsets.items():
                values = (user_key, apsw.carray(np.array(some, np.int64)))
                self._db.execute(_BURY_USER.format(table=tables[0]), values)
            if event_keys:
                keys = (apsw.carray(tuple(event_keys)),)
                self._db.execute(_BURY_EVENT_ID.format(table=tables[1]), keys)

    def _add_recent(self, start: int, rows: Sequence[Coded]) -> None:
        keys = [row.user_key for row in rows]
        places = np.array([at for at, key in enumerate(keys) if key is not None], np.int64)
        if len(places):
            user_keys = np.array([key for key in keys if key is not None], np.int64)
            numbered = np.arange(len(places)) << 32 | places
            values = (apsw.carray(user_keys), start, apsw.carray(numbered))
            self._db.execute(_ADD_RECENT_USERS, values)
        keyed = [(at, row.event_key) for at, row in enumerate(rows) if row.event_key is not None]
        if keyed:
            packed = b"".join(key for _, key in keyed)
            numbers = np.arange(len(keyed)) << 32 | np.array([at for at, _ in keyed], np.int64)
            self._db.execute(_ADD_EVENT_IDS, (packed, KEY_BYTES, apsw.carray(numbers), start))

    def _move(self, first: int, last: int) -> None:
        """Move the keys of parts `first` to `last` to the file."""
        width = 2**64 // PARTS
        low, high = first * width, (last + 1) * width - 1
        users = (low - 2**63, high - 2**63)
        event_ids = (low.to_bytes(8), high.to_bytes(8) + b"\xff" * (KEY_BYTES - 8))
        for statement in (_MOVE, _MOVED):
            self._db.execute(statement.format(table="users", key="user_key"), users)
            self._db.execute(statement.format(table="event_ids", key="event_key"), event_ids)

    def _set_indexed(self, offset: int) -> None:
        """Store `offset`, before which the keys of all records are in the file."""
        self._db.execute(_SET_INDEXED, (offset,))

    def _read_again(self, offset: int) -> None:
        """Add the keys of the records from `offset` on, some of which may be in the file."""
        stored = self._db.execute(_UNINDEXED, (offset,)).fetchall()
        if stored:
            records = (decode(offset, payload) for offset, payload in cast("list[Pair]", stored))
            self._add_recent(offset, [Coded(b"", *keys_of(record)) for record in records])


def _by_key(block: CodedBlock) -> tuple[NDArray[np.int64], bytes]:
    """Return the start of each key in the bytes of all keys, sorted by key, and these bytes.

    In this order, keys on the same page of the table are written together.
    """
    rows = np.flatnonzero(block.keyed)
    first_halves = block.event_keys[rows].view(">u8")[:, 0].astype(np.uint64)
    return rows[np.argsort(first_halves)] * KEY_BYTES, block.event_keys.tobytes()
