"""Users who were erased, in the tables of PostgreSQL; see `nearline.log.forgotten`."""

from typing import TYPE_CHECKING, Any

from nearline.log.base import ForgottenRows
from nearline.log.forgotten import MOST_EVENTS, MOST_USERS, Erasure

if TYPE_CHECKING:
    from psycopg import Connection

_KEY = "SELECT forgotten_key FROM head"
_ROWS = "SELECT of_event, digest, time FROM forgotten ORDER BY number"
_FORGET = "SELECT forget(%b, %b::bytea[], %s, %s, %s)"
_ADD = "INSERT INTO forgotten (of_event, digest, time) VALUES (%s, %b, %s)"


def secret_of(db: "Connection[Any]") -> bytes:
    """Return the key of the hashes."""
    row = db.execute(_KEY, binary=True).fetchone()
    return bytes(row[0]) if row else b""


def rows_of(db: "Connection[Any]") -> ForgottenRows:
    """Return the hashes of erased users, and of the IDs of their events."""
    users, events = [], []
    for of_event, digest, time in db.execute(_ROWS, binary=True):
        if of_event:
            events.append(bytes(digest))
        else:
            users.append((bytes(digest), float(time)))
    return ForgottenRows(secret_of(db), users, events)


def forget(db: "Connection[Any]", erasure: Erasure) -> None:
    """Remember an erasure, and drop the oldest ones beyond the limits."""
    user, time, events = erasure
    db.execute(_FORGET, (user, events, time, MOST_USERS, MOST_EVENTS))


def load(db: "Connection[Any]", forgotten: ForgottenRows) -> None:
    """Add the hashes of another log to an empty one."""
    if not forgotten.secret:
        return
    db.execute("UPDATE head SET forgotten_key = %b", (forgotten.secret,))
    with db.cursor() as cursor:
        cursor.executemany(_ADD, [(False, digest, time) for digest, time in forgotten.users])
        cursor.executemany(_ADD, [(True, digest, 0.0) for digest in forgotten.events])
