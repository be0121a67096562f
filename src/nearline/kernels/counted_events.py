"""The rule by which events count, so that no user can dominate the counts of all others.

An event *counts* if it is among the first `CountedLimits.events` events of its user, and among the
first `CountedLimits.repeats` events of this user with the same item, in order of arrival. A smaller
`repeats` and two more limits, which are off by default, protect against made-up users. With
`CountedLimits.age`, an event counts only if it is at least so much later than the earliest one that
arrived before it from the same user. With `CountedLimits.weight`, it counts only if the absolute
weights of the user's events that count have at most this sum. Counts of pairs, popular and trending
items and contexts include only events that count. The others are part of their user's history,
which the user's own list is based on.

Whether an event counts depends only on earlier arrivals of its user. It therefore never changes
when further events arrive, and the counts after an erasure are equal to those of a log without the
erased events.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Weights are added as whole units of this size, so that the sum does not depend on the order.
UNIT = 2.0**-20
# More than the sum of all weights can be.
UNBOUNDED = 1 << 60
# A sum may exceed its limit by this share, so that ten weights of 0.1 are within the limit 1.
TOLERANCE = 1e-5


class CountedLimits(NamedTuple):
    """Limits on the events that count.

    Attributes
    ----------
    events : int
        Maximum number of events of a user that count.
    repeats : int
        Maximum number of events of a user with the same item that count.
    weight : float
        Maximum sum of the absolute weights of the events of a user that count.
    age : float
        Seconds after the earliest event of its user from which on an event counts.
    """

    events: int = 1_000
    repeats: int = 5
    weight: float = math.inf
    age: float = 0.0

    @property
    def numbers(self) -> tuple[int, int, int, float]:
        """The limits as arguments of compiled functions, with the weight in units."""
        units = int(min(self.weight * (1 + TOLERANCE) / UNIT, UNBOUNDED))
        return self.events, self.repeats, units, self.age

    @property
    def protective(self) -> str:
        """The limits that differ from the default, as text; "" if none does."""
        parts = []
        if self.bounded:
            parts.append(f"weight {self.weight!r}, age {self.age!r}")
        if self.repeats != LIMITS.repeats:
            parts.append(f"repeats {self.repeats}")
        return ", ".join(parts)

    @property
    def bounded(self) -> bool:
        """Whether weight or age is limited."""
        return self.weight < math.inf or self.age > 0


LIMITS = CountedLimits()


def counted_events(
    users: NDArray[np.integer],
    items: NDArray[np.integer],
    weights: NDArray[np.floating],
    times: NDArray[np.floating],
    limits: CountedLimits | None = None,
) -> NDArray[np.bool_]:
    """Return which events count.

    Parameters
    ----------
    users, items : int [n]
        User and item of each event in order of arrival, beginning with the first of each user.
    weights, times : float [n]
        Weights, and times in Unix seconds.
    limits : CountedLimits or None
        None for `LIMITS`.

    Notes
    -----
    The time complexity is O(n) if no user has more events than `CountedLimits.repeats`, and
    O(n log n) otherwise. With a limit on weight or age, it is O(n) for each event that counts of a
    user with many.
    """
    limits = limits or LIMITS
    counted = np.ones(len(users), dtype=np.bool_)
    sizes = np.bincount(users) if len(users) else np.zeros(1, dtype=np.int64)
    if limits.bounded:
        order = np.argsort(users, kind="stable")
        ends = np.cumsum(sizes)
        columns = items[order].astype(np.int64), weights[order].astype(np.float32)
        counted[order] = _one_by_one(ends, *columns, times[order].astype(float), limits.numbers)
        return counted
    least = min(limits.events, limits.repeats)
    if sizes.max() <= least:
        return counted
    many = np.flatnonzero(sizes[users] > least)
    some_users, some_items = users[many].astype(np.int64), items[many].astype(np.int64)
    pairs = some_users * (int(some_items.max()) + 2) + some_items + 1
    counted[many] = (_ranks(some_users) < limits.events) & (_ranks(pairs) < limits.repeats)
    return counted


@njit(nogil=True, cache=True)
def units_of(weight: float) -> int:
    """Return the absolute value of a weight in units of `UNIT`."""
    return int(abs(float(weight)) / UNIT + 0.5)


@njit(nogil=True, cache=True)
def _one_by_one(
    ends: NDArray[np.int64],
    items: NDArray[np.int64],
    weights: NDArray[np.float32],
    times: NDArray[np.float64],
    limits: tuple[int, int, int, float],
) -> NDArray[np.bool_]:
    """Return which events count, with all limits; the events of each user follow one another."""
    events, repeats, heaviest, age = limits
    counted = np.zeros(len(items), dtype=np.bool_)
    start = 0
    for end in ends:
        first, total = np.inf, 0
        for at in range(start, min(end, start + events)):
            old = age == 0 or times[at] - first >= age
            first = min(first, times[at])
            units = units_of(weights[at])
            if not old or total + units > heaviest:
                continue
            same = 0
            for before in range(start, at):
                same += int(counted[before] and items[before] == items[at])
            if same < repeats:
                counted[at] = True
                total += units
        start = end
    return counted


def _ranks(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many earlier entries have the same key, for each entry: int64 [n]."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    sizes = np.diff(np.concatenate((starts, [len(keys)])))
    ranks = np.empty(len(keys), dtype=np.int64)
    ranks[order] = np.arange(len(keys)) - np.repeat(starts, sizes)
    return ranks
