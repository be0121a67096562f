"""Histories: the most recent events of each user."""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from nearline.kernels import slab
from nearline.schema.histories import Histories
from nearline.state.arrays import grown, resized

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


class HistoryStore:
    """Histories of users with a maximum length, sorted by time and then by arrival.

    An event takes 16 bytes, and a user 25 bytes in addition. A region for more than four events is
    at least half full.

    Parameters
    ----------
    bound : int
        Maximum number of events of a user.

    Attributes
    ----------
    some_opposed : bool
        Whether any user ever had an event of negative weight.
    """

    def __init__(self, bound: int) -> None:
        self._classes = _region_sizes(bound)
        self._heads = np.full(len(self._classes) + 1, -1, dtype=np.int64)
        self._heads[-1] = 0
        self._regions = np.empty((0, 3), dtype=np.int64)
        self._opposed = np.empty(0, dtype=np.bool_)
        self.some_opposed = False
        self._items = np.empty(0, dtype=np.int32)
        self._weights = np.empty(0, dtype=np.float32)
        self._times = np.empty(0, dtype=np.float64)

    @classmethod
    def from_rows(cls, bound: int, rows: Histories, opposed: NDArray[np.bool_]) -> Self:
        """Create histories from rows of at most `bound` events; row u is that of user u.

        `opposed`, bool [n_users], is the value of `opposed` for each user.
        """
        histories = cls(bound)
        histories._opposed = opposed
        histories.some_opposed = bool(opposed.any())
        sizes = np.diff(rows.indptr)
        grades = np.searchsorted(histories._classes, sizes)
        room = histories._classes[grades]
        ends = np.cumsum(room)
        starts = ends - room
        used = int(ends[-1]) if len(ends) else 0
        histories._regions = np.column_stack((starts, sizes, grades))
        histories._heads[-1] = used
        histories._resize(used)
        place = np.arange(len(rows.items)) + np.repeat(starts - rows.indptr[:-1], sizes)
        histories._items[place] = rows.items
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
    ) -> None:
        """Add events in order of arrival; user indices must be below `slots`.

        If a user has more events than the bound, the oldest are removed.
        """
        self._regions = grown(self._regions, slots)
        self._opposed = grown(self._opposed, slots)
        if len(weights) and weights.min() < 0:
            self._opposed[users[weights < 0]] = True
            self.some_opposed = True
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
            )
            if done < len(users):
                needed = int(self._heads[-1] + self._classes[-1])
                self._resize(max(needed, int(POOL_GROWTH * len(self._items))))

    def row(self, user: int) -> UserHistory:
        """Return a copy of the events of one user."""
        start, size, _ = self._regions[user].tolist()
        end = start + size
        return UserHistory(
            self._items[start:end].copy(),
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
        known = (users >= 0) & (users < len(self._regions))
        chosen = np.zeros((len(users), 3), dtype=np.int64)
        chosen[known] = self._regions[users[known]]
        return _gather(chosen, self._items, self._weights, self._times)

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
        """Return the events of all users, one row for each index."""
        return _gather(self.regions, self.items, self.weights, self.times)


def _gather(
    regions: NDArray[np.int64],
    items: NDArray[np.int32],
    weights: NDArray[np.float32],
    times: NDArray[np.float64],
) -> Histories:
    sizes = regions[:, slab.SIZE]
    indptr = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    take = np.arange(indptr[-1]) + np.repeat(regions[:, slab.START] - indptr[:-1], sizes)
    return Histories(indptr, items[take], weights[take], times[take])


def _region_sizes(bound: int) -> NDArray[np.int64]:
    sizes = [0, min(SMALLEST_REGION, bound)]
    while sizes[-1] < bound:
        sizes.append(min(2 * sizes[-1], bound))
    return np.array(sizes, dtype=np.int64)
