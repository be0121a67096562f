"""The slab against a dict of lists, and its own books."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.kernels import slab
from nearline.kernels.counted_events import CountedLimits

N_ROWS = 4
# Beyond the numbers of events of these tests, so that every event counts.
LIMITS = CountedLimits(1_000, 1_000).numbers
Event = tuple[int, int, float]  # row, item, time


class Pool:
    """The arrays that the kernels share, with room that grows by one region when it must."""

    def __init__(self, bound: int) -> None:
        sizes = [0, min(2, bound)]
        while sizes[-1] < bound:
            sizes.append(min(2 * sizes[-1], bound))
        self.classes = np.array(sizes, dtype=np.int64)
        self.heads = np.full(len(sizes) + 1, -1, dtype=np.int64)
        self.heads[-1] = 0
        self.regions = np.zeros((N_ROWS, 4), dtype=np.int64)
        self.items = np.zeros(0, dtype=np.int32)
        self.weights = np.zeros(0, dtype=np.float32)
        self.times = np.zeros(0, dtype=np.float64)

    def append(self, events: list[Event]) -> None:
        rows = np.array([row for row, _, _ in events], dtype=np.int64)
        items = np.array([item for _, item, _ in events], dtype=np.int32)
        times = np.array([time for _, _, time in events], dtype=np.float64)
        weights = (items / 2).astype(np.float32)
        done = 0
        while True:
            done += slab.append(
                rows[done:],
                items[done:],
                weights[done:],
                times[done:],
                self.items,
                self.weights,
                self.times,
                self.regions,
                self.heads,
                self.classes,
                LIMITS,
                np.empty(len(rows) - done, dtype=np.bool_),
            )
            if done == len(rows):
                return
            self.items = np.append(self.items, np.zeros(self.classes[-1], dtype=np.int32))
            self.weights = np.append(self.weights, np.zeros(self.classes[-1], dtype=np.float32))
            self.times = np.append(self.times, np.zeros(self.classes[-1]))

    def release(self, row: int) -> None:
        slab.release(row, self.items, self.weights, self.times, self.regions, self.heads)

    def row(self, row: int) -> list[tuple[int, float]]:
        start, size, _, _ = self.regions[row].tolist()
        assert (self.weights[start : start + size] == self.items[start : start + size] / 2).all()
        items, times = self.items[start : start + size], self.times[start : start + size]
        return list(zip(items.tolist(), times.tolist(), strict=True))

    def check_books(self) -> None:
        """Every slot of the used part belongs to exactly one row or one free region."""
        taken = [
            (start, self.classes[grade])
            for start, _, grade, _ in self.regions.tolist()
            if grade > 0
        ]
        for grade in range(1, len(self.classes)):
            start = int(self.heads[grade])
            while start >= 0:
                taken.append((start, self.classes[grade]))
                start = int(self.times[start])
        end = 0
        for start, length in sorted(taken):
            assert start == end
            end = start + int(length)
        assert end == self.heads[-1]


def naive_append(rows: dict[int, list[tuple[int, float]]], events: list[Event], bound: int) -> None:
    for row, item, time in events:
        # sorted() is stable: events of one time stay in order of arrival.
        rows[row] = sorted([*rows[row], (item, time)], key=lambda entry: entry[1])[-bound:]


def test_a_full_row_drops_its_oldest() -> None:
    pool = Pool(bound=3)
    pool.append([(0, 10, 1.0), (0, 11, 2.0), (0, 12, 3.0), (0, 13, 4.0)])
    assert pool.row(0) == [(11, 2.0), (12, 3.0), (13, 4.0)]


def test_a_late_event_is_inserted_or_dropped() -> None:
    pool = Pool(bound=3)
    pool.append([(0, 10, 5.0), (0, 11, 1.0), (0, 12, 3.0)])
    assert pool.row(0) == [(11, 1.0), (12, 3.0), (10, 5.0)]
    pool.append([(0, 13, 3.0)])
    assert pool.row(0) == [(12, 3.0), (13, 3.0), (10, 5.0)]
    pool.append([(0, 14, 2.0)])
    assert pool.row(0) == [(12, 3.0), (13, 3.0), (10, 5.0)]


def test_append_stops_if_the_pool_is_full() -> None:
    pool = Pool(bound=4)
    added = slab.append(
        np.array([0, 0, 1]),
        np.array([7, 8, 9], dtype=np.int32),
        np.ones(3, dtype=np.float32),
        np.array([1.0, 2.0, 3.0]),
        np.zeros(2, dtype=np.int32),
        np.zeros(2, dtype=np.float32),
        np.zeros(2),
        pool.regions,
        pool.heads,
        pool.classes,
        LIMITS,
        np.empty(3, dtype=np.bool_),
    )
    assert added == 2
    assert pool.regions[:, :3].tolist() == [[0, 2, 1], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert pool.regions[:, slab.ARRIVED].tolist() == [2, 0, 0, 0]


def test_a_released_region_is_used_again() -> None:
    pool = Pool(bound=2)
    pool.append([(0, 1, 1.0), (1, 2, 1.0)])
    pool.release(0)
    pool.release(0)
    pool.append([(2, 3, 1.0)])
    assert pool.row(0) == []
    assert pool.row(2) == [(3, 1.0)]
    assert pool.heads[-1] == 4


events = st.lists(
    st.tuples(st.integers(0, N_ROWS - 1), st.integers(0, 99), st.integers(0, 8).map(float)),
    max_size=30,
)


@pytest.mark.parametrize("bound", [1, 2, 3, 5, 8])
@given(steps=st.lists(st.one_of(events, st.integers(0, N_ROWS - 1)), max_size=6))
@settings(max_examples=40, deadline=None)
def test_equals_lists(bound: int, steps: list[list[Event] | int]) -> None:
    pool, naive = Pool(bound), defaultdict[int, list[tuple[int, float]]](list)
    for step in steps:
        if isinstance(step, int):
            pool.release(step)
            naive[step] = []
        else:
            pool.append(step)
            naive_append(naive, step, bound)
        pool.check_books()
        for row in range(N_ROWS):
            assert pool.row(row) == naive[row]
