"""Contract tests of logs: what is left out after the erasure of a user."""
# ruff: noqa: S101

from collections.abc import Callable, Sequence
from pathlib import Path

from nearline.log.base import Appended, Log
from nearline.log.opening import open_log
from nearline.schema import Event, UserPut
from nearline.testing.log_case import WAIT, Listener, LogCase, append, block


def at(time: float, user: str = "a", event_id: str | None = None, item: str = "i") -> Event:
    """Create an event at a time."""
    return Event(user_id=user, item_id=item, timestamp=time, event_id=event_id)


class LogForgottenTests(LogCase):
    """Contract tests of events that arrive again after their user was erased."""

    def test_an_older_event_does_not_bring_an_erased_user_back(self, log: Log) -> None:
        """Neither one by one nor in a block; a later event begins a new history."""
        listener = Listener()
        log.listen(listener.on_commit, listener.on_erase)
        append(log, at(5.0), at(6.0, event_id="e"), at(7.0, "b", "f"))
        assert log.erase("a", 10.0).result(WAIT) == 2
        old: Sequence[Event] = [at(5.0), at(9.9, item="j"), at(11.0, event_id="e"), at(5.0, "b")]
        assert append(log, *old) == Appended(1, 0, 4, forgotten=3)
        answer = log.append(block(*old, at(7.0, "b", "f"))).result(WAIT)
        assert answer == Appended(1, 1, 5, forgotten=3)
        assert log.records_of("a") == []
        assert append(log, at(10.0), at(12.0, event_id="g")).accepted == 2
        profile = UserPut(user_id="a", timestamp=1.0, attributes={"age": 31})
        assert append(log, profile, at(12.0, event_id="g")) == Appended(1, 1, 8)
        assert [offset for offset, _ in log.records_of("a")] == [5, 6, 7]
        assert listener.seen[2:] == list(log.read(2))

    def test_an_erasure_without_a_time_is_not_remembered(self, log: Log) -> None:
        """So that single parts of the package can erase and store again."""
        append(log, at(5.0, event_id="e"))
        log.erase("a").result(WAIT)
        assert append(log, at(5.0, event_id="e")).accepted == 1

    def test_erased_users_are_remembered_if_nothing_was_stored(self, log: Log) -> None:
        """Their events may wait in a client; the last erasure counts."""
        assert log.erase("a", 3.0).result(WAIT) == 0
        assert log.erase("a", 8.0).result(WAIT) == 0
        assert append(log, at(5.0), at(8.0)) == Appended(1, 0, 1, forgotten=1)

    def test_events_can_be_admitted_again(self, log: Log) -> None:
        """The person who was erased may bring an export back."""
        append(log, at(5.0, event_id="e"))
        log.erase("a", 10.0).result(WAIT)
        answer = log.append([at(5.0, event_id="e")], readmit=True).result(WAIT)
        assert answer.accepted == 1
        assert append(log, at(5.0)).forgotten == 1

    def test_copies_remember_erasures(self, log: Log, tmp_path: Path) -> None:
        """A restored copy refuses the same events."""
        append(log, at(5.0, event_id="e"), at(5.0, "b"))
        log.erase("a", 10.0).result(WAIT)
        log.copy_to(tmp_path / "copy.db")
        with open_log(str(tmp_path / "copy.db"), read_only=True) as reader:
            assert [time for _, time in reader.forgotten.users] == [10.0]
        copy = open_log(str(tmp_path / "copy.db"))
        try:
            assert append(copy, at(5.0), at(20.0, event_id="e")).forgotten == 2
        finally:
            copy.close()

    def test_a_log_that_is_opened_again_remembers(
        self, log: Log, reopen: Callable[[Log], Log]
    ) -> None:
        """Erasures are durable."""
        append(log, at(5.0, event_id="e"))
        log.erase("a", 10.0).result(WAIT)
        again = reopen(log)
        assert append(again, at(5.0), at(11.0, event_id="e"), at(11.0)).forgotten == 2
