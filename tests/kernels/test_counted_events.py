"""Which events count, against a count with dicts."""

import math
from collections import Counter, defaultdict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.kernels.counted_events import LIMITS, CountedLimits, counted_events
from nearline.state.histories import HistoryStore

# User, item, time and weight.
One = tuple[int, int, int, float]
EVENTS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.integers(-1, 3),
        st.integers(0, 9),
        st.sampled_from([1.0, 1.0, 0.1, 3.0, -1.0]),
    ),
    max_size=40,
)
LIMIT = st.builds(
    CountedLimits,
    st.integers(1, 12),
    st.integers(1, 4),
    st.sampled_from([math.inf, math.inf, 0.5, 1.0, 4.0, 7.2]),
    st.sampled_from([0.0, 0.0, 1.0, 3.5]),
)


def naive(events: list[One], limits: CountedLimits) -> list[bool]:
    of_user: Counter[int] = Counter()
    of_pair: Counter[tuple[int, int]] = Counter()
    sums: dict[int, float] = defaultdict(float)
    earliest: dict[int, float] = defaultdict(lambda: math.inf)
    found = []
    for user, item, time, weight in events:
        of_user[user] += 1
        grown = limits.age == 0 or time - earliest[user] >= limits.age
        earliest[user] = min(earliest[user], time)
        light = sums[user] + abs(weight) <= limits.weight + 1e-5
        first = of_user[user] <= limits.events
        counts = first and grown and light and of_pair[user, item] < limits.repeats
        if counts:
            of_pair[user, item] += 1
            sums[user] += abs(weight)
        found.append(counts)
    return found


def columns(events: list[One]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    users, items, times, weights = np.array(events, dtype=np.float64).reshape(-1, 4).T
    return users.astype(np.int64), items.astype(np.int32), weights.astype(np.float32), times


def test_the_first_events_of_a_user_and_of_an_item_count() -> None:
    users = np.array([0, 0, 0, 1, 0, 0, 0])
    items = np.array([7, 7, 7, 7, 8, 9, 7])
    ones = np.ones(7)
    counted = counted_events(users, items, ones, ones, CountedLimits(events=4, repeats=2))
    assert counted.tolist() == [True, True, False, True, True, False, False]


def test_events_of_young_users_and_beyond_the_weight_of_a_user_do_not_count() -> None:
    users = np.zeros(6, dtype=np.int64)
    items, times = np.arange(6), np.array([100.0, 105.0, 110.0, 95.0, 109.0, 120.0])
    weights = np.array([1.0, 1.0, 1.0, 1.0, 3.0, 1.0])

    def counted(weight: float = math.inf, age: float = 0.0) -> list[int]:
        limits = CountedLimits(weight=weight, age=age)
        chosen = counted_events(users, items, weights, times, limits)
        return np.flatnonzero(chosen).tolist()

    assert counted(age=10.0) == [2, 4, 5]  # the fourth event makes the user older
    assert counted(weight=3.0) == [0, 1, 2]
    assert counted(weight=4.0, age=10.0) == [2, 4]
    assert counted(weight=3.5, age=10.0) == [2, 5]  # a lighter event may count after a heavy one
    assert counted(weight=0.5) == []
    tenths = np.full(6, 0.1, dtype=np.float32)
    assert counted_events(users, items, tenths, times, CountedLimits(weight=0.6)).all()


@settings(deadline=None, max_examples=300)
@given(EVENTS, LIMIT)
def test_it_equals_a_count_with_dicts(events: list[One], limits: CountedLimits) -> None:
    users, items, weights, times = columns(events)
    assert counted_events(users, items, weights, times, limits).tolist() == naive(events, limits)


@settings(deadline=None, max_examples=300)
@given(EVENTS, LIMIT, st.integers(1, 3), st.integers(1, 9))
def test_the_state_counts_the_same_events(
    events: list[One], limits: CountedLimits, bound: int, size: int
) -> None:
    events = [event for event in events if event[1] >= 0]
    users, items, weights, times = columns(events)
    store = HistoryStore(bound, limits)
    counted: list[bool] = []
    for first in range(0, len(events) or 1, size):
        part = slice(first, first + size)
        flags = store.append(users[part], items[part], weights[part], times[part], 3)
        counted += [True] * len(users[part]) if flags is None else flags.tolist()
    assert counted == naive(events, limits)
    rows, every, arrived = store.counted_rows(np.arange(3))
    assert arrived.tolist() == [sum(event[0] == row for event in events) for row in range(3)]
    for row in range(3):
        mine = [event for event in events if event[0] == row]
        which = naive(mine, limits)
        if len(mine) <= limits.events:
            # Sorting is stable: events of one time stay in order of arrival.
            kept = sorted(
                [event for event, counts in zip(mine, which, strict=True) if counts],
                key=lambda event: event[2],
            )
            assert rows.row(row).tolist() == [event[1] for event in kept]
        assert bool(every[row]) == (all(which) and len(mine) <= max(limits.events, bound))
        # The history holds the newest events, those that don't count included.
        newest = sorted(mine, key=lambda event: event[2])[-bound:]
        assert store.row(row).items.tolist() == [event[1] for event in newest]
        assert store.rows(np.array([row])).items.tolist() == [event[1] for event in newest]


def test_no_user_of_usual_data_is_beyond_the_limits() -> None:
    """The largest number of events of a user of Amazon Toys is 550, on as many items."""
    assert LIMITS.events > 550
    ones = np.ones(550)
    assert counted_events(np.zeros(550, np.int64), np.arange(550), ones, ones).all()
