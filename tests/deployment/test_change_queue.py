"""The queue of a model that lags: what it holds, what is joined, and what the model learns."""

import asyncio
import random
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest
from tests.deployment.test_live import counted, expected, hold_up

import nearline as nl
from nearline.data import Histories
from nearline.deployment import changes, online_learner
from nearline.deployment.changes import Acknowledgement, ChangeQueue, together
from nearline.errors import Overloaded
from nearline.models.item_graph import counted_relation
from nearline.state import Added
from nearline.testing.inspector import inspect


def batch(offset: int, before: list[list[int]], events: list[list[int]]) -> Added:
    users = [f"u{row}" for row in range(len(events))]
    opposed = np.zeros(len(users), dtype=np.bool_)
    return Added(offset, users, Histories.from_rows(before), Histories.from_rows(events), opposed)


def test_batches_are_joined_once_they_have_enough_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch has the earlier events of its users; the joined one has them once."""
    monkeypatch.setattr(changes, "EVENTS_AT_ONCE", 3)
    queue = ChangeQueue()
    queue.extend([batch(0, [[1, 2]], [[3]]), batch(1, [[1, 2, 3]], [[4]])])
    queue.extend([batch(2, [[1, 2, 3, 4]], [[5]]), batch(3, [[1, 2, 3, 4, 5]], [[6]])])
    assert queue.events == 4
    first, last = queue.take()
    assert isinstance(first, Added)
    assert isinstance(last, Added)
    assert first.before.items.tolist() == [1, 2]
    assert first.events.items.tolist() == [3, 4, 5]
    assert (first.offset, last.offset) == (0, 3)
    assert (queue.take(), queue.events) == ([], 0)


def test_batches_are_not_joined_across_other_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "EVENTS_AT_ONCE", 2)
    queue = ChangeQueue()
    forgotten = Histories.from_rows([[1]])
    queue.extend([batch(0, [[]], [[1]]), forgotten, batch(1, [[]], [[2]]), (3, None)])
    assert [type(what) for what in queue.take()] == [Added, Histories, Added, tuple]


def test_what_was_learned_is_freed_and_acknowledgements_stay_known() -> None:
    known = Acknowledgement(Future(), None)
    queue = ChangeQueue()
    queue.extend([(1, None), known, (2, None)])
    waiting = queue.take()
    pieces = together(queue.read(waiting))
    assert next(pieces) == [(1, None)]
    assert waiting == [None, known, (2, None)]
    assert list(pieces) == [known, [(2, None)]]
    assert waiting == [None, known, None]


def test_the_memory_of_changes_counts_until_the_next_one_is_read() -> None:
    queue = ChangeQueue()
    queue.extend([batch(0, [[1, 2]], [[3]]), (1, None)])
    # Two index arrays of 2 x 8 bytes, and 3 events of 16 bytes.
    size = 2 * 16 + 3 * 16 + 2 * changes.HISTORIES_BYTES + changes.USER_BYTES
    assert queue.bytes == size + 2 * changes.OBJECT_BYTES
    read = queue.read(queue.take())
    queue.extend([(2, None)])
    assert queue.bytes == size + 3 * changes.OBJECT_BYTES
    next(read)
    assert queue.bytes == size + 3 * changes.OBJECT_BYTES
    next(read)
    assert queue.bytes == 2 * changes.OBJECT_BYTES
    assert list(read) == []
    assert queue.bytes == changes.OBJECT_BYTES


def test_joined_batches_count_the_earlier_events_of_a_user_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(changes, "EVENTS_AT_ONCE", 2)
    queue = ChangeQueue()
    queue.extend([batch(0, [[1] * 1_000], [[2]]), batch(1, [[1] * 1_000], [[3]])])
    arrays = 2 * 16 + 1_002 * 16
    fixed = 2 * changes.HISTORIES_BYTES + changes.USER_BYTES + changes.OBJECT_BYTES
    assert queue.bytes == arrays + fixed


# Memory of the entries that hold the model up.
ENTRIES = 100 * changes.OBJECT_BYTES


@pytest.fixture
def lagging() -> Iterator[tuple[nl.Recommender, threading.Event]]:
    """A recommender whose model learns nothing until the event is set; 5 kB of events may wait."""
    going = threading.Event()
    with nl.Recommender() as rec:
        current = rec._current
        current.learning_memory = current.learning_memory._replace(limit=ENTRIES + 5_000)
        live = inspect(rec).live
        assert live is not None
        hold_up(live, going)
        rec.put_items([nl.Item(item_id=f"i{n}", timestamp=1.0) for n in range(100)])
        try:
            yield rec, going
        finally:
            going.set()


def test_events_wait_until_the_model_has_learned_enough(
    lagging: tuple[nl.Recommender, threading.Event],
) -> None:
    rec, going = lagging
    stored = [0]

    def store() -> None:
        for n in range(40):
            rec.observe(f"u{n % 3}", f"i{n}")
            stored[0] += 1

    with ThreadPoolExecutor(1) as pool:
        storing = pool.submit(store)
        with pytest.raises(TimeoutError):
            storing.result(1)
        assert 0 < stored[0] < 10
        assert inspect(rec).live.waiting_bytes >= ENTRIES + 5_000  # type: ignore[union-attr]
        going.set()
        storing.result(60)
    inspect(rec).live.settle()  # type: ignore[union-attr]
    assert inspect(rec).live.waiting_bytes == 0  # type: ignore[union-attr]
    assert counted(inspect(rec).model) == expected(rec)


def test_an_event_loop_gets_an_error_instead_and_nothing_is_stored(
    lagging: tuple[nl.Recommender, threading.Event],
) -> None:
    rec, going = lagging
    new = [nl.Event(user_id="u", item_id=f"i{n}", timestamp=1.0) for n in range(10)]

    async def store() -> int:
        for number, event in enumerate(new):
            try:
                await asyncio.wrap_future(rec.append_event(event))
            except Overloaded:
                return number
        return len(new)

    stored = asyncio.run(store())
    assert 0 < stored < 10
    assert len(rec.user("u").history) == stored
    going.set()
    inspect(rec).live.settle()  # type: ignore[union-attr]
    rec.append_events(new[stored:]).result()
    assert len(rec.user("u").history) == 10


def test_a_model_that_lags_learns_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny limits, so that joining, pieces, growing tables and packing all take place."""
    monkeypatch.setattr(changes, "EVENTS_AT_ONCE", 7)
    monkeypatch.setattr(online_learner, "EVENTS_PER_CALL", 3)
    monkeypatch.setattr(counted_relation, "CHANGES_AT_ONCE", 5)
    monkeypatch.setattr(counted_relation, "COMPACTION_BYTES", 2_000)
    monkeypatch.setattr(counted_relation, "SMALLEST_TABLE", 2)
    rng = random.Random(0)
    going = threading.Event()
    with nl.Recommender() as rec:
        live = inspect(rec).live
        assert live is not None
        hold_up(live, going)
        rec.put_items([nl.Item(item_id=f"i{n}", timestamp=1.0) for n in range(100)])
        for _ in range(60):
            user, item = f"u{rng.randrange(4)}", f"i{rng.randrange(30)}"
            rec.observe(user, item, value=rng.choice([-1.0, 1.0, 2.0]))
        going.set()
        live.settle()
        assert counted(inspect(rec).model) == expected(rec)
