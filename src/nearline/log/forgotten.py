"""Users who were erased, as keyed hashes, so that a retried event does not bring them back.

An event of such a user is not stored again if it is older than the erasure, or if its ID is that of
an erased event. A later event begins the history of a new user. The set is bounded: the oldest
erasures are dropped first.
"""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.log.base import ForgottenRows
from nearline.log.block_codec import CodedBlock
from nearline.log.codec import event_key
from nearline.schema import Event, EventBlock, Record, UserRecord

# Erased users, and IDs of erased events, that are kept; and IDs of one user, the newest ones.
MOST_USERS = 100_000
MOST_EVENTS = 100_000
MOST_EVENTS_OF_USER = 1_000
SECRET_BYTES = 32
DIGEST_BYTES = 16
_USER, _EVENT = b"user ", b"event "


class Erasure(NamedTuple):
    """What is kept of one erasure: hashes of the user and of the event IDs, and the time."""

    user: bytes
    time: float
    events: list[bytes]


class ForgottenUsers:
    """The set in memory.

    Parameters
    ----------
    rows : ForgottenRows
        What is stored.
    """

    def __init__(self, rows: ForgottenRows) -> None:
        self.secret = rows.secret
        self._users: dict[bytes, float] = dict(rows.users)
        self._events: dict[bytes, None] = dict.fromkeys(rows.events)

    def __bool__(self) -> bool:
        return bool(self._users)

    def erasure(self, user_id: str, time: float, records: Iterable[UserRecord]) -> Erasure:
        """Return what is to be kept of the erasure of a user's records."""
        ids = [one.event_id for one in records if isinstance(one, Event) and one.event_id]
        events = [self.event_digest(event_key(one)) for one in ids[-MOST_EVENTS_OF_USER:]]
        return Erasure(self.user_digest(user_id), time, events)

    def add(self, erasure: Erasure) -> None:
        """Add an erasure after it was stored; drop the oldest ones beyond the limits."""
        self._users.pop(erasure.user, None)
        self._users[erasure.user] = erasure.time
        self._events.update(dict.fromkeys(erasure.events))
        for kept, most in ((self._users, MOST_USERS), (self._events, MOST_EVENTS)):
            while len(kept) > most:
                del kept[next(iter(kept))]

    def covers(self, record: Record) -> bool:
        """Return whether an event must not be stored; False for other records."""
        if not isinstance(record, Event):
            return False
        erased_at = self._users.get(self.user_digest(record.user_id))
        if erased_at is not None and record.timestamp < erased_at:
            return True
        event_id = record.event_id
        return event_id is not None and self.event_digest(event_key(event_id)) in self._events

    def covered(self, block: EventBlock, coded: CodedBlock) -> NDArray[np.bool_]:
        """Return for each event of a block whether it must not be stored: bool [n]."""
        columns = block.columns
        users = columns["user_id"].dictionary_encode()
        times = [self._users.get(self.user_digest(one)) for one in users.dictionary.to_pylist()]
        limits = np.array([-np.inf if one is None else one for one in times] or [0.0])
        stamps = columns["timestamp"].to_numpy()
        found: NDArray[np.bool_] = stamps < limits[users.indices.to_numpy()]
        if self._events:
            for at in np.flatnonzero(coded.keyed & ~found).tolist():
                found[at] = self.event_digest(coded.event_keys[at].tobytes()) in self._events
        return found

    def digests(
        self, records: Sequence[Record], event_keys: Sequence[bytes | None]
    ) -> Iterator[tuple[bytes | None, bytes | None, float | None]]:
        """Yield the hashes of user and event ID, and the time, of each record; None if no event."""
        for record, key in zip(records, event_keys, strict=True):
            if isinstance(record, Event):
                event = None if key is None else self.event_digest(key)
                yield self.user_digest(record.user_id), event, record.timestamp
            else:
                yield None, None, None

    def user_digest(self, user_id: str) -> bytes:
        """Return the hash of a user ID."""
        return self._digest(_USER + user_id.encode())

    def event_digest(self, key: bytes) -> bytes:
        """Return the hash of an event ID, given by its `event_key`."""
        return self._digest(_EVENT + key)

    def _digest(self, content: bytes) -> bytes:
        return blake2b(content, key=self.secret, digest_size=DIGEST_BYTES).digest()
