"""Which events count, against a count with dicts."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.kernels.counted_events import LIMITS, CountedLimits, counted_events
from nearline.state.histories import HistoryStore

EVENTS = st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 3), st.integers(0, 4)), max_size=40)
LIMIT = st.builds(CountedLimits, st.integers(1, 12), st.integers(1, 4))


def naive(events: list[tuple[int, int, int]], limits: CountedLimits) -> list[bool]:
    of_user: Counter[int] = Counter()
    of_pair: Counter[tuple[int, int]] = Counter()
    found = []
    for user, item, _ in events:
        of_user[user] += 1
        of_pair[user, item] += 1
        first = of_user[user] <= limits.events
        found.append(first and of_pair[user, item] <= limits.repeats)
    return found


def columns(events: list[tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    table = np.array(events, dtype=np.int64).reshape(-1, 3)
    return table[:, 0], table[:, 1].astype(np.int32), table[:, 2].astype(np.float64)


def test_the_first_events_of_a_user_and_of_an_item_count() -> None:
    users = np.array([0, 0, 0, 1, 0, 0, 0])
    items = np.array([7, 7, 7, 7, 8, 9, 7])
    counted = counted_events(users, items, CountedLimits(events=4, repeats=2))
    assert counted.tolist() == [True, True, False, True, True, False, False]


@settings(deadline=None)
@given(EVENTS, LIMIT)
def test_it_equals_a_count_with_dicts(
    events: list[tuple[int, int, int]], limits: CountedLimits
) -> None:
    users, items, _ = columns(events)
    assert counted_events(users, items, limits).tolist() == naive(events, limits)


@settings(deadline=None)
@given(EVENTS, LIMIT, st.integers(1, 3), st.integers(1, 9))
def test_the_state_counts_the_same_events(
    events: list[tuple[int, int, int]], limits: CountedLimits, bound: int, size: int
) -> None:
    events = [event for event in events if event[1] >= 0]
    users, items, times = columns(events)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nearline.kernels.counted_events.LIMITS", limits)
        store = HistoryStore(bound)
    counted: list[bool] = []
    for first in range(0, len(events) or 1, size):
        part = slice(first, first + size)
        weights = np.ones(len(users[part]), dtype=np.float32)
        flags = store.append(users[part], items[part], weights, times[part], 3)
        counted += [True] * len(weights) if flags is None else flags.tolist()
    assert counted == naive(events, limits)
    rows, every, arrived = store.counted_rows(np.arange(3))
    assert arrived.tolist() == [sum(user == row for user, _, _ in events) for row in range(3)]
    for row in range(3):
        mine = [event for event in events if event[0] == row]
        which = naive(mine, limits)
        if len(mine) <= limits.events:
            # Sorting is stable: events of one time stay in order of arrival.
            kept = sorted(
                [event for event, counts in zip(mine, which, strict=True) if counts],
                key=lambda event: event[2],
            )
            assert rows.row(row).tolist() == [item for _, item, _ in kept]
        assert bool(every[row]) == (all(which) and len(mine) <= max(limits.events, bound))
        # The history holds the newest events, those that don't count included.
        newest = sorted(mine, key=lambda event: event[2])[-bound:]
        assert store.row(row).items.tolist() == [item for _, item, _ in newest]
        assert store.rows(np.array([row])).items.tolist() == [item for _, item, _ in newest]


def test_no_user_of_usual_data_is_beyond_the_limits() -> None:
    """The largest number of events of a user of Amazon Toys is 550, on as many items."""
    assert LIMITS.events > 550
    assert counted_events(np.zeros(550, np.int64), np.arange(550)).all()
