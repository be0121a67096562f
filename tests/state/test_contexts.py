import threading
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from nearline.schema import Event, Scalar
from nearline.state import State
from nearline.state import contexts as module
from nearline.state.contexts import Contexts

Context = dict[str, Scalar]
Events = tuple[NDArray[np.int32], NDArray[np.float32], Sequence[Context | None]]


def told(*contexts: Context | None, weight: float = 1.0) -> Events:
    """Add events of item 3 with these contexts."""
    n = len(contexts)
    return np.full(n, 3, dtype=np.int32), np.full(n, weight, dtype=np.float32), contexts


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
    contexts.add(*told({"a": 7}, {"a": "7"}, {"a": True}, {"a": "true"}, {"a": 1}, {"a": 0.5}))
    assert counts(contexts, a="7") == counts(contexts, a=7) == [{3: 2}]
    assert counts(contexts, a=True) == counts(contexts, a="true") == [{3: 2}]
    assert counts(contexts, a=1) == [{3: 1}]
    assert counts(contexts, a=0.5) == counts(contexts, a="0.5") == []


@pytest.mark.parametrize("weight", [0.0, -1.0])
def test_events_without_positive_weight_do_not_count(contexts: Contexts, weight: float) -> None:
    contexts.add(*told({"a": 7}, weight=weight))
    assert contexts.copy().pairs == []


def test_a_value_of_erased_users_only_is_removed(contexts: Contexts) -> None:
    contexts.add(*told({"name": "ann", "a": 1}, {"a": 1}))
    contexts.subtract(*told({"name": "ann", "a": 1}))
    assert contexts.copy().pairs == [("a", "1")]
    assert counts(contexts, a=1) == [{3: 1}]


def test_the_number_of_values_is_bounded(
    contexts: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_VALUES", 2)
    contexts.add(*told({"a": 1}, {"a": 2}, {"a": 3}, {"a": 1}))
    assert counts(contexts, a=3) == []
    assert counts(contexts, a=1) == [{3: 2}]
    # A place that became free stays so: of another value some events are missed already.
    contexts.subtract(*told({"a": 2}))
    contexts.add(*told({"a": 3}, {"a": 2}))
    contexts.subtract(*told({"a": 3}, {"a": 3}, {"a": 2}))
    again = Contexts.from_copy(threading.RLock(), contexts.copy())
    again.add(*told({"a": 4}))
    assert contexts.copy().pairs == again.copy().pairs == [("a", "1")]


def test_a_removed_value_frees_its_place_until_the_table_was_full(
    contexts: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_VALUES", 1)
    contexts.add(*told({"a": 1}))
    contexts.subtract(*told({"a": 1}))
    contexts.add(*told({"a": 2}))
    assert contexts.copy().pairs == [("a", "2")]
