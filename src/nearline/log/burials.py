"""Erasures in progress: a user's records are overwritten in pieces, between other writes.

An erasure of more records than one piece first stores a *marker*: a hash of the user ID, and the
offset before which all records of this user are erased. From this commit on, these are hidden from
all readers. Then they are overwritten piece by piece. If the process ends before the marker is
removed, the rest is overwritten after the log is opened again.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from hashlib import blake2b
from typing import NamedTuple

from nearline.errors import StorageFailed
from nearline.log.codec import decode, keys_of, user_key
from nearline.log.runs import Buried
from nearline.schema import USER_RECORDS, Erased, Record, UserRecord

# Events of one transaction, for which other writes wait a few milliseconds.
PIECE = 500
DIGEST_BYTES = 16
# Seconds between attempts to empty the write-ahead file while a reader needs it, and between
# attempts after a failure that was reported.
BUSY_SECONDS, RETRY_SECONDS = 0.01, 1.0
_PREFIX = "erasing"
_ERASED = Erased()


class Marker(NamedTuple):
    """Marker of an erasure.

    Attributes
    ----------
    user_key : int
        Hash of the user ID by which the log's index finds events.
    digest : bytes
        Longer hash, which distinguishes users with the same `user_key`.
    """

    user_key: int
    digest: bytes

    @classmethod
    def of(cls, user_id: str) -> "Marker":
        """Return the marker of a user."""
        return cls(user_key(user_id), _digest(user_id))

    @property
    def name(self) -> str:
        """Name in the table `meta`."""
        return f"{_PREFIX} {self.user_key} {self.digest.hex()}"

    @classmethod
    def parse(cls, name: str) -> "Marker | None":
        """Return the marker with a name; None if the name is that of another value."""
        prefix, *rest = name.split(" ")
        return cls(int(rest[0]), bytes.fromhex(rest[1])) if prefix == _PREFIX else None

    def covers(self, record: Record) -> bool:
        """Return whether a record names the user."""
        return isinstance(record, USER_RECORDS) and _digest(record.user_id) == self.digest


def without_erased(hidden: Mapping[bytes, int], offset: int, record: Record) -> Record:
    """Return a record, or `Erased` for one that is being erased.

    `hidden` contains the digest of each user and the offset before which records are
    hidden.
    """
    if isinstance(record, USER_RECORDS) and offset < hidden.get(_digest(record.user_id), 0):
        return _ERASED
    return record


def payloads_of(
    hidden: Mapping[bytes, int], blocks: Iterable[list[tuple[int, bytes]]]
) -> Iterator[tuple[int, list[bytes]]]:
    """Yield the first offset and the payloads of each block, without those being erased."""
    for block in blocks:
        payloads = [payload for _, payload in block]
        if hidden:
            for at, (offset, payload) in enumerate(block):
                record = decode(offset, payload)
                if without_erased(hidden, offset, record) is not record:
                    payloads[at] = b"\0"
        yield block[0][0], payloads


def buried(records: Sequence[tuple[int, UserRecord]]) -> list[Buried]:
    """Return the keys of records that name a user."""
    return [
        Buried(offset, user_key(record.user_id), keys_of(record)[1]) for offset, record in records
    ]


class Graveyard(NamedTuple):
    """The operations of the log's tables that burials need."""

    bury: Callable[[Sequence[Buried]], None]
    scrub: Callable[[], None]
    unmark: Callable[[Marker, int], None]


class Burial:
    """The rest of one user's erasure.

    Attributes
    ----------
    end : int
        Offset before which the events of the user are erased; 0 if there is no marker.
    due : float
        Time of the next step, by `time.monotonic`.
    """

    def __init__(self, marker: Marker) -> None:
        self.end = 0
        self._marker = marker
        self.due = 0.0
        self._events: list[tuple[int, UserRecord]] = []
        self._futures: list[tuple[Future[int], int]] = []
        self._erased = 0
        self._busy_since: float | None = None

    def wait_for(self, future: Future[int], events: int) -> None:
        """Resolve `future` to the number of `events` when the burial is complete."""
        self._futures.append((future, events))
        self._erased += events
        self.due = 0.0

    def add(self, events: Sequence[tuple[int, UserRecord]], end: int) -> None:
        """Add events that a marker hides, but that are not overwritten yet."""
        self._events.extend(events)
        self.end = end

    @property
    def awaited(self) -> bool:
        """Whether a future waits for the burial."""
        return bool(self._futures)

    def step(self, graveyard: Graveyard, patience: float) -> bool:
        """Overwrite one piece, or empty the write-ahead file; return whether all is done.

        If that fails, the futures raise the error, and the step is tried again later. A reader that
        needs the write-ahead file is not an error until `patience` seconds have passed.
        """
        try:
            if self._events:
                graveyard.bury(buried(self._events[-PIECE:]))
                del self._events[-PIECE:]
                return False
            if not self._scrubbed(graveyard, patience):
                return False
            if self.end:
                graveyard.unmark(self._marker, self.end)
        except Exception as error:
            self._fail(error)
            return False
        for future, events in self._futures:
            future.set_result(events)
        return True

    def _scrubbed(self, graveyard: Graveyard, patience: float) -> bool:
        now = time.monotonic()
        try:
            graveyard.scrub()
        except StorageFailed as error:
            if self._busy_since is None:
                self._busy_since = now
            if now - self._busy_since < patience:
                self.due = now + BUSY_SECONDS
                return False
            raise StorageFailed(
                f"{self._erased} records were erased from the log, but its write-ahead file may "
                f"still contain their bytes ({error.__cause__}); erase the user again"
            ) from error
        return True

    def _fail(self, error: Exception) -> None:
        for future, _ in self._futures:
            future.set_exception(error)
        self._futures = []
        self._busy_since = None
        self.due = time.monotonic() + RETRY_SECONDS


class Burials:
    """All burials in progress, in the order in which they began.

    Parameters
    ----------
    graveyard : Graveyard
        Operations of the tables.
    patience : callable
        Returns the seconds for which a reader may delay the end of a burial.
    """

    def __init__(self, graveyard: Graveyard, patience: Callable[[], float]) -> None:
        self._graveyard = graveyard
        self._patience = patience
        self._by_user: dict[Marker, Burial] = {}

    def of(self, marker: Marker) -> Burial:
        """Return the burial of a user, which is added if there is none."""
        return self._by_user.setdefault(marker, Burial(marker))

    @property
    def awaited(self) -> bool:
        """Whether a future waits for a burial, or the next step is due."""
        awaited = any(burial.awaited for burial in self._by_user.values())
        return awaited or self.seconds_left() == 0.0

    def seconds_left(self) -> float | None:
        """Return the seconds until the next step is due; None if there is no burial."""
        if not self._by_user:
            return None
        due = min(burial.due for burial in self._by_user.values())
        return max(0.0, due - time.monotonic()) if due else 0.0

    def step(self) -> None:
        """Take one step of the first burial that is due, if any."""
        now = time.monotonic()
        for marker, burial in self._by_user.items():
            if burial.due <= now:
                if burial.step(self._graveyard, self._patience()):
                    del self._by_user[marker]
                return


def _digest(user_id: str) -> bytes:
    return blake2b(user_id.encode(), digest_size=DIGEST_BYTES).digest()
