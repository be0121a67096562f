"""Which events a later, opposite opinion of the same user on the same item replaces."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.state.naive_state import holding

from nearline.kernels.opinions import superseded, superseded_after
from nearline.schema.histories import Histories

Event = tuple[int, float, float]  # item, weight, time
events = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from([3.0, 1.0, 0.5, 0.0, -0.5, -1.0]),
        st.integers(0, 4).map(float),
    ),
    max_size=14,
)


def history(rows: list[list[Event]]) -> Histories:
    """Histories with the events in the order in which they are given."""
    every = [event for row in rows for event in row]
    items, weights, times = zip(*every, strict=True) if every else ((), (), ())
    return Histories(
        np.cumsum([0, *map(len, rows)]).astype(np.int64),
        np.array(items, np.int32),
        np.array(weights, np.float32),
        np.array(times, np.float64),
    )


@pytest.mark.parametrize(
    ("weights", "kept"),
    [
        ([2, -1], [-1]),  # like, dislike
        ([2, -1, 2], [2, 2]),  # and a like again
        ([-1, 1], [-1]),  # a view does not take a dislike back
        ([-1, 2], [2]),
        ([1, 3, -1], [-1]),  # view, purchase, refund
        ([-0.5, 1], [1]),  # a low rating, then a high one
        ([1, -0.5], [-0.5]),
        ([2, -0.5, 2, 3], [2, 2, 3]),  # cart, remove, cart, purchase
        ([-1, -0.5, 1], [-1, -0.5]),  # the view outweighs the second, not the first
        ([1, 0, -1, 0], [0, -1, 0]),  # no weight, no opinion
        ([1, 2, 3], [1, 2, 3]),
        ([-1, -1], [-1, -1]),
    ],
)
def test_events_of_one_item(weights: list[float], kept: list[float]) -> None:
    past = history([[(5, weight, float(at)) for at, weight in enumerate(weights)]])
    assert past.without_superseded().weights.tolist() == kept


def test_only_the_same_user_and_item_count_and_unknown_items_stay() -> None:
    past = history([[(0, 2.0, 0.0), (1, -1.0, 1.0)], [(0, -1.0, 0.0), (-1, 1.0, 1.0), (-1, -1, 2)]])
    assert past.without_superseded() is past


def test_histories_without_negative_events_are_not_copied() -> None:
    past = history([[(0, 2.0, 0.0), (0, 1.0, 1.0)], []])
    assert past.without_superseded() is past


@given(rows=st.lists(events, max_size=4))
@settings(deadline=None)
def test_superseded_equals_the_definition(rows: list[list[Event]]) -> None:
    past = history(rows)
    kept = []
    for row in rows:
        numbered = [(float(at), at, str(item), weight) for at, (item, weight, _) in enumerate(row)]
        remaining = holding(numbered)
        kept += [one in remaining for one in numbered]
    assert (~superseded(past.indptr, past.items, past.weights)).tolist() == kept


@given(rows=st.lists(st.tuples(events, events), max_size=3), far=st.sampled_from([0, 1_000_000]))
@settings(deadline=None)
def test_superseded_after_new_events_equals_the_definition(
    rows: list[tuple[list[Event], list[Event]]], far: int
) -> None:
    """`far` makes items that are renumbered."""
    olds, expected_old, expected_new = [], [], []
    for old, new in rows:
        olds.append(sorted(old, key=lambda event: event[2]))
        numbered = [
            (time, at, str(item), weight) for at, (item, weight, time) in enumerate(olds[-1] + new)
        ]
        left = {at for _, at, _, _ in holding(sorted(numbered))}
        expected_old += [at not in left for at in range(len(old))]
        expected_new += [at not in left for at in range(len(old), len(old) + len(new))]
    before, after = history(olds), history([new for _, new in rows])
    found = superseded_after(
        *(before.indptr, before.items + far, before.weights, before.times),
        *(after.indptr, after.items + far, after.weights, after.times),
    )
    assert [array.tolist() for array in found] == [expected_old, expected_new]


def test_unknown_items_stay_where_items_are_renumbered() -> None:
    items, weights = (
        np.array([-1, 10**6, -1, 10**6], np.int32),
        np.array([1, 1, -1, -1], np.float32),
    )
    out = superseded(np.array([0, 4], np.int64), items, weights)
    assert out.tolist() == [False, True, False, False]
