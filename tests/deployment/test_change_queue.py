"""The queue of a model that lags: what it holds, what is joined, and what the model learns."""

import random
import threading
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest
from tests.deployment.test_live import counted, expected, hold_up

import nearline as nl
from nearline.data import Histories
from nearline.deployment import changes, online_learner
from nearline.deployment.changes import Acknowledgement, ChangeQueue, consumed, together
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
    waiting: list[Any] = [(1, None), known, (2, None)]
    pieces = together(consumed(waiting))
    assert next(pieces) == [(1, None)]
    assert waiting == [None, known, (2, None)]
    assert list(pieces) == [known, [(2, None)]]
    assert waiting == [None, known, None]


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
