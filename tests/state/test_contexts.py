import threading
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nearline.schema import Event, Scalar
from nearline.state import State
from nearline.state import contexts as module
from nearline.state.contexts import Contexts

Context = dict[str, Scalar]
Events = tuple[NDArray[np.int32], NDArray[np.float32], Sequence[Context | None], Sequence[int]]


def events_of(*contexts: Context | None, weight: float = 1.0, start: int = 0) -> Events:
    """Events of item 3 with these contexts, at offsets from `start` on."""
    n = len(contexts)
    items, weights = np.full(n, 3, dtype=np.int32), np.full(n, weight, dtype=np.float32)
    return items, weights, contexts, range(start, start + n)


def counts(contexts: Contexts, **context: Scalar) -> list[dict[int, int]]:
    """Return the counts by item of each counted value of a context."""
    return [
        dict(zip(found.items.tolist(), found.counts.tolist(), strict=True))
        for found in contexts.counts(context)
    ]


@pytest.fixture
def contexts() -> Contexts:
    return Contexts(threading.RLock())


def test_a_small_log_by_hand() -> None:
    state = State()
    events: list[tuple[str, str, Context | None]] = [
        ("tea", "view", {"land": "FR", "hour": 7}),
        ("tea", "purchase", {"land": "FR"}),
        ("mug", "view", {"land": "FR", "hour": 8}),
        ("mug", "dislike", {"land": "FR"}),
        ("mug", "view", None),
    ]
    state.apply(
        [
            (at, Event(user_id="ann", item_id=item, timestamp=1.0, event=kind, context=context))
            for at, (item, kind, context) in enumerate(events)
        ]
    )
    assert counts(state.contexts, land="FR") == [{0: 2, 1: 1}]
    assert counts(state.contexts, hour=7) == [{0: 1}]
    assert counts(state.contexts, land="FR", hour=8) == [{1: 1}, {0: 2, 1: 1}]
    assert counts(state.contexts, land="DE", day="FR") == []


def test_values_are_compared_as_text(contexts: Contexts) -> None:
    contexts.add(*events_of({"a": 7}, {"a": "7"}, {"a": True}, {"a": "true"}, {"a": 1}, {"a": 0.5}))
    assert counts(contexts, a="7") == counts(contexts, a=7) == [{3: 2}]
    assert counts(contexts, a=True) == counts(contexts, a="true") == [{3: 2}]
    assert counts(contexts, a=1) == [{3: 1}]
    assert counts(contexts, a=0.5) == counts(contexts, a="0.5") == []


@pytest.mark.parametrize("weight", [0.0, -1.0])
def test_events_without_positive_weight_do_not_count(contexts: Contexts, weight: float) -> None:
    contexts.add(*events_of({"a": 7}, weight=weight))
    assert contexts.copy().pairs == []


def test_a_value_of_erased_users_only_is_removed(contexts: Contexts) -> None:
    contexts.add(*events_of({"name": "ann", "a": 1}, {"a": 1}))
    contexts.subtract(*events_of({"name": "ann", "a": 1}))
    assert contexts.copy().pairs == [("a", "1")]
    assert counts(contexts, a=1) == [{3: 1}]


def test_an_event_that_counts_later_than_a_newer_one_is_counted(contexts: Contexts) -> None:
    contexts.add(*events_of({"land": "FR"}, start=5))
    contexts.add(*events_of({"land": "FR"}, start=2))  # after an erasure before it
    assert counts(contexts, land="FR") == [{3: 2}]
    contexts.subtract(*events_of({"land": "FR"}, start=2))
    assert counts(contexts, land="FR") == [{3: 1}]


def test_a_new_value_evicts_the_one_with_fewest_events(
    contexts: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_VALUES", 2)
    contexts.add(*events_of({"a": 1}, {"a": 2}, {"a": 1}, {"a": 3}))
    assert contexts.copy().pairs == [("a", "1"), ("a", "3")]
    # Equal priorities (2 events, and 1 event + 1 for the age): the older one is evicted.
    contexts.add(*events_of({"a": 4}, start=4))
    assert contexts.copy().pairs == [("a", "3"), ("a", "4")]


def test_many_values_that_occur_once_do_not_displace_one_that_occurs_often(
    contexts: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_VALUES", 10)
    noise: list[Context] = [{f"f{number}": number} for number in range(200)]
    contexts.add(*events_of(*noise[:100]))
    real: list[Context] = [{"country": "DE"}] * 50
    contexts.add(*events_of(*real, start=100))
    contexts.add(*events_of(*noise[100:], start=150))
    assert counts(contexts, country="DE") == [{3: 50}]


def test_a_value_that_was_frequent_long_ago_is_evicted(
    contexts: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_VALUES", 2)
    first: list[Context] = [{"day": 1}] * 5
    contexts.add(*events_of(*first))
    for day in range(2, 12):
        contexts.add(*events_of({"day": day}, {"day": day}, start=10 * day))
    assert ("day", "1") not in contexts.copy().pairs


def test_events_counted_before_an_eviction_are_not_subtracted(
    contexts: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_VALUES", 1)
    contexts.add(*events_of({"a": 1}, {"a": 2}, {"a": 1}))
    contexts.subtract(*events_of({"a": 1}))  # the event at offset 0
    assert counts(contexts, a=1) == [{3: 1}]
    contexts.subtract(*events_of({"a": 1}, start=2))
    assert contexts.copy().pairs == []


def test_the_place_of_a_removed_value_is_free(
    contexts: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_VALUES", 1)
    contexts.add(*events_of({"a": 1}))
    contexts.subtract(*events_of({"a": 1}))
    contexts.add(*events_of({"a": 2}))
    assert contexts.copy().pairs == [("a", "2")]


@given(
    values=st.lists(st.integers(0, 8), max_size=60),
    cut=st.integers(0, 60),
    limit=st.integers(1, 6),
)
@settings(max_examples=100, deadline=None)
def test_the_counts_equal_those_of_a_naive_search_and_a_copy_continues_equally(
    values: list[int], cut: int, limit: int
) -> None:
    """The naive table searches all pairs for the lowest priority, the oldest first."""
    table: dict[int, list[int]] = {}  # value: events, priority
    age = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAX_VALUES", limit)
        contexts = Contexts(threading.RLock())
        for offset, value in enumerate(values):
            if offset == cut:
                contexts = Contexts.from_copy(threading.RLock(), contexts.copy())
            contexts.add(*events_of({"a": value}, start=offset))
            if value not in table and len(table) == limit:
                evicted = min(table, key=lambda known: table[known][1])
                age = table.pop(evicted)[1]
            row = table.setdefault(value, [0, 0])
            row[0] += 1
            row[1] = row[0] + age
    copied = contexts.copy()
    assert copied.pairs == [("a", str(value)) for value in table]
    assert copied.priorities.tolist() == list(table.values())
