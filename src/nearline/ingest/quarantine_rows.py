"""Tables of the quarantine: of a plain store, and of a sealed one."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import apsw
import msgspec

from nearline.schema.sources import Message
from nearline.sealing import TOMBSTONE, Seal

# Longer messages are cut off, and cannot be replayed.
KEPT_BYTES = 1_000_000
# Groups that `counts` returns.
MOST_GROUPS = 100
PLAIN = """
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL, partition TEXT NOT NULL, position INTEGER NOT NULL,
    reason TEXT NOT NULL, at REAL NOT NULL, sent REAL, key BLOB, value BLOB NOT NULL,
    size INTEGER NOT NULL,
    UNIQUE (source, partition, position)
) STRICT
"""
# `source` and `place` are keyed hashes of the source, and of source, partition and position.
SEALED = """
CREATE TABLE IF NOT EXISTS sealed_message (
    id INTEGER PRIMARY KEY, source BLOB NOT NULL, place BLOB NOT NULL UNIQUE, at REAL NOT NULL,
    head BLOB NOT NULL, value BLOB NOT NULL
) STRICT
"""
_COLUMNS = "id, source, partition, position, reason, at, sent, key, value, size"


class Quarantined(NamedTuple):
    """A message in the quarantine.

    Attributes
    ----------
    id : int
    source, partition : str
    position : int
        Where the message is.
    reason : str
        Why it is no event.
    at : float
        Time at which it was read, in Unix seconds.
    sent : float or None
        Time that the source has for it.
    key : bytes or None
    value : bytes
        Content, cut off after a million bytes.
    size : int
        Number of bytes of the whole content.
    """

    id: int
    source: str
    partition: str
    position: int
    reason: str
    at: float
    sent: float | None
    key: bytes | None
    value: bytes
    size: int

    @property
    def message(self) -> Message:
        """The message, as its source gave it."""
        position = self.position
        return Message(self.partition, position, position + 1, self.value, self.key, self.sent)


class MessageTable(Protocol):
    """Table of the messages of a quarantine. The caller has begun a transaction."""

    def size(self, db: apsw.Connection) -> tuple[int, int]:
        """Return the number of messages, and of the bytes of their contents."""

    def add(self, db: apsw.Connection, messages: Sequence[Quarantined]) -> None:
        """Insert messages, whose `id` is ignored; those that are there already stay."""

    def select(
        self, db: apsw.Connection, source: str | None, after: int, limit: int
    ) -> list[Quarantined]:
        """Return messages from the first ID above `after` on; `limit` -1 for all."""

    def counts(self, db: apsw.Connection) -> list[tuple[str, str, int]]:
        """Return (source, reason, number of messages), the most frequent first."""

    def remove(self, db: apsw.Connection, ids: Iterable[int]) -> None:
        """Remove messages."""

    def drop(self, db: apsw.Connection, source: str | None) -> int:
        """Remove all messages, or those of one source, and return their number."""


class PlainMessages:
    """Messages in clear text."""

    def size(self, db: apsw.Connection) -> tuple[int, int]:
        """Return the number of messages, and of the bytes of their contents."""
        query = "SELECT count(*), coalesce(sum(length(value)), 0) FROM message"
        count, size = _all(db, query)[0]
        return int(count), int(size)

    def add(self, db: apsw.Connection, messages: Sequence[Quarantined]) -> None:
        """Insert messages; those that are there already stay as they are."""
        db.executemany(
            "INSERT OR IGNORE INTO message (source, partition, position, reason, at, sent, "
            "key, value, size) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [one[1:] for one in messages],
        )

    def select(
        self, db: apsw.Connection, source: str | None, after: int, limit: int
    ) -> list[Quarantined]:
        """Return messages from the first ID above `after` on."""
        where, bindings = ("source = ? AND ", [source]) if source is not None else ("", [])
        query = f"SELECT {_COLUMNS} FROM message WHERE {where}id > ? ORDER BY id LIMIT ?"  # noqa: S608
        return [Quarantined(*row) for row in db.execute(query, (*bindings, after, limit))]

    def counts(self, db: apsw.Connection) -> list[tuple[str, str, int]]:
        """Return (source, reason, number of messages), the most frequent first."""
        query = (
            "SELECT source, reason, count(*) FROM message GROUP BY source, reason "
            "ORDER BY count(*) DESC, source, reason LIMIT ?"
        )
        return [(str(source), str(why), int(n)) for source, why, n in _all(db, query, MOST_GROUPS)]

    def remove(self, db: apsw.Connection, ids: Iterable[int]) -> None:
        """Remove messages."""
        db.executemany("DELETE FROM message WHERE id = ?", [(one,) for one in ids])

    def drop(self, db: apsw.Connection, source: str | None) -> int:
        """Remove all messages, or those of one source, and return their number."""
        if source is None:
            db.execute("DELETE FROM message")
        else:
            db.execute("DELETE FROM message WHERE source = ?", (source,))
        return int(db.changes())


class SealedMessages:
    """Messages that are sealed, each with a key of its own.

    The key is destroyed before a message is removed, so copies of the file forget it too. A message
    without its key counts as removed.
    """

    def __init__(self, seal: Seal) -> None:
        self._seal = seal

    def size(self, db: apsw.Connection) -> tuple[int, int]:
        """Return the number of messages, and of the bytes of their contents."""
        query = "SELECT count(*), coalesce(sum(length(value)), 0) FROM sealed_message"
        count, size = _all(db, query)[0]
        return int(count), int(size)

    def add(self, db: apsw.Connection, messages: Sequence[Quarantined]) -> None:
        """Insert messages; those that are there already stay as they are."""
        query = "SELECT 1 FROM sealed_message WHERE place = ?"
        new: dict[bytes, Quarantined] = {}
        for one in messages:
            place = self._seal.digest(one.source, one.partition, str(one.position))
            if place not in new and not _all(db, query, place):
                new[place] = one
        sealed = self._seal.alone([(_head(one), one.value) for one in new.values()])
        db.executemany(
            "INSERT INTO sealed_message (source, place, at, head, value) VALUES (?, ?, ?, ?, ?)",
            [
                (self._seal.digest(one.source), place, one.at, *parts)
                for (place, one), parts in zip(new.items(), sealed, strict=True)
            ],
        )

    def select(
        self, db: apsw.Connection, source: str | None, after: int, limit: int
    ) -> list[Quarantined]:
        """Return messages from the first ID above `after` on."""
        where, bindings = self._where(source)
        query = (
            f"SELECT id, at, head, value FROM sealed_message WHERE {where} AND id > ? ORDER BY id"  # noqa: S608
        )
        found: list[Quarantined] = []
        for id_, at, sealed, value in db.execute(query, (*bindings, after)):
            if len(found) == limit:
                break
            head = self._head(sealed)
            if head is not None:
                name, partition, position, reason, sent, key, size = head
                content = self._seal.opened(value)
                found.append(
                    Quarantined(
                        id_, name, partition, position, reason, at, sent, key, content, size
                    )
                )
        return found

    def counts(self, db: apsw.Connection) -> list[tuple[str, str, int]]:
        """Return (source, reason, number of messages), the most frequent first."""
        groups: Counter[tuple[str, str]] = Counter()
        for (sealed,) in db.execute("SELECT head FROM sealed_message"):
            head = self._head(sealed)
            if head is not None:
                groups[head[0], head[3]] += 1
        order = sorted(groups.items(), key=lambda group: (-group[1], group[0]))
        return [(source, reason, count) for (source, reason), count in order[:MOST_GROUPS]]

    def remove(self, db: apsw.Connection, ids: Iterable[int]) -> None:
        """Destroy the keys of messages, and remove them."""
        rows = [(one,) for one in ids]
        heads = [head for row in rows for head in _all(db, _HEAD_OF, *row)]
        self._seal.destroy(head for (head,) in heads)
        db.executemany("DELETE FROM sealed_message WHERE id = ?", rows)

    def drop(self, db: apsw.Connection, source: str | None) -> int:
        """Destroy the keys of all messages, or of those of one source, and remove them."""
        where, bindings = self._where(source)
        heads = _all(db, f"SELECT head FROM sealed_message WHERE {where}", *bindings)  # noqa: S608
        self._seal.destroy(head for (head,) in heads)
        db.execute(f"DELETE FROM sealed_message WHERE {where}", bindings)  # noqa: S608
        return int(db.changes())

    def _where(self, source: str | None) -> tuple[str, list[bytes]]:
        return ("true", []) if source is None else ("source = ?", [self._seal.digest(source)])

    def _head(self, sealed: bytes) -> Any:
        """Return the opened head of a message; None if its key was destroyed."""
        opened = self._seal.opened(sealed)
        return None if opened == TOMBSTONE else msgspec.msgpack.decode(opened)


_HEAD_OF = "SELECT head FROM sealed_message WHERE id = ?"


def _head(one: Quarantined) -> bytes:
    return msgspec.msgpack.encode(
        (one.source, one.partition, one.position, one.reason, one.sent, one.key, one.size)
    )


def _all(db: apsw.Connection, query: str, *bindings: object) -> list[Any]:
    return db.execute(query, bindings).fetchall()
