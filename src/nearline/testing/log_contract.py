"""Contract tests that every implementation of `Log` must pass.

A test module of an implementation subclasses `LogContract` and overrides `url`::

    class TestMyLog(LogContract):
        @pytest.fixture
        def url(self, tmp_path):
            return f"mylog://{tmp_path}/log"
"""
# ruff: noqa: S101

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event as Signal
from typing import Any

import pytest
from msgspec.structs import replace

from nearline.errors import Closed
from nearline.log.base import Appended, Log
from nearline.schema import Erased, Event, Record, UserRecord
from nearline.testing.log_case import WAIT, Listener, append, block, erase, event
from nearline.testing.log_copies import LogCopyTests
from nearline.testing.log_forgotten import LogForgottenTests
from nearline.testing.log_records import LogRecordTests


class LogContract(LogRecordTests, LogCopyTests, LogForgottenTests):
    """Contract tests of `Log`: records, listeners, concurrency, copies, opening and closing.

    A subclass overrides the fixture `url`, a URL that `nearline.log.open_log` knows, and sets
    ``durable = False`` if the log does not keep records after it is closed.
    """

    # Known keys

    def test_known_ids_are_those_of_stored_events(self, log: Log) -> None:
        """Also those of blocks; those of erased events are not."""
        append(log, event("a", event_id="e"), event("b"))
        log.append(block(event("c", event_id="f"), event("d"))).result(WAIT)
        assert log.known(["x", "f", "e", "f"]) == [False, True, True, True]
        erase(log, "a")
        assert log.known(["e", "f"]) == [False, True]
        assert log.known([]) == []

    def test_one_event_is_erased(self, log: Log) -> None:
        """Others of the user stay; its id may be stored again; an unknown id erases nothing."""
        listener = Listener()
        log.listen(listener.on_commit, listener.on_erase)
        append(log, event("a", event_id="e"), event("a", event_id="f"), event("b"))
        assert log.erase_event("e").result(WAIT) == 1
        assert log.erase_event("e").result(WAIT) == 0
        assert log.erase_event("x").result(WAIT) == 0
        assert [type(record) for _, record in log.read()] == [Erased, Event, Event]
        assert log.events_of("a") == [(1, event("a", event_id="f"))]
        assert log.erasures == 1
        assert append(log, event("a", event_id="e")).accepted == 1

    def test_expired_events_are_erased(self, log: Log) -> None:
        """The oldest 500 of a user at once; others stay."""
        listener = Listener()
        log.listen(listener.on_commit, listener.on_erase)
        old = [replace(event("a"), timestamp=1e9 + at) for at in range(501)]
        newest = replace(event("a"), timestamp=2e9)
        append(log, *old, newest, replace(old[0], event="buy"), replace(old[0], user_id="b"))
        cutoffs = {"view": 1.5e9}
        assert log.erase_expired("a", cutoffs).result(WAIT) == 500
        assert [offset for offset, _ in log.records_of("a")] == [500, 501, 502]
        assert log.erase_expired("a", cutoffs).result(WAIT) == 1
        assert log.erase_expired("a", cutoffs).result(WAIT) == 0
        assert log.erasures == 2
        assert [offset for offset, _ in log.records_of("a")] == [501, 502]
        assert isinstance(next(log.read(503))[1], Event)

    # The listener

    def test_the_listener_is_notified_before_the_future(self, log: Log) -> None:
        """The state is updated before the append is acknowledged."""
        gate = Signal()
        listener = Listener(gate)
        log.listen(listener.on_commit, listener.on_erase)
        future = log.append([event("a")])
        assert listener.entered.wait(WAIT)
        assert not future.done()
        assert log.end == 1
        gate.set()
        assert future.result(WAIT).offset == 1

    def test_the_listener_gets_the_stored_records(self, log: Log) -> None:
        """A commit contains no duplicates, and an empty commit does not notify the listener."""
        listener = Listener()
        log.listen(listener.on_commit, listener.on_erase)
        append(log, event("a", event_id="e"), event("b", event_id="e"), event("c"))
        append(log, event("a", event_id="e"))
        append(log)
        assert listener.commits == [[(0, event("a", event_id="e")), (1, event("c"))]]

    def test_the_listener_gets_the_events_of_blocks(self, log: Log) -> None:
        """Blocks are reported as pairs of offset and event, without duplicates."""
        listener = Listener()
        log.listen(listener.on_commit, listener.on_erase)
        append(log, event("a", event_id="e"))
        log.append(block(event("b", event_id="e"), event("c"), event("d"))).result(WAIT)
        log.append(block(event("b", event_id="e"))).result(WAIT)
        log.append(block()).result(WAIT)
        assert listener.seen == list(log.read())
        assert listener.seen[1:] == [(1, event("c")), (2, event("d"))]

    def test_the_listener_gets_erasures(self, log: Log) -> None:
        """The erased events are reported before the erasure is acknowledged."""
        listener = Listener()
        log.listen(listener.on_commit, listener.on_erase)
        append(log, event("a", "i1"), event("b"), event("a", "i2"))
        erase(log, "nobody")
        erase(log, "a")
        assert listener.erased == [("a", [(0, event("a", "i1")), (2, event("a", "i2"))])]

    def test_a_listener_first_gets_the_stored_records(self, log: Log) -> None:
        """`listen` reports stored records from `start` on, then each commit, without repetition."""
        append(log, event("a"), event("b"), event("c"))
        erase(log, "b")
        listener = Listener()
        log.listen(listener.on_commit, listener.on_erase, start=1)
        assert listener.seen == [(1, Erased()), (2, event("c"))]
        append(log, event("d"))
        assert listener.seen[2:] == [(3, event("d"))]
        assert listener.erased == []

    def test_by_default_a_listener_gets_the_whole_log(self, log: Log) -> None:
        """The default of `start` is offset 0, as in `read` and `tail`."""
        append(log, event("a"), event("b"))
        listener = Listener()
        log.listen(listener.on_commit, listener.on_erase)
        assert listener.seen == [(0, event("a")), (1, event("b"))]

    def test_a_listener_that_fails_on_a_stored_record_is_not_set(self, log: Log) -> None:
        """The error is raised in the caller, and the log remains usable."""

        def fail(_records: Sequence[tuple[int, Record]]) -> None:
            raise ZeroDivisionError

        append(log, event("a"))
        with pytest.raises(ZeroDivisionError):
            log.listen(fail, Listener().on_erase)
        assert append(log, event("b")).offset == 2

    def test_a_listener_that_fails_stops_the_log(self, log: Log) -> None:
        """Committed records are kept; later writes fail, since the state lacks the records."""

        def fail(_records: Sequence[tuple[int, Record]]) -> None:
            raise ZeroDivisionError("broken")

        log.listen(fail, Listener().on_erase)
        with pytest.raises(ZeroDivisionError, match="broken"):
            append(log, event("a"))
        with pytest.raises(Closed, match="broken"):
            log.append([event("b")])
        with pytest.raises(Closed, match="broken"):
            log.erase("a")
        assert list(log.read()) == [(0, event("a"))]

    def test_queued_operations_fail_when_the_listener_fails(self, log: Log) -> None:
        """Queued operations fail with `Closed` and store nothing."""
        entered, gate = Signal(), Signal()

        def fail(_records: Sequence[tuple[int, Record]]) -> None:
            entered.set()
            assert gate.wait(WAIT)
            raise ZeroDivisionError

        log.listen(fail, Listener().on_erase)
        first = log.append([event("a")])
        assert entered.wait(WAIT)
        waiting: list[Future[Any]] = [log.append([event("b")]), log.erase("a")]
        gate.set()
        assert isinstance(first.exception(WAIT), ZeroDivisionError)
        assert [type(future.exception(WAIT)) for future in waiting] == [Closed, Closed]
        assert list(log.read()) == [(0, event("a"))]

    def test_a_listener_that_fails_to_erase_stops_the_log(self, log: Log) -> None:
        """The log is closed, since it has erased the user but the state has not."""

        def fail(_user_id: str, _events: Sequence[tuple[int, UserRecord]]) -> None:
            raise ZeroDivisionError

        log.listen(Listener().on_commit, fail)
        append(log, event("a"))
        with pytest.raises(ZeroDivisionError):
            erase(log, "a")
        with pytest.raises(Closed, match="ZeroDivisionError"):
            log.append([event("b")])
        assert list(log.read()) == [(0, Erased())]

    # Following

    def test_tail_goes_on_as_records_are_committed(self, log: Log) -> None:
        """`tail` yields all records from an offset on; it raises when the log is closed."""
        append(log, event("a"), event("b"))
        with ThreadPoolExecutor(1) as pool:
            tail = log.tail(1)
            assert next(tail) == (1, event("b"))
            following = pool.submit(next, tail)
            append(log, event("c"))
            append(log, event("d"), event("e"))
            seen = log.tail(2)
            assert [next(seen) for _ in range(3)] == [
                (2, event("c")),
                (3, event("d")),
                (4, event("e")),
            ]
            assert following.result(WAIT) == (2, event("c"))
            waiting = pool.submit(list, seen)
            log.close()
            with pytest.raises(Closed):
                waiting.result(WAIT)

    # Several threads

    def test_eight_writers_and_one_order(self, log: Log) -> None:
        """The listener receives each offset once, in order; lists of records are contiguous."""
        listener = Listener()
        log.listen(listener.on_commit, listener.on_erase)

        def write(writer: int) -> list[Future[Appended]]:
            return [
                log.append([event(f"w{writer}", f"{n}/{part}") for part in range(3)])
                for n in range(50)
            ]

        with ThreadPoolExecutor(8) as pool:
            futures = list(pool.map(write, range(8)))
        for writer, mine in enumerate(futures):
            for n, future in enumerate(mine):
                offset = future.result(WAIT).offset
                assert [r for _, r in log.read(offset - 3, offset)] == [
                    event(f"w{writer}", f"{n}/{part}") for part in range(3)
                ]
            assert [f.result() for f in mine] == sorted(
                (f.result() for f in mine), key=lambda answer: answer.offset
            )
        assert [offset for offset, _ in listener.seen] == list(range(1_200))
        assert listener.seen == list(log.read())

    def test_reading_while_writing(self, log: Log) -> None:
        """A reader that resumes at its last offset reads each record once, in complete lists."""
        futures = [log.append([event(f"u{n}"), event(f"v{n}")]) for n in range(400)]
        seen: list[tuple[int, Record]] = []
        while len(seen) < 800:
            seen += log.read(len(seen))
            assert len(seen) % 2 == 0
        assert [f.result(WAIT).offset for f in futures] == list(range(2, 801, 2))
        assert [offset for offset, _ in seen] == list(range(800))
        assert seen == list(log.read())

    def test_a_cancelled_append_is_not_stored(self, log: Log) -> None:
        """An append can be cancelled until the writer starts it."""
        gate = Signal()
        listener = Listener(gate)
        log.listen(listener.on_commit, listener.on_erase)
        running = log.append([event("a")])
        assert listener.entered.wait(WAIT)
        waiting = log.append([event("b")])
        assert (running.cancel(), waiting.cancel()) == (False, True)
        gate.set()
        assert append(log, event("c")).offset == 2

    # Closing and opening again

    def test_closing_finishes_what_is_queued(self, log: Log) -> None:
        """All futures have results after closing, and closing is idempotent."""
        futures = [log.append([event(f"u{n}")]) for n in range(100)]
        log.close()
        log.close()
        assert [future.result(0).offset for future in futures] == list(range(1, 101))

    def test_a_closed_log_refuses(self, log: Log) -> None:
        """All operations raise `Closed`, including a read that is in progress."""
        append(log, *(event(f"u{n}") for n in range(1_500)))
        reading = log.read()
        next(reading)
        log.close()
        with pytest.raises(Closed):
            list(reading)
        with pytest.raises(Closed):
            log.append([event("a")])
        with pytest.raises(Closed):
            log.erase("a")
        with pytest.raises(Closed):
            log.read()

    def test_opened_again_it_goes_on(self, log: Log, reopen: Callable[[Log], Log]) -> None:
        """A reopened log has the same records, tombstones, event IDs, end and erasure count."""
        append(log, event("a", event_id="e1"), event("b", event_id="e2"), event("b"))
        erase(log, "b")
        log = reopen(log)
        assert (log.end, log.erasures) == (3, 1)
        assert append(log, event("x", event_id="e1")).duplicates == 1
        assert append(log, event("c")).offset == 4
        log = reopen(log)
        assert list(log.read()) == [
            (0, event("a", event_id="e1")),
            (1, Erased()),
            (2, Erased()),
            (3, event("c")),
        ]

    def test_opened_again_after_its_listener_failed(
        self, log: Log, reopen: Callable[[Log], Log]
    ) -> None:
        """A reopened log contains the commit that the listener did not process."""

        def fail(_records: Sequence[tuple[int, Record]]) -> None:
            raise ZeroDivisionError

        log.listen(fail, Listener().on_erase)
        with pytest.raises(ZeroDivisionError):
            append(log, event("a"))
        log = reopen(log)
        assert list(log.read()) == [(0, event("a"))]
        assert append(log, event("b")).offset == 2
