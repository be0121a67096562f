"""Counts of popular and trending items."""

import threading
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from nearline.kernels import decay
from nearline.kernels.arrays import grown
from nearline.schema.times import MAX_FUTURE
from nearline.state.leaders import Leaders

# Exponent beyond which a power of two is zero or infinite, even times the largest or smallest sum.
MAX_POWER = 5_000
# Upper bound of the rounding error of a magnitude.
ROUNDING = 1e-6


class Top(NamedTuple):
    """Items with the highest scores.

    Attributes
    ----------
    items : int32 [n]
        Item indices, best first; equal scores are sorted by index.
    scores : float64 [n]
        Score of each item.
    """

    items: NDArray[np.int32]
    scores: NDArray[np.float64]


class CountersCopy(NamedTuple):
    """Consistent copy of the arrays of `Counters`; see `kernels.decay.count`.

    Attributes
    ----------
    totals : int64 [n_items]
        Number of events of each item.
    high, low : float64 [n_items]
        Decayed sum of each item, as the sum of two numbers.
    landmark : int64 [n_items]
        Time, in half-lives, at which an event of the item has weight 1.
    """

    totals: NDArray[np.int64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    landmark: NDArray[np.int64]


class Counters:
    """Popularity of items: exact numbers of events, and sums that decay with the age of events.

    Each event with a positive weight counts as one; dislikes are not counted. Methods that read
    acquire the lock and can be called by any thread.

    Parameters
    ----------
    half_life : float
        Seconds after which the weight of an event in trending counts is halved.
    lock : RLock
        The lock of the state.

    Notes
    -----
    If a clock was wrong, events can lie in the future. They are counted in the totals. An item with
    such an event is not trending until the time of the event, or until the event is erased; other
    items are not affected.
    """

    def __init__(self, half_life: float, lock: "threading.RLock") -> None:
        self._half_life = half_life
        self._lock = lock
        self._size = 0
        self._arrays = CountersCopy(
            np.zeros(0, dtype=np.int64),
            np.zeros(0, dtype=np.float64),
            np.zeros(0, dtype=np.float64),
            np.zeros(0, dtype=np.int64),
        )
        self._magnitudes = np.zeros(0, dtype=np.float64)
        self._popular, self._trending = Leaders(), Leaders()
        self._events = 0

    @classmethod
    def from_copy(cls, half_life: float, lock: "threading.RLock", arrays: CountersCopy) -> Self:
        """Create counters from a copy, whose arrays are used and modified."""
        counters = cls(half_life, lock)
        counters._size = len(arrays.totals)
        counters._arrays = arrays
        counters._events = int(arrays.totals.sum())
        counters._magnitudes = np.full(counters._size, -np.inf)
        every = np.arange(counters._size, dtype=np.int32)
        decay.magnitudes(every, arrays.high, arrays.landmark, counters._magnitudes)
        return counters

    def grow(self, slots: int) -> None:
        """Extend the counters to the item indices below `slots`."""
        totals, high, low, landmark = self._arrays
        self._size = slots
        self._arrays = CountersCopy(
            grown(totals, slots), grown(high, slots), grown(low, slots), grown(landmark, slots)
        )
        self._magnitudes = grown(self._magnitudes, slots, -np.inf)

    def add(
        self,
        items: NDArray[np.int32],
        weights: NDArray[np.float32],
        times: NDArray[np.float64],
    ) -> None:
        """Count events; `grow` must be called for their items before."""
        self._count(items, weights, times, 1)

    def subtract(
        self,
        items: NDArray[np.int32],
        weights: NDArray[np.float32],
        times: NDArray[np.float64],
    ) -> None:
        """Subtract events that were added before, in any order."""
        self._count(items, weights, times, -1)

    def totals(self) -> NDArray[np.int64]:
        """Return a copy of the number of events of each item: int64 [n_items]."""
        with self._lock:
            return self._arrays.totals[: self._size].copy()

    @property
    def events(self) -> int:
        """Number of events of all items."""
        return self._events

    def popular(self, n: int, allowed: NDArray[np.bool_] | None = None) -> Top:
        """Return the `n` items with the most events; items without events are last.

        Parameters
        ----------
        allowed : bool [n_items], optional
            Whether an item may be returned; None allows all.
        """
        with self._lock:
            totals = self._arrays.totals[: self._size]
            items = self._popular.first(totals, n, allowed)
            return Top(items, totals[items].astype(np.float64))

    def trending(self, n: int, now: float, allowed: NDArray[np.bool_] | None = None) -> Top:
        """Return the `n` items with the largest decayed sum at `now` (Unix seconds).

        The score of an item is the sum over its events of ``0.5 ** (age / half_life)``. All scores
        are proportional to a function of `now`, which does not affect their order. `allowed` is
        described in `popular`.
        """
        with self._lock:
            items = self._latest(n, now, allowed)
            scores = self._decayed(items, now)
        # Magnitudes are rounded, so items with nearly equal ones are sorted by exact scores.
        order = np.lexsort((items, -scores))
        return Top(items[order], scores[order])

    def _latest(self, n: int, now: float, allowed: NDArray[np.bool_] | None) -> NDArray[np.int32]:
        """Return the `n` items of the largest magnitude, without items with future events."""
        magnitudes = self._magnitudes[: self._size]
        horizon = (now + MAX_FUTURE) / self._half_life
        ahead = 0
        while True:
            items = self._trending.first(magnitudes, n + ahead, allowed)
            totals = np.maximum(self._arrays.totals[items], 1)
            # This is the largest possible sum of events up to the horizon.
            possible = magnitudes[items] <= horizon + np.log2(totals) + ROUNDING
            found = int(len(items) - possible.sum())
            if found == ahead or len(items) < n + ahead:
                return items[possible]
            ahead = found

    def of(
        self, items: NDArray[np.int32], now: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the totals and the decayed sums at `now` of some items: float64 [n] each."""
        with self._lock:
            return self._arrays.totals[items].astype(np.float64), self._decayed(items, now)

    def copy(self) -> CountersCopy:
        """Return a copy of the arrays; the caller must hold the lock."""
        totals, high, low, landmark = self._arrays
        size = self._size
        return CountersCopy(
            totals[:size].copy(), high[:size].copy(), low[:size].copy(), landmark[:size].copy()
        )

    def _count(
        self,
        items: NDArray[np.int32],
        weights: NDArray[np.float32],
        times: NDArray[np.float64],
        sign: int,
    ) -> None:
        wanted = weights > 0
        if not wanted.all():
            items, times = items[wanted], times[wanted]
        if len(items):
            decay.count(items, times, sign, self._half_life, *self._arrays)
            _, high, _, landmark = self._arrays
            decay.magnitudes(items, high, landmark, self._magnitudes)
            self._events += sign * len(items)
            if sign < 0:
                self._popular.drop()
                self._trending.drop()
            else:
                self._popular.raised(items, self._arrays.totals)
                self._trending.raised(items, self._magnitudes)

    def _decayed(self, items: NDArray[np.int32], now: float) -> NDArray[np.float64]:
        ticks = now / self._half_life
        whole = int(np.floor(ticks))
        powers = np.clip(self._arrays.landmark[items] - whole, -MAX_POWER, MAX_POWER)
        with np.errstate(over="ignore"):  # a time long before the events, in half-lives
            scores = np.ldexp(self._arrays.high[items] * 2.0 ** (whole - ticks), powers)
        bounded: NDArray[np.float64] = np.minimum(scores, np.finfo(np.float64).max)
        return bounded
