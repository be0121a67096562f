"""Showings: which items were shown to which users, and when."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from nearline.schema import DAY, ItemsShown, UserRecord

# The last showings of a user, the days after which one is dropped, and the showings of all users:
# beyond it, those of the user whose last showing was stored first are dropped. A showing takes
# 12 bytes, and each user about 300.
MAX_PER_USER, MAX_DAYS, MAX_SHOWINGS = 1_000, 30, 2_000_000
SHOWING = np.dtype([("item", "<i4"), ("time", "<f8")])
Rows = NDArray[np.void]
# Type of the table of a checkpoint: rows as bytes by user, the oldest first, and the last number.
Packed = tuple[list[tuple[str, bytes]], int]

NOTHING: Rows = np.zeros(0, dtype=SHOWING)
NOTHING.flags.writeable = False


class ShowingsCopy(NamedTuple):
    """A consistent copy of all showings.

    Attributes
    ----------
    rows : list of (str, SHOWING [n])
        Showings by user, in the order of their last change.
    number : int
        Largest number of a record that is included.
    """

    rows: list[tuple[str, Rows]]
    number: int


class Showings:
    """The last showings of each user, in the order of the log.

    Parameters
    ----------
    lock : RLock
        The lock of the state.
    index_of : callable
        Returns the index of an item, or None for an unknown one, whose showings are ignored.

    Attributes
    ----------
    number : int
        Largest number of a record that is included.
    """

    def __init__(self, lock: "threading.RLock", index_of: Callable[[str], int | None]) -> None:
        self.number = 0
        self._lock = lock
        self._index_of = index_of
        # Rows are replaced, not changed.
        self._rows: OrderedDict[str, Rows] = OrderedDict()
        self._total = 0

    @classmethod
    def from_copy(
        cls,
        lock: "threading.RLock",
        index_of: Callable[[str], int | None],
        parts: ShowingsCopy,
    ) -> Self:
        """Create showings from a copy."""
        showings = cls(lock, index_of)
        showings._rows = OrderedDict(parts.rows)
        showings._total = sum(len(row) for _, row in parts.rows)
        showings.number = parts.number
        return showings

    def __len__(self) -> int:
        """Return the number of showings."""
        return self._total

    def of(self, user_id: str) -> Rows:
        """Return the showings of a user; the array must not be modified."""
        return self._rows.get(user_id, NOTHING)

    def apply(self, record: ItemsShown) -> None:
        """Add the showings of a record; the caller must hold the lock."""
        self.number = max(self.number, record.number)
        new = rows_of(record.item_ids, record.times, self._index_of)
        if not len(new):
            return
        before = self._rows.pop(record.user_id, NOTHING)
        row = np.concatenate((before, new))[-MAX_PER_USER:]
        row = row[row["time"] > row["time"].max() - MAX_DAYS * DAY]
        self._rows[record.user_id] = row
        self._total += len(row) - len(before)
        while self._total > MAX_SHOWINGS and len(self._rows) > 1:
            _, oldest = self._rows.popitem(last=False)
            self._total -= len(oldest)

    def forget(
        self,
        user_id: str,
        gone: Iterable[tuple[int, UserRecord]],
        kept: Iterable[tuple[int, UserRecord]],
    ) -> None:
        """Remove the showings of records of a user, given the others; the lock must be held."""
        if not any(isinstance(record, ItemsShown) for _, record in gone):
            return
        self._total -= len(self._rows.pop(user_id, NOTHING))
        for _, record in kept:
            if isinstance(record, ItemsShown):
                self.apply(record)

    def copy(self) -> ShowingsCopy:
        """Return a copy of the table; the caller must hold the lock."""
        return ShowingsCopy(list(self._rows.items()), self.number)


def rows_of(
    item_ids: Iterable[str], times: Iterable[float], index_of: Callable[[str], int | None]
) -> Rows:
    """Return showings as an array; those of unknown items are left out."""
    pairs = [
        (index, time)
        for item_id, time in zip(item_ids, times, strict=True)
        if (index := index_of(item_id)) is not None
    ]
    return np.array(pairs, dtype=SHOWING)


def packed(copy: ShowingsCopy) -> Packed:
    """Return a copy as the table of a checkpoint."""
    return [(user_id, row.tobytes()) for user_id, row in copy.rows], copy.number


def unpacked(table: Packed, n_items: int) -> ShowingsCopy:
    """Return the copy in a checkpoint; raise ValueError if it does not fit to the items."""
    rows, number = table
    found = [(user_id, np.frombuffer(row, dtype=SHOWING)) for user_id, row in rows]
    for user_id, row in found:
        if not len(row) or row["item"].min() < 0 or row["item"].max() >= n_items:
            raise ValueError(f"the showings of {user_id!r:.50} have an item that does not exist")
        if not np.isfinite(row["time"]).all():
            raise ValueError(f"the showings of {user_id!r:.50} have a time that is not finite")
    return ShowingsCopy(found, number)
