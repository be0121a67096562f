"""Fixtures and helper functions of the contract tests of logs."""
# ruff: noqa: S101

from collections.abc import Callable, Iterator, Sequence
from threading import Event as Signal
from typing import ClassVar

import msgspec
import pyarrow as pa
import pytest

from nearline.log.base import Appendable, Appended, Log
from nearline.log.opening import open_log
from nearline.schema import (
    Consent,
    Critique,
    CritiqueRevoked,
    Event,
    EventBlock,
    ItemsShown,
    Record,
    TagDeleted,
    UserPatched,
    UserPut,
    UserRecord,
)
from nearline.schema.blocks import COLUMNS

WAIT = 120.0  # seconds after which a test that waits fails

MakeLog = Callable[[], Log]


def event(user: str, item: str = "i", event_id: str | None = None) -> Event:
    """Create an event with the given IDs at time 1.0; other fields have their defaults."""
    return Event(user_id=user, item_id=item, timestamp=1.0, event_id=event_id)


def profile_records(user: str) -> list[Appendable]:
    """Create a record of each kind about a user beside events."""
    return [
        UserPut(user_id=user, timestamp=1.0, attributes={"age": 31, "likes": ["tea", 1, True]}),
        UserPatched(user_id=user, timestamp=2.0, attributes={"age": None, "country": "FR"}),
        Critique(user_id=user, timestamp=3.0, critique_id="c", less_of={"brand": "x"}),
        CritiqueRevoked(user_id=user, timestamp=4.0, critique_id="c"),
        ItemsShown(user_id=user, timestamp=5.0, number=1, item_ids=["i", "j"], times=[4.5, 5.0]),
        Consent(user_id=user, timestamp=6.0, profiling=False, purposes=["lists"]),
        TagDeleted(user_id=user, timestamp=7.0, tag="tea"),
    ]


def block(*events: Event) -> EventBlock:
    """Create a block from events that have neither `recommendation_id` nor `context`."""
    rows = [msgspec.structs.asdict(event) for event in events]
    return EventBlock(pa.RecordBatch.from_pylist(rows, schema=COLUMNS))


def append(log: Log, *records: Appendable) -> Appended:
    """Append records, wait for the acknowledgement and return it."""
    return log.append(records).result(WAIT)


def erase(log: Log, user_id: str) -> int:
    """Erase a user, wait for the acknowledgement and return the number of erased events."""
    return log.erase(user_id).result(WAIT)


class Listener:
    """Listener of a log that records all notifications.

    Parameters
    ----------
    gate : threading.Event or None
        Event for which `on_commit` waits before it returns.

    Attributes
    ----------
    commits : list of list of (offset, Record)
        Records of each commit.
    erased : list of (user_id, list of (offset, UserRecord))
        Records of each erasure.
    entered : threading.Event
        Set when `on_commit` was called.
    """

    def __init__(self, gate: Signal | None = None) -> None:
        self.commits: list[list[tuple[int, Record]]] = []
        self.erased: list[tuple[str, list[tuple[int, UserRecord]]]] = []
        self.entered = Signal()
        self._gate = gate

    def on_commit(self, records: Sequence[tuple[int, Record]]) -> None:
        """Record a commit, and wait for the gate if there is one."""
        self.commits.append(list(records))
        self.entered.set()
        if self._gate:
            assert self._gate.wait(WAIT)

    def on_erase(self, user_id: str, events: Sequence[tuple[int, UserRecord]]) -> None:
        """Record an erasure."""
        self.erased.append((user_id, list(events)))

    @property
    def seen(self) -> list[tuple[int, Record]]:
        """All committed records, in order of notification."""
        return [pair for commit in self.commits for pair in commit]


class LogCase:
    """Base class of contract tests, with fixtures that open, close and reopen the tested log.

    Attributes
    ----------
    durable : bool
        Whether a log that is reopened contains the records from before it was closed.
    """

    durable: ClassVar[bool] = True

    @pytest.fixture
    def url(self) -> str:
        """Return the URL of the log of a test; subclasses must override this fixture."""
        raise NotImplementedError("a subclass of LogContract must override url")

    @pytest.fixture
    def make_log(self, url: str) -> MakeLog:
        """Return a function that opens the log of a test: on each call, the same log."""
        return lambda: open_log(url)

    @pytest.fixture
    def log(self, make_log: MakeLog) -> Iterator[Log]:
        """Return the open log of a test, which is closed after the test."""
        log = make_log()
        yield log
        log.close()

    @pytest.fixture
    def reopen(self, make_log: MakeLog) -> Iterator[Callable[[Log], Log]]:
        """Return a function that closes and reopens a log; skip the test if it is not durable."""
        if not self.durable:
            pytest.skip("this log is not durable")
        opened: list[Log] = []

        def reopened(log: Log) -> Log:
            log.close()
            opened.append(make_log())
            return opened[-1]

        yield reopened
        for log in opened:
            log.close()
