"""The rule by which events count, so that no user can dominate the counts of all others.

An event *counts* if it is among the first `CountedLimits.events` events of its user, and among the
first `CountedLimits.repeats` events of this user with the same item, in order of arrival. Counts of
pairs, popular and trending items and contexts include only events that count. The others are part
of their user's history, which the user's own list is based on.

Whether an event counts depends only on earlier arrivals of its user. It therefore never changes
when further events arrive, and the counts after an erasure are equal to those of a log without the
erased events.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class CountedLimits(NamedTuple):
    """Limits on the events that count.

    Attributes
    ----------
    events : int
        Maximum number of events of a user that count.
    repeats : int
        Maximum number of events of a user with the same item that count.
    """

    events: int = 1_000
    repeats: int = 5


LIMITS = CountedLimits()


def counted_events(
    users: NDArray[np.integer], items: NDArray[np.integer], limits: CountedLimits | None = None
) -> NDArray[np.bool_]:
    """Return which events count.

    Parameters
    ----------
    users, items : int [n]
        User and item of each event in order of arrival, beginning with the first of each user.
    limits : CountedLimits or None
        None for `LIMITS`.

    Notes
    -----
    The time complexity is O(n) if no user has more events than `CountedLimits.repeats`, and
    O(n log n) otherwise.
    """
    limits = limits or LIMITS
    counted = np.ones(len(users), dtype=np.bool_)
    sizes = np.bincount(users) if len(users) else np.zeros(1, dtype=np.int64)
    if sizes.max() <= min(limits):
        return counted
    many = np.flatnonzero(sizes[users] > min(limits))
    some_users, some_items = users[many].astype(np.int64), items[many].astype(np.int64)
    pairs = some_users * (int(some_items.max()) + 2) + some_items + 1
    counted[many] = (_ranks(some_users) < limits.events) & (_ranks(pairs) < limits.repeats)
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
