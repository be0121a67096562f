"""Histories: the most recent events of each user."""

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from nearline.kernels import counted_events, slab
from nearline.kernels.arrays import grown, resized
from nearline.kernels.opinions import any_negative
from nearline.schema.histories import Histories

SMALLEST_REGION = 4
# The pool is the largest part of the memory, so its size is not doubled.
POOL_GROWTH = 1.5


class UserHistory(NamedTuple):
    """Copy of the events of one user, oldest first.

    Attributes
    ----------
    items : int32 [n]
        Item index of each event; an item may occur several times.
    weights : float32 [n]
        Weight of each event; negative for a dislike.
    times : float64 [n]
        Times in Unix seconds, ascending.
    opposed : bool
        Whether the user ever had an event of negative weight, so that others may be superseded.
    """

    items: NDArray[np.int32]
    weights: NDArray[np.float32]
    times: NDArray[np.float64]
    opposed: bool = False


class CountedRows(NamedTuple):
    """Events of several users that count.

    Attributes
    ----------
    rows : Histories
        Events, one row per user.
    every : bool [n_users]
        Whether every event of the user counts and is contained in the row.
    arrived : int64 [n_users]
        Number of all events of the user.
    """

    rows: Histories
    every: NDArray[np.bool_]
    arrived: NDArray[np.int64]


class HistoryStore:
    """Histories of users with a maximum length, sorted by time and then by arrival.

    An event takes 16 bytes, and a user 33 bytes in addition. A region for more than four events is
    at least half full.

    Parameters
    ----------
    bound : int
        Maximum number of events of a history.
    limits : CountedLimits or None
        Which events count; None for `counted_events.LIMITS`.

    Attributes
    ----------
    some_opposed : bool
        Whether any user ever had an event of negative weight.

    Notes
    -----
    Up to `CountedLimits.events` events of a user are stored even if `bound` is smaller, to decide
    which later events count.
    """

    def __init__(self, bound: int, limits: counted_events.CountedLimits | None = None) -> None:
        self._bound = bound
        limits = limits or counted_events.LIMITS
        self._limits = limits.numbers
        # Whether all events that were ever added count.
        self._every = True
        self._classes = _region_sizes(max(bound, limits.events))
        self._heads = np.full(len(self._classes) + 1, -1, dtype=np.int64)
        self._heads[-1] = 0
        self._regions = np.empty((0, 4), dtype=np.int64)
        self._opposed = np.empty(0, dtype=np.bool_)
        self.some_opposed = False
        self._items = np.empty(0, dtype=np.int32)
        self._weights = np.empty(0, dtype=np.float32)
        self._times = np.empty(0, dtype=np.float64)

    @classmethod
    def from_rows(
        cls,
        bound: int,
        rows: Histories,
        arrived: NDArray[np.int64],
        opposed: NDArray[np.bool_],
        limits: counted_events.CountedLimits | None = None,
    ) -> Self:
        """Create histories from the result of `HistoryStoreCopy.rows`; row u is that of user u.

        Parameters
        ----------
        bound : int
            Maximum number of events of a history.
        rows : Histories
            Stored events of all users.
        arrived : int64 [n_users]
            Number of events that were added for each user.
        opposed : bool [n_users]
            Whether each user ever had an event of negative weight.
        limits : CountedLimits or None
            Which events count; None for `counted_events.LIMITS`.
        """
        histories = cls(bound, limits)
        histories._opposed = opposed
        histories.some_opposed = bool(opposed.any())
        sizes = np.diff(rows.indptr)
        grades = np.searchsorted(histories._classes, sizes)
        room = histories._classes[grades]
        ends = np.cumsum(room)
        starts = ends - room
        used = int(ends[-1]) if len(ends) else 0
        histories._regions = np.column_stack((starts, sizes, grades, arrived))
        histories._heads[-1] = used
        histories._resize(used)
        place = np.arange(len(rows.items)) + np.repeat(starts - rows.indptr[:-1], sizes)
        histories._items[place] = rows.items
        histories._every = bool((rows.items >= 0).all())
        histories._weights[place] = rows.weights
        histories._times[place] = rows.times
        return histories

    def append(
        self,
        users: NDArray[np.int64],
        items: NDArray[np.int32],
        weights: NDArray[np.float32],
        times: NDArray[np.float64],
        slots: int,
    ) -> NDArray[np.bool_] | None:
        """Add events in order of arrival; user indices must be below `slots`.

        If a user has more events than the maximum, the oldest are removed.

        Returns
        -------
        bool [n] or None
            Whether each event counts, see `counted_events`; None if all do.
        """
        self._regions = grown(self._regions, slots)
        self._opposed = grown(self._opposed, slots)
        if any_negative(weights):
            self._opposed[users[weights < 0]] = True
            self.some_opposed = True
        counted = np.empty(len(users), dtype=np.bool_)
        done = 0
        while done < len(users):
            done += slab.append(
                users[done:],
                items[done:],
                weights[done:],
                times[done:],
                self._items,
                self._weights,
                self._times,
                self._regions,
                self._heads,
                self._classes,
                self._limits,
                counted[done:],
            )
            if done < len(users):
                needed = int(self._heads[-1] + self._classes[-1])
                self._resize(max(needed, int(POOL_GROWTH * len(self._items))))
        # The method `all` of an array takes longer than the kernel does for one event.
        every = counted[0] if len(counted) == 1 else counted.all()
        if every:
            return None
        self._every = False
        return counted

    def row(self, user: int) -> UserHistory:
        """Return a copy of the events of one user."""
        start, size, _, _ = self._regions[user].tolist()
        end = start + size
        start = max(start, end - self._bound)
        items = self._items[start:end]
        return UserHistory(
            items.copy() if self._every else slab.decoded(items),
            self._weights[start:end].copy(),
            self._times[start:end].copy(),
            bool(self._opposed[user]),
        )

    def opposed(self, users: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Return which users ever had an event of negative weight; False for unknown ones."""
        opposed = np.zeros(len(users), dtype=np.bool_)
        if not self.some_opposed:
            return opposed
        known = (users >= 0) & (users < len(self._opposed))
        opposed[known] = self._opposed[users[known]]
        return opposed

    def rows(self, users: NDArray[np.integer]) -> Histories:
        """Return a copy of the events of several users; rows of unknown users (-1) are empty."""
        return Histories(*self._gather(users, self._bound, slab.ALL)[:4])

    def counted_rows(self, users: NDArray[np.integer]) -> CountedRows:
        """Return the events of several users that count.

        The rows of users with more events than count may be incomplete.
        """
        *rows, every, arrived = self._gather(users, int(self._classes[-1]), slab.COUNTED)
        return CountedRows(Histories(*rows), every, arrived)

    def _gather(self, users: NDArray[np.integer], most: int, which: int) -> Any:
        return slab.gather(
            users.astype(np.int64),
            self._items,
            self._weights,
            self._times,
            self._regions,
            most,
            which,
        )

    @property
    def longest(self) -> int:
        """Maximum number of events that are stored for a user."""
        return int(self._classes[-1])

    def set_arrived(self, user: int, arrived: int) -> None:
        """Set the number of events that were added for a user, who has at least one."""
        self._regions[user, slab.ARRIVED] = arrived

    def remove(self, user: int) -> None:
        """Overwrite the events of a user and release their region."""
        slab.release(user, self._items, self._weights, self._times, self._regions, self._heads)
        self._opposed[user] = False

    def copy(self, slots: int) -> "HistoryStoreCopy":
        """Return a copy of the memory as it is, which is fast; the caller must hold the lock."""
        end = int(self._heads[-1])
        return HistoryStoreCopy(
            self._regions[:slots].copy(),
            self._items[:end].copy(),
            self._weights[:end].copy(),
            self._times[:end].copy(),
            self._opposed[:slots].copy(),
        )

    def _resize(self, capacity: int) -> None:
        self._items = resized(self._items, capacity)
        self._weights = resized(self._weights, capacity)
        self._times = resized(self._times, capacity)


class HistoryStoreCopy(NamedTuple):
    """Consistent copy of the memory of a `HistoryStore`, including free regions."""

    regions: NDArray[np.int64]
    items: NDArray[np.int32]
    weights: NDArray[np.float32]
    times: NDArray[np.float64]
    opposed: NDArray[np.bool_]

    def rows(self) -> Histories:
        """Return the stored events of all users; items of events that do not count are negative."""
        regions, items, weights, times, _ = self
        users, most = np.arange(len(regions)), int(regions[:, slab.SIZE].max(initial=0))
        found = slab.gather(users, items, weights, times, regions, most, slab.STORED)
        return Histories(*found[:4])

    def arrived(self) -> NDArray[np.int64]:
        """Return the number of events that were added for each user."""
        return self.regions[:, slab.ARRIVED].copy()


def _region_sizes(bound: int) -> NDArray[np.int64]:
    sizes = [0, min(SMALLEST_REGION, bound)]
    while sizes[-1] < bound:
        sizes.append(min(2 * sizes[-1], bound))
    return np.array(sizes, dtype=np.int64)
