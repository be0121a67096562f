"""Fixtures and helpers of the log contract tests."""
# ruff: noqa: S101

from collections.abc import Callable, Iterator, Sequence
from threading import Event as Signal
from typing import ClassVar

import msgspec
import pyarrow as pa
import pytest

from nearline.log.base import Appendable, Appended, Log
from nearline.log.opening import open_log
from nearline.schema import Event, EventBlock, Record
from nearline.schema.blocks import COLUMNS

WAIT = 30.0  # seconds until a test that hangs fails

MakeLog = Callable[[], Log]


def event(user: str, item: str = "i", event_id: str | None = None) -> Event:
    """Create an event with the given IDs and default fields."""
    return Event(user_id=user, item_id=item, timestamp=1.0, event_id=event_id)


def block(*events: Event) -> EventBlock:
    """Create a block of events without `recommendation_id` and `context`."""
    rows = [msgspec.structs.asdict(event) for event in events]
    return EventBlock(pa.RecordBatch.from_pylist(rows, schema=COLUMNS))


def append(log: Log, *records: Appendable) -> Appended:
    """Append records and wait for the acknowledgement."""
    return log.append(records).result(WAIT)


def erase(log: Log, user_id: str) -> int:
    """Erase a user and wait for the acknowledgement."""
    return log.erase(user_id).result(WAIT)


class Listener:
    """Record all notifications; if a gate is given, wait for it inside `on_commit`."""

    def __init__(self, gate: Signal | None = None) -> None:
        self.commits: list[list[tuple[int, Record]]] = []
        self.erased: list[tuple[str, list[tuple[int, Event]]]] = []
        self.entered = Signal()
        self._gate = gate

    def on_commit(self, records: Sequence[tuple[int, Record]]) -> None:
        """Record a commit."""
        self.commits.append(list(records))
        self.entered.set()
        if self._gate:
            assert self._gate.wait(WAIT)

    def on_erase(self, user_id: str, events: Sequence[tuple[int, Event]]) -> None:
        """Record an erasure."""
        self.erased.append((user_id, list(events)))

    @property
    def seen(self) -> list[tuple[int, Record]]:
        """All committed records, in order of notification."""
        return [pair for commit in self.commits for pair in commit]


class LogCase:
    """Base class that opens, closes and reopens the log under test.

    Attributes
    ----------
    durable : bool
        Whether a reopened log contains the records from before it was closed.
    """

    durable: ClassVar[bool] = True

    @pytest.fixture
    def url(self) -> str:
        """Return the URL of the log of this test."""
        raise NotImplementedError("a subclass of LogContract must override url")

    @pytest.fixture
    def make_log(self, url: str) -> MakeLog:
        """Return a function that opens the log of this test, the same log on each call."""
        return lambda: open_log(url)

    @pytest.fixture
    def log(self, make_log: MakeLog) -> Iterator[Log]:
        """Open the log, and close it after the test."""
        log = make_log()
        yield log
        log.close()

    @pytest.fixture
    def reopen(self, make_log: MakeLog) -> Iterator[Callable[[Log], Log]]:
        """Return a function that closes and reopens a log; skip if the log is not durable."""
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
