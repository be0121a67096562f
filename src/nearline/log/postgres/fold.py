"""Delivery of the log to its listener: each record once, in order, whoever appended it."""

import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Condition, RLock
from typing import TYPE_CHECKING, Any

from nearline.errors import Closed, Damaged
from nearline.log.base import OnCommit, OnErase
from nearline.log.codec import decode
from nearline.log.postgres import session
from nearline.log.postgres.session import LogHead
from nearline.schema import USER_RECORDS, Record, UserRecord

if TYPE_CHECKING:
    from psycopg import Connection

_ERASED_ROWS = "SELECT place, payload FROM log WHERE erased = %s AND place < %s ORDER BY place"
# Seconds for which a follower waits for the records that its own server is committing.
OWN_SECONDS = 0.2
_BURIED = "SELECT buried FROM erasures WHERE number = %s"


class Fold:
    """What a server has read of the log, and its listener.

    Attributes
    ----------
    end : int
        Known end of the log.
    applied : int
        Every record before this offset was delivered.
    erasures : int
        Number of erasures whose delivery has begun; records of later ones still look as before.
    forgotten : int
        Number of erasures whose delivery has ended, which this server reports to the others.
    changed : Condition
        Notified when one of these changes, and when the log is closed.
    failure : BaseException or None
        Error of the listener or of reading, after which nothing is delivered.
    """

    def __init__(self, head: LogHead, shown: str) -> None:
        self.end = self.applied = head.end
        self.erasures = self.forgotten = head.erasures
        self.changed = Condition()
        self.failure: BaseException | None = None
        # Own commits that are in flight or not delivered yet: the writer delivers these itself.
        self.own = 0
        self._failed = (0, 0)  # offsets whose delivery failed
        self._failed_erasure = 0
        self._shown = shown
        self._lock = RLock()
        self._on_commit: OnCommit | None = None
        self._on_erase: OnErase | None = None
        self._thread: int | None = None

    @property
    def delivers_here(self) -> bool:
        """Whether this thread is calling the listener."""
        return self._thread == threading.get_ident()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Return a context in which nothing is delivered."""
        with self._lock:
            yield

    def listen(self, on_commit: OnCommit, on_erase: OnErase) -> None:
        """Set the only listener, which has received the records before `applied`."""
        self._on_commit, self._on_erase = on_commit, on_erase

    def notice(self, end: int) -> None:
        """Note that the log ends at `end` or later."""
        if end > self.end:
            with self.changed:
                self.end = max(self.end, end)
                self.changed.notify_all()

    def refuse(self) -> None:
        """Raise `Closed` if nothing can be delivered any more."""
        if self.failure is not None:
            raise self.refusal() from self.failure

    def refusal(self) -> Closed:
        """Return the error of writes after a failure."""
        return Closed(
            f"the log stopped because it could not be followed ({self.failure!r}); committed "
            "records are durable: close the store and open it again, which replays them"
        )

    def error_for(self, first: int, end: int) -> BaseException:
        """Return the error of an append whose records were not delivered."""
        if self.failure is not None and self._failed[0] < end and first < self._failed[1]:
            return self.failure
        return self.refusal()

    def check_erased(self, number: int) -> None:
        """Raise the error with which the delivery of an erasure failed, if it did."""
        if self.failure is not None and self._failed_erasure == number:
            raise self.failure
        self.refuse()

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Return a context in which `catch_up` leaves records to `deliver` for a moment."""
        with self.changed:
            self.own += 1
        try:
            yield
        finally:
            with self.changed:
                self.own -= 1
                self.changed.notify_all()

    def yield_to_own(self) -> None:
        """Wait a moment for own commits, whose records need not be fetched then."""
        with self.changed:
            self.changed.wait_for(lambda: self.own == 0 or self.failure is not None, OWN_SECONDS)

    def deliver(self, db: "Connection[Any]", first: int, own: Sequence[tuple[int, Record]]) -> None:
        """Deliver records that this server has just committed, and all those before them."""
        end = first + len(own)
        self.notice(end)
        with self._lock:
            if self.failure is not None:
                raise self.error_for(first, end)
            if self.applied < first:
                self._fetch(db, first)
            if self.applied == first:
                self._commit(own, end)
            elif self.applied < end:
                self._fetch(db, end)

    def catch_up(self, db: "Connection[Any]", head: LogHead) -> None:
        """Deliver all erasures and records up to a head of the log."""
        self.notice(head.end)
        if head.end <= self.applied and head.erasures <= self.erasures:
            return
        with self._lock:
            self.refuse()
            for number in range(self.erasures + 1, head.erasures + 1):
                self._erase(db, number)
            self._fetch(db, head.end)

    def fail(self, error: BaseException) -> None:
        """Deliver nothing any more."""
        with self.changed:
            self.failure = self.failure or error
            self.changed.notify_all()

    def _fetch(self, db: "Connection[Any]", stop: int) -> None:
        while self.applied < stop:
            found = session.rows(db, self.applied, stop, self._shown)
            self._commit(list(session.records(found, self.erasures)), found[-1][0] + 1)

    def _commit(self, records: Sequence[tuple[int, Record]], end: int) -> None:
        if len(records) and self._on_commit:
            self._failed = (self.applied, end)
            with self._delivering():
                self._on_commit(records)
        with self.changed:
            self.applied = end
            self.end = max(self.end, end)
            self.changed.notify_all()

    def _erase(self, db: "Connection[Any]", number: int) -> None:
        """Deliver an erasure: the records that were delivered before it."""
        buried = db.execute(_BURIED, (number,)).fetchone()
        if buried is None or buried[0]:
            self.fail(
                Damaged(
                    "this server had no contact to the log while a user was erased, so its memory "
                    "may contain the user; restart it"
                )
            )
            self.refuse()
        of_user: dict[str, list[tuple[int, UserRecord]]] = defaultdict(list)
        for place, payload in db.execute(_ERASED_ROWS, (number, self.applied), binary=True):
            record = decode(place, payload)
            if isinstance(record, USER_RECORDS):
                of_user[record.user_id].append((place, record))
        self.erasures = self._failed_erasure = number
        if self._on_erase:
            with self._delivering():
                for user_id, erased in of_user.items():
                    self._on_erase(user_id, erased)
        with self.changed:
            self.forgotten = number
            self.changed.notify_all()

    @contextmanager
    def _delivering(self) -> Iterator[None]:
        self._thread = threading.get_ident()
        try:
            yield
        except BaseException as error:
            self.fail(error)
            raise
        finally:
            self._thread = None
