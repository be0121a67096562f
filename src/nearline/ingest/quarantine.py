"""Messages of sources that are no events, kept with their position and the reason."""

import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from threading import Lock, Thread
from typing import Any, NamedTuple

import apsw

from nearline.errors import SourceFailed, StorageFailed
from nearline.schema.sources import Message

QUARANTINE = "quarantine.db"
# The connector stops when so many messages, or bytes of them, are in the quarantine.
MAX_MESSAGES = 100_000
MAX_BYTES = 1_000_000_000
# Longer messages are cut off, and cannot be replayed.
KEPT_BYTES = 1_000_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL, partition TEXT NOT NULL, position INTEGER NOT NULL,
    reason TEXT NOT NULL, at REAL NOT NULL, sent REAL, key BLOB, value BLOB NOT NULL,
    size INTEGER NOT NULL,
    UNIQUE (source, partition, position)
) STRICT
"""
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_CHARS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
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


class Quarantine:
    """Table of messages in a file of the store, or in memory.

    The file is not part of the log: its messages change no answer. It is written before the
    positions of the source, so a message is in the log, in the quarantine, or still to be read.

    Parameters
    ----------
    folder : Path or None
        Folder of the store; None for memory. The file is created with the first message.
    """

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / QUARANTINE
        self._lock = Lock()
        self._db: apsw.Connection | None = None

    def add(self, source: str, failed: Sequence[tuple[Message, str]], now: float) -> None:
        """Store messages with reasons, durably; those that are there already stay as they are.

        Raises
        ------
        SourceFailed
            The quarantine is full.
        StorageFailed
            The disk rejects the write.
        """
        rows = [
            (
                source,
                one.partition,
                one.position,
                reason,
                now,
                one.timestamp,
                one.key,
                (one.value or b"")[:KEPT_BYTES],
                len(one.value or b""),
            )
            for one, reason in failed
        ]
        with self._open() as db:
            totals: Any = db.execute(
                "SELECT count(*), coalesce(sum(length(value)), 0) FROM message"
            ).fetchall()
            count, size = totals[0]
            if count + len(rows) > MAX_MESSAGES or size > MAX_BYTES:
                raise SourceFailed(
                    f"the quarantine has {count:,} messages ({size:,} bytes), which is its limit; "
                    "look at them (nearline quarantine list), then replay or drop them"
                )
            db.executemany(
                "INSERT OR IGNORE INTO message (source, partition, position, reason, at, sent, "
                "key, value, size) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )

    def messages(
        self, source: str | None = None, *, after: int = 0, limit: int = 100
    ) -> list[Quarantined]:
        """Return messages in the order of their IDs, from the first ID above `after` on."""
        if not self.exists:
            return []
        where, bindings = ("source = ? AND ", [source]) if source is not None else ("", [])
        query = f"SELECT {_COLUMNS} FROM message WHERE {where}id > ? ORDER BY id LIMIT ?"  # noqa: S608
        with self._open() as db:
            return [Quarantined(*row) for row in db.execute(query, (*bindings, after, limit))]

    def counts(self) -> list[tuple[str, str, int]]:
        """Return (source, reason, number of messages), the most frequent first."""
        if not self.exists:
            return []
        query = (
            "SELECT source, reason, count(*) FROM message GROUP BY source, reason "
            "ORDER BY count(*) DESC, source, reason LIMIT 100"
        )
        with self._open() as db:
            return [(str(source), str(why), int(n)) for source, why, n in db.execute(query)]

    def remove(self, ids: Iterable[int]) -> None:
        """Remove messages."""
        with self._open() as db:
            db.executemany("DELETE FROM message WHERE id = ?", [(one,) for one in ids])

    def drop(self, source: str | None = None) -> int:
        """Remove all messages, or those of one source, and return their number."""
        if not self.exists:
            return 0
        with self._open() as db:
            if source is None:
                db.execute("DELETE FROM message")
            else:
                db.execute("DELETE FROM message WHERE source = ?", (source,))
            return int(db.changes())

    def forget(self, user_id: str) -> None:
        """Remove all messages in which the ID of a user occurs, and those that were cut off."""
        if not self.exists:
            return
        with self._open() as db:
            rows: Any = db.execute("SELECT id, reason, key, value, size FROM message").fetchall()
            gone = [
                (id_,)
                for id_, reason, key, value, size in rows
                if len(value) < size or _contains(user_id, reason.encode(), key or b"", value)
            ]
            db.executemany("DELETE FROM message WHERE id = ?", gone)

    def after_forgetting(self, user_id: str, erased: Future[int]) -> Future[int]:
        """Return a future that resolves like `erased`, once `forget` has returned too."""
        if not self.exists:
            return erased
        both: Future[int] = Future()

        def run() -> None:
            try:
                self.forget(user_id)
                both.set_result(erased.result())
            except BaseException as error:
                both.set_exception(error)

        Thread(target=run, name="nearline-quarantine", daemon=True).start()
        return both

    @property
    def exists(self) -> bool:
        """Whether a message was ever stored."""
        return self._db is not None or (self._path is not None and self._path.exists())

    def close(self) -> None:
        """Release the file; idempotent."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    @contextmanager
    def _open(self) -> Iterator[apsw.Connection]:
        """Return a context that is one transaction."""
        with self._lock:
            try:
                if self._db is None:
                    self._db = _connect(self._path)
                with self._db:
                    yield self._db
            except apsw.Error as error:
                raise StorageFailed(
                    f"the quarantine {self._path or 'in memory'} cannot be used: {error}; free "
                    "space or repair the disk, then try again"
                ) from error


def _connect(path: Path | None) -> apsw.Connection:
    db = apsw.Connection(":memory:" if path is None else str(path))
    db.set_busy_timeout(10_000)
    db.pragma("synchronous", "full")
    db.pragma("secure_delete", "on")
    db.execute(_SCHEMA)
    return db


def _contains(user_id: str, *parts: bytes) -> bool:
    """Return whether a text occurs, as it is or with the escapes of JSON."""
    for part in parts:
        text = part.decode(errors="replace")
        if user_id in text or ("\\" in text and user_id in _unescaped(text)):
            return True
    return False


def _unescaped(text: str) -> str:
    plain = _ESCAPE.sub(
        lambda found: chr(int(found[1], 16)) if found[1] else _CHARS.get(found[2], found[2]), text
    )
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
