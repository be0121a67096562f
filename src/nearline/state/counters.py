"""How often, and how lately, each item was wanted."""

import threading
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from nearline.kernels import decay
from nearline.state.arrays import grown


class Top(NamedTuple):
    """The first items of an order.

    Attributes
    ----------
    items : int32 [n]
        Item indices, best first; equal scores in order of index.
    scores : float64 [n]
        Scores beside them.
    """

    items: NDArray[np.int32]
    scores: NDArray[np.float64]


class CountersCopy(NamedTuple):
    """The arrays of `Counters` at one moment.

    Attributes
    ----------
    totals : int64 [n_items]
    high, low : float64 [n_items]
        Decayed sums, as pairs of doubles.
    landmark : int64 [1]
        Time, in half-lives, at which an event weighs 1.
    """

    totals: NDArray[np.int64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    landmark: NDArray[np.int64]


class Counters:
    """Popularity of items: exact totals, and sums that decay with the age of the events.

    Only events of positive weight count, each as one; what a user dislikes is no more popular for
    it. Reads take the lock and may come from any thread.

    Parameters
    ----------
    half_life : float
        Seconds after which an event counts half for what is trending.
    lock : RLock
        The lock of the state.
    """

    def __init__(self, half_life: float, lock: "threading.RLock") -> None:
        self._half_life = half_life
        self._lock = lock
        self._size = 0
        self._arrays = CountersCopy(
            np.zeros(0, dtype=np.int64),
            np.zeros(0, dtype=np.float64),
            np.zeros(0, dtype=np.float64),
            np.zeros(1, dtype=np.int64),
        )
        self._orders: dict[str, NDArray[np.int32]] = {}

    @classmethod
    def from_copy(cls, half_life: float, lock: "threading.RLock", arrays: CountersCopy) -> Self:
        """Rebuild from what `copy` gave; `arrays` are kept and changed."""
        counters = cls(half_life, lock)
        counters._size = len(arrays.totals)
        counters._arrays = arrays
        return counters

    def grow(self, slots: int) -> None:
        """Make room for item indices below `slots`."""
        totals, high, low, landmark = self._arrays
        self._size = slots
        self._arrays = CountersCopy(
            grown(totals, slots), grown(high, slots), grown(low, slots), landmark
        )

    def add(
        self,
        items: NDArray[np.int32],
        weights: NDArray[np.float32],
        times: NDArray[np.float64],
    ) -> None:
        """Count events; `grow` made room for their items."""
        self._count(items, weights, times, 1)

    def subtract(
        self,
        items: NDArray[np.int32],
        weights: NDArray[np.float32],
        times: NDArray[np.float64],
    ) -> None:
        """Take back events that were added, in any order."""
        self._count(items, weights, times, -1)

    def totals(self) -> NDArray[np.int64]:
        """Events of each item: int64 [n_items], a copy."""
        with self._lock:
            return self._arrays.totals[: self._size].copy()

    def popular(self, n: int, allowed: NDArray[np.bool_] | None = None) -> Top:
        """Give the `n` items with most events; those without any stand last.

        Parameters
        ----------
        allowed : bool [n_items], optional
            Only items where it is true. Without it the order is kept until a count changes.
        """
        with self._lock:
            totals = self._arrays.totals[: self._size]
            items = self._order("popular", totals, n, allowed)
            return Top(items, totals[items].astype(np.float64))

    def trending(self, n: int, now: float, allowed: NDArray[np.bool_] | None = None) -> Top:
        """Give the `n` items with the largest decayed sum at `now` (Unix seconds).

        The score of an item is the sum over its events of ``0.5 ** (age / half_life)``; `now`
        moves the scores but never the order. `allowed` is as in `popular`.
        """
        with self._lock:
            sums = self._arrays.high[: self._size]
            items = self._order("trending", sums, n, allowed)
            chosen, landmark = sums[items], int(self._arrays.landmark[0])
        ticks = now / self._half_life
        whole = int(np.floor(ticks))
        with np.errstate(over="ignore"):  # a time long before the events, in half-lives
            scores = np.ldexp(chosen * 2.0 ** (whole - ticks), landmark - whole)
        return Top(items, np.minimum(scores, np.finfo(np.float64).max))

    def copy(self) -> CountersCopy:
        """Copy the arrays, for a caller who holds the lock."""
        totals, high, low, landmark = self._arrays
        size = self._size
        return CountersCopy(
            totals[:size].copy(), high[:size].copy(), low[:size].copy(), landmark.copy()
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
            self._orders.clear()

    def _order(
        self,
        name: str,
        scores: NDArray[np.int64] | NDArray[np.float64],
        n: int,
        allowed: NDArray[np.bool_] | None,
    ) -> NDArray[np.int32]:
        if allowed is not None:
            # An item that came after the mask was made is not allowed by it.
            candidates = np.flatnonzero(allowed[: len(scores)]).astype(np.int32)
            return candidates[_best(scores[candidates], n)]
        order = self._orders.get(name)
        if order is None or len(order) < min(n, len(scores)):
            order = self._orders[name] = _best(scores, n)
        return order[:n].copy()


def _best(scores: NDArray[np.int64] | NDArray[np.float64], n: int) -> NDArray[np.int32]:
    """Positions of the `n` largest scores, largest first, equal ones in order of position."""
    if n < len(scores):
        threshold = np.partition(scores, len(scores) - n)[len(scores) - n] if n else np.inf
        above = np.flatnonzero(scores > threshold)
        equal = np.flatnonzero(scores == threshold)[: n - len(above)]
        positions = np.concatenate((above, equal))
    else:
        positions = np.arange(len(scores))
    # Stable, so that ties keep their order: `above` and `equal` rise and do not mix.
    return positions[np.argsort(-scores[positions], kind="stable")].astype(np.int32)
