"""The table of erased users in a SQLite log; it is created with the first erasure."""

import os
from typing import Any

import apsw

from nearline.log.base import ForgottenRows
from nearline.log.forgotten import MOST_EVENTS, MOST_USERS, SECRET_BYTES, Erasure
from nearline.sealing import Seal

_SECRET, _USER, _EVENT = 0, 1, 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS forgotten (
    number INTEGER PRIMARY KEY, kind INTEGER NOT NULL, digest BLOB NOT NULL, time REAL NOT NULL,
    UNIQUE (kind, digest)
) STRICT
"""
_EXISTS = "SELECT count(*) FROM sqlite_schema WHERE name = 'forgotten'"
_ROWS = "SELECT kind, digest, time FROM forgotten ORDER BY number"
_ADD = "INSERT OR REPLACE INTO forgotten (kind, digest, time) VALUES (?, ?, ?)"
_LIMIT = (
    "DELETE FROM forgotten WHERE kind = ?1 AND number <= coalesce("
    "(SELECT number FROM forgotten WHERE kind = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2), -1)"
)


def stored_rows(db: apsw.Connection, seal: Seal | None) -> ForgottenRows:
    """Return the content of the table; empty without one. The secret may be sealed."""
    if not db.execute(_EXISTS).get:
        return ForgottenRows()
    secret, users, events = b"", [], []
    rows: Any = db.execute(_ROWS)
    for kind, digest, time in rows:
        if kind == _SECRET:
            secret = digest if seal is None else seal.opened(digest)
        elif kind == _USER:
            users.append((digest, time))
        else:
            events.append(digest)
    return ForgottenRows(secret, users, events)


def new_secret() -> bytes:
    """Return a key of hashes for a log without any."""
    return os.urandom(SECRET_BYTES)


def store_rows(db: apsw.Connection, seal: Seal | None, rows: ForgottenRows) -> None:
    """Create the table, and add rows; the secret is sealed if the log is. Needs a transaction."""
    if not rows.secret:
        return
    db.execute(_SCHEMA)
    secret = rows.secret if seal is None else seal.payloads([None], [rows.secret])[0]
    db.execute("DELETE FROM forgotten WHERE kind = ?", (_SECRET,))
    db.execute(_ADD, (_SECRET, secret, 0.0))
    db.executemany(_ADD, [(_USER, digest, time) for digest, time in rows.users])
    db.executemany(_ADD, [(_EVENT, digest, 0.0) for digest in rows.events])


def store_erasure(db: apsw.Connection, erasure: Erasure) -> None:
    """Add an erasure to the table, and drop the oldest rows beyond the limits."""
    db.execute(_ADD, (_USER, erasure.user, erasure.time))
    db.executemany(_ADD, [(_EVENT, digest, erasure.time) for digest in erasure.events])
    for kind, most in ((_USER, MOST_USERS), (_EVENT, MOST_EVENTS)):
        db.execute(_LIMIT, (kind, most))
