"""Counts and decayed sums, by hand and against exact fractions."""

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.kernels import decay

N_ITEMS = 3
Event = tuple[int, float]


class Sums:
    def __init__(self) -> None:
        self.totals = np.zeros(N_ITEMS, dtype=np.int64)
        self.high = np.zeros(N_ITEMS)
        self.low = np.zeros(N_ITEMS)
        self.landmark = np.zeros(N_ITEMS, dtype=np.int64)

    def count(self, events: list[Event], sign: int = 1, half_life: float = 1.0) -> None:
        items = np.array([item for item, _ in events], dtype=np.int32)
        times = np.array([time for _, time in events], dtype=np.float64)
        arrays = self.totals, self.high, self.low, self.landmark
        decay.count(items, times, sign, half_life, *arrays)

    def at(self, item: int, half_lives: int) -> Fraction:
        """Exact value of the pair, `half_lives` after 0."""
        value = Fraction(float(self.high[item])) + Fraction(float(self.low[item]))
        return value * Fraction(2) ** (int(self.landmark[item]) - half_lives)


def test_an_event_halves_with_every_half_life() -> None:
    sums = Sums()
    sums.count([(0, 0.0), (0, 10.0), (1, 20.0)], half_life=10.0)
    assert sums.totals.tolist() == [2, 1, 0]
    # At time 20: 1/4 + 1/2 and 1.
    assert [sums.at(item, 2) for item in range(3)] == [Fraction(3, 4), 1, 0]


def test_moving_the_landmark_changes_no_sum() -> None:
    sums = Sums()
    sums.count([(0, 500.0), (1, 512.0)])
    assert sums.landmark.tolist() == [500, 512, 0]
    sums.count([(0, 1012.0)])
    assert sums.landmark.tolist() == [500, 512, 0]
    sums.count([(0, 1013.0), (2, 513.0)])
    assert sums.landmark.tolist() == [1013, 512, 513]
    assert sums.at(0, 1013) == 1 + Fraction(1, 2) + Fraction(1, 2**513)
    assert [sums.at(item, 513) for item in (1, 2)] == [Fraction(1, 2), 1]


def test_a_vanishing_event_counts_only_in_the_total() -> None:
    sums = Sums()
    sums.count([(0, 1e9), (0, 0.0), (1, 0.0)])
    assert sums.totals.tolist() == [2, 1, 0]
    assert sums.high.tolist() == [1.0, 1.0, 0.0]
    sums.count([(0, 2e9)])
    assert sums.high.tolist() == [1.0, 1.0, 0.0]


def test_an_event_with_a_wrong_time_affects_its_item_alone() -> None:
    sums = Sums()
    sums.count([(0, 10.0), (1, 1e9), (0, 11.0), (2, 11.0)])
    assert [sums.at(item, 11) for item in (0, 2)] == [Fraction(3, 2), 1]


def test_magnitudes_are_logarithms_of_the_sums_at_time_0() -> None:
    sums = Sums()
    sums.count([(0, 3.0), (0, 3.0), (1, 2000.0)])
    out = np.full(N_ITEMS, np.nan)
    decay.magnitudes(np.array([0, 1, 2], dtype=np.int32), sums.high, sums.landmark, out)
    assert out.tolist() == [4.0, 2000.0, -np.inf]


def test_small_sums_survive_the_subtraction_of_large_ones() -> None:
    sums = Sums()
    sums.count([(0, 0.0), (0, 70.0)])
    sums.count([(0, 70.0)], sign=-1)
    assert sums.at(0, 0) == 1


def test_sums_without_events_are_exactly_zero() -> None:
    sums = Sums()
    sums.count([(0, 0.3), (0, 44.7)])
    sums.count([(0, 44.7), (0, 0.3)], sign=-1)
    assert (sums.totals[0], sums.high[0], sums.low[0]) == (0, 0.0, 0.0)


events = st.lists(
    st.tuples(st.integers(0, N_ITEMS - 1), st.integers(0, 60).map(float)), max_size=20
)


@given(kept=events, undone=events)
@settings(max_examples=60, deadline=None)
def test_subtraction_undoes_addition(kept: list[Event], undone: list[Event]) -> None:
    sums = Sums()
    sums.count(undone + kept)
    sums.count(undone[::-1], sign=-1)
    for item in range(N_ITEMS):
        expected = sum(Fraction(2) ** int(time) for other, time in kept if other == item)
        assert sums.at(item, 0) == expected
        assert sums.totals[item] == sum(other == item for other, _ in kept)


@given(log=events, cut=st.integers(0, 20))
@settings(max_examples=40, deadline=None)
def test_batching_changes_no_bit(log: list[Event], cut: int) -> None:
    spread = [(item, 37.1 * time) for item, time in log]
    whole, parts = Sums(), Sums()
    whole.count(spread)
    parts.count(spread[:cut])
    parts.count(spread[cut:])
    for name in ("totals", "high", "low", "landmark"):
        assert (getattr(whole, name) == getattr(parts, name)).all()
