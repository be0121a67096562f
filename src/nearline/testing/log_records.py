"""Contract tests of log records: appending, reading, duplicates and tombstones."""
# ruff: noqa: S101

from threading import Event as Signal
from typing import Any

import pytest

from nearline.errors import InvalidInput
from nearline.log.base import Appendable, Appended, Log
from nearline.schema import Erased, Event, Item, ItemDeleted
from nearline.testing.log_case import (
    WAIT,
    Listener,
    LogCase,
    append,
    block,
    erase,
    event,
    profile_records,
)


class LogRecordTests(LogCase):
    """Contract tests of appending, reading and erasing records."""

    # Appending and reading

    def test_a_block_is_the_same_events_one_by_one(self, log: Log) -> None:
        """Blocks and single events can be mixed, and duplicates are detected across both."""
        append(log, event("a", event_id="e1"), event("a"))
        rich = Event(
            user_id="ü" * 256,
            item_id="i/1",
            timestamp=-1.5e-7,
            event="purchase",
            event_id="x" * 300,
            value=-0.0,
            session_id="s",
        )
        events = [
            event("b", event_id="e2"),
            event("a", event_id="e1"),
            rich,
            event("c", event_id="e2"),
            event("a"),
            event("a"),
        ]
        answer = log.append(block(*events)).result(WAIT)
        assert answer == Appended(accepted=4, duplicates=2, offset=6)
        stored = [event("a", event_id="e1"), event("a"), events[0], rich, event("a"), event("a")]
        assert list(log.read()) == list(enumerate(stored))
        assert append(log, event("z", event_id="x" * 300)).duplicates == 1
        assert erase(log, "a") == 4
        assert log.append(block(event("d", event_id="e1"))).result(WAIT).accepted == 1

    def test_a_new_log_is_empty(self, log: Log) -> None:
        """A new log has no records, no erasures, and its end is offset 0."""
        assert (log.end, log.erasures, list(log.read())) == (0, 0, [])

    def test_offsets_rise_from_zero(self, log: Log) -> None:
        """The acknowledged offset is the end of the log after the append."""
        assert append(log, event("a")) == Appended(accepted=1, duplicates=0, offset=1)
        assert append(log, event("b"), event("c")) == Appended(accepted=2, duplicates=0, offset=3)
        assert log.end == 3
        assert list(log.read()) == [(0, event("a")), (1, event("b")), (2, event("c"))]

    def test_events_and_catalogue_come_back_as_they_went_in(self, log: Log) -> None:
        """Records of all kinds are read in the order of appending, with all their fields."""
        records: list[Appendable] = [
            Event(
                user_id="ü" * 256,
                item_id="i/1",
                timestamp=1.5,
                event="purchase",
                event_id="e1",
                value=-2.5,
                session_id="s",
                recommendation_id="r",
                context={"page": "home", "n": 1, "share": 0.5, "new": True},
            ),
            Item(
                item_id="i/1",
                timestamp=2.0,
                text="words",
                title="Title",
                categories=["a", "b"],
                attributes={"size": 3, "tags": ["x", "y"], "price": 1.5},
                vectors={"image": [0.25, -1.0]},
                available=False,
            ),
            event("u"),
            ItemDeleted(item_id="i/1", timestamp=3.0),
            *profile_records("u"),
        ]
        append(log, *records)
        assert list(log.read()) == list(enumerate(records))

    def test_an_empty_list_is_answered(self, log: Log) -> None:
        """An empty append stores nothing and returns the end of the log."""
        append(log, event("a"))
        assert append(log) == Appended(accepted=0, duplicates=0, offset=1)

    @pytest.mark.parametrize(
        "bad",
        [
            Erased(),
            event("lone surrogate \ud800"),
            Event(user_id=7, item_id="i", timestamp=1.0),  # type: ignore[arg-type]
        ],
    )
    def test_append_is_atomic(self, log: Log, bad: Any) -> None:
        """One invalid entry rejects the whole list, and the error names its position."""
        with pytest.raises(InvalidInput, match="entry 1: ") as refused:
            log.append([event("a"), bad, event("b")])
        assert refused.value.position == 1
        assert append(log, event("c")) == Appended(accepted=1, duplicates=0, offset=1)

    def test_reading_resumes_exactly(self, log: Log) -> None:
        """Any range can be read, also across internal blocks."""
        records = [event(f"u{n}") for n in range(2_500)]
        append(log, *records)
        whole = list(enumerate(records))
        assert list(log.read()) == whole
        for start, stop in ((0, 1), (999, 1_001), (1_000, 2_000), (2_499, 2_500), (7, 7)):
            assert list(log.read(start, stop)) == whole[start:stop]
        assert list(log.read(1_234)) == whole[1_234:]
        assert list(log.read(2_400, 9_999)) == whole[2_400:]
        assert list(log.read(2_500)) == []
        assert list(log.read(9_999)) == []

    def test_a_negative_start_is_refused(self, log: Log) -> None:
        """Reading from a negative offset raises `InvalidInput`."""
        with pytest.raises(InvalidInput, match="-1"):
            log.read(-1)

    def test_reading_ends_where_the_log_ended(self, log: Log) -> None:
        """A read does not include records appended after it started."""
        append(log, event("a"), event("b"))
        reading = log.read()
        assert next(reading) == (0, event("a"))
        append(log, event("c"))
        assert list(reading) == [(1, event("b"))]

    # The same event twice

    def test_a_known_event_id_is_a_duplicate(self, log: Log) -> None:
        """The first event is kept even if the second differs."""
        append(log, event("a", event_id="e1"))
        answer = append(log, event("b", event_id="e1"), event("b", event_id="e2"))
        assert answer == Appended(accepted=1, duplicates=1, offset=2)
        assert list(log.read()) == [(0, event("a", event_id="e1")), (1, event("b", event_id="e2"))]

    def test_a_duplicate_inside_one_list_is_dropped(self, log: Log) -> None:
        """The first event of the list is kept."""
        answer = append(log, event("a", "i1", "e"), event("a", "i2", "e"), event("a", "i3", "e"))
        assert answer == Appended(accepted=1, duplicates=2, offset=1)
        assert list(log.read()) == [(0, event("a", "i1", "e"))]

    def test_a_duplicate_inside_one_group_is_dropped(self, log: Log) -> None:
        """In a group commit the first event is kept, and each append has its own result."""
        gate = Signal()
        listener = Listener(gate)
        log.listen(listener.on_commit, listener.on_erase)
        log.append([event("first")])
        assert listener.entered.wait(WAIT)
        futures = [log.append([event("a", f"i{n}", "e"), event("b")]) for n in range(3)]
        gate.set()
        answers = [future.result(WAIT) for future in futures]
        assert [(a.accepted, a.duplicates, a.offset) for a in answers] == [
            (2, 0, 3),
            (1, 1, 4),
            (1, 1, 5),
        ]
        assert [r for _, r in log.read(1)] == [
            event("a", "i0", "e"),
            event("b"),
            event("b"),
            event("b"),
        ]

    def test_events_without_an_id_are_never_duplicates(self, log: Log) -> None:
        """Identical events without an ID are separate events."""
        assert append(log, event("a"), event("a")).accepted == 2

    # One user

    def test_the_events_of_one_user(self, log: Log) -> None:
        """`events_of` returns offsets and events in order, and nothing after an erasure."""
        append(log, event("a", "i1"), event("b", "i1"), Item(item_id="a", timestamp=1.0))
        append(log, event("a", "i2"))
        assert log.events_of("a") == [(0, event("a", "i1")), (3, event("a", "i2"))]
        assert log.events_of("nobody") == []
        erase(log, "a")
        assert log.events_of("a") == []

    # Forgetting

    def test_erasing_leaves_tombstones(self, log: Log) -> None:
        """Only events of that user are erased, and all offsets are preserved."""
        item = Item(item_id="i", timestamp=1.0)
        append(log, event("a"), item, event("b"), event("a", event_id="e"))
        assert erase(log, "a") == 2
        assert list(log.read()) == [(0, Erased()), (1, item), (2, event("b")), (3, Erased())]
        assert (log.end, log.erasures) == (4, 1)

    def test_erasing_removes_every_record_that_names_the_user(self, log: Log) -> None:
        """Attributes and critiques too, also if the user has no events."""
        profile = profile_records("a")
        append(log, *profile, event("b"), *profile_records("b"), event("a"))
        n, last = len(profile), 2 * len(profile) + 1
        hers = [*range(n), last]
        assert [at for at, _ in log.records_of("a")] == hers
        assert [at for at, _ in log.events_of("a")] == [last]
        assert erase(log, "a") == n + 1
        assert erase(log, "nobody") == 0
        assert [at for at, record in log.read() if record == Erased()] == hers
        assert len(log.records_of("b")) == n + 1
        append(log, *profile)
        assert erase(log, "a") == n
        assert log.erasures == 2

    def test_many_profile_records_are_erased_in_pieces(self, log: Log) -> None:
        """A marker hides attributes, like events, until they are overwritten."""
        many = profile_records("a") * 300
        append(log, *many, event("b"))
        assert erase(log, "a") == len(many)
        assert log.records_of("a") == []
        assert [r for _, r in log.read() if r != Erased()] == [event("b")]

    def test_offsets_are_not_reused_after_erasing_the_last(self, log: Log) -> None:
        """The tombstone keeps the offset of the event."""
        append(log, event("a"), event("b"))
        erase(log, "b")
        assert append(log, event("c")).offset == 3
        assert list(log.read()) == [(0, event("a")), (1, Erased()), (2, event("c"))]

    def test_erasing_an_unknown_user_changes_nothing(self, log: Log) -> None:
        """The number of erasures is unchanged, so snapshots and checkpoints remain valid."""
        append(log, event("a"))
        assert erase(log, "nobody") == 0
        assert erase(log, "a") == 1
        assert erase(log, "a") == 0
        assert log.erasures == 1

    def test_an_erased_event_id_is_free_again(self, log: Log) -> None:
        """A new event can have the ID of an erased event."""
        append(log, event("a", event_id="e"))
        erase(log, "a")
        assert append(log, event("a", event_id="e")).accepted == 1

    def test_erasing_reaches_what_is_queued_before_it(self, log: Log) -> None:
        """Queued operations are executed in order: an erasure removes only earlier events."""
        before = [log.append([event("a"), event("b")]) for _ in range(5)]
        erased = log.erase("a")
        after = log.append([event("a")])
        assert erased.result(WAIT) == 5
        assert [future.result(WAIT).offset for future in before] == [2, 4, 6, 8, 10]
        assert after.result(WAIT).offset == 11
        assert [r for _, r in log.read()] == [Erased(), event("b")] * 5 + [event("a")]
