import threading

import numpy as np
import pytest

from nearline.state import Counters, Top

Event = tuple[int, float, float]


def count(counters: Counters, events: list[Event], slots: int) -> None:
    items, weights, times = zip(*events, strict=True) if events else ((), (), ())
    counters.grow(slots)
    counters.add(
        np.array(items, dtype=np.int32),
        np.array(weights, dtype=np.float32),
        np.array(times, dtype=np.float64),
    )


def lists(top: Top) -> tuple[list[int], list[float]]:
    return top.items.tolist(), top.scores.tolist()


@pytest.fixture
def counters() -> Counters:
    """Items 0 to 4: three old events, one new, none, one new and one old, two dislikes."""
    counters = Counters(10.0, threading.RLock())
    events = [(0, 1.0, 0.0)] * 3 + [(1, 2.0, 20.0), (3, 1.0, 20.0), (3, 1.0, 0.0)]
    count(counters, [*events, (4, -1.0, 20.0), (4, -1.0, 20.0)], slots=5)
    return counters


def test_each_event_with_positive_weight_counts_as_one(counters: Counters) -> None:
    assert counters.totals().tolist() == [3, 1, 0, 2, 0]


def test_equally_popular_items_are_sorted_by_index(counters: Counters) -> None:
    assert lists(counters.popular(2)) == ([0, 3], [3.0, 2.0])
    assert lists(counters.popular(4)) == ([0, 3, 1, 2], [3.0, 2.0, 1.0, 0.0])
    assert lists(counters.popular(9)) == ([0, 3, 1, 2, 4], [3.0, 2.0, 1.0, 0.0, 0.0])
    assert lists(counters.popular(0)) == ([], [])


def test_trending_prefers_recent_events(counters: Counters) -> None:
    # At 20, two half-lives after 0: 3/4, 1, 0, 1 + 1/4, 0.
    assert lists(counters.trending(3, 20.0)) == ([3, 1, 0], [1.25, 1.0, 0.75])
    # Ten seconds later, all sums are halved.
    assert lists(counters.trending(3, 30.0)) == ([3, 1, 0], [0.625, 0.5, 0.375])


def test_only_allowed_items_are_returned(counters: Counters) -> None:
    allowed = np.array([False, True, True, False, True])
    assert lists(counters.popular(2, allowed)) == ([1, 2], [1.0, 0.0])
    assert lists(counters.trending(9, 20.0, allowed)) == ([1, 2, 4], [1.0, 0.0, 0.0])
    # A mask from before items 3 and 4 were added does not allow them.
    assert lists(counters.popular(5, np.ones(3, dtype=np.bool_))) == ([0, 1, 2], [3.0, 1.0, 0.0])


def test_orders_follow_the_counts(counters: Counters) -> None:
    assert counters.popular(1).items.tolist() == [0]
    assert counters.trending(1, 20.0).items.tolist() == [3]
    count(counters, [(2, 1.0, 20.0)] * 4, slots=7)
    assert counters.popular(1).items.tolist() == [2]
    assert counters.trending(1, 20.0).items.tolist() == [2]
    assert len(counters.popular(99).items) == 7


def test_changing_a_result_does_not_change_the_cache(counters: Counters) -> None:
    counters.popular(5).items[:] = 0
    assert counters.popular(5).items.tolist() == [0, 3, 1, 2, 4]


def test_scores_long_before_the_events_are_finite() -> None:
    counters = Counters(1.0, threading.RLock())
    count(counters, [(0, 1.0, 1e6)], slots=1)
    _, scores = counters.of(np.zeros(1, dtype=np.int32), 0.0)
    assert scores.tolist() == [np.finfo(np.float64).max]
    assert counters.trending(1, 1e6).scores.tolist() == [1.0]


def test_an_item_with_an_event_from_the_future_is_not_trending_until_then() -> None:
    year = 365 * 86_400.0
    counters = Counters(7 * 86_400.0, threading.RLock())
    now = 50 * year
    count(counters, [(0, 1.0, now), (1, 1.0, 75 * year), (2, 1.0, now), (2, 1.0, now)], slots=4)
    assert lists(counters.trending(2, now)) == ([2, 0], [2.0, 1.0])
    assert counters.trending(4, now).items.tolist() == [2, 0, 3]
    assert counters.trending(1, 75 * year).items.tolist() == [1]
    # Events up to one day ahead of the clock are accepted and counted immediately.
    count(counters, [(0, 1.0, now + 86_400.0), (0, 1.0, now)], slots=4)
    assert counters.trending(1, now).items.tolist() == [0]
