"""Support of items: how many users an item has, where very active users count less.

The support of an item is the sum over its users of `USUAL`, or of `SMALL` for a user with more than
`VERY_ACTIVE` events. An item with the support `SMALL` thus has a single user, who is very active.
Supports are sums over users of numbers that only depend on the user's events, so new events change
them exactly, and an erased user can be subtracted.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.edges import Rows

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]

USUAL, SMALL = 2, 1
# Events beyond which a user is very active; only known items and positive weights are counted.
VERY_ACTIVE = 20


@njit(nogil=True, cache=True)
def add_support(
    old: Rows, new: Rows, sign: int, limit: int, support: Longs, marks: Longs, mark: int
) -> tuple[Ints, int]:
    """Add the changes by new events of n users to the support of items.

    Parameters
    ----------
    old, new : Rows
        All earlier events and the new events of the users.
    sign : int
        1, or -1 to subtract the changes.
    limit : int
        Number of events beyond which a user is very active.
    support : int64 [n_items]
        Changed in place.
    marks : int64 [n_items]
        Working memory: the last row in which an item was found, as a number up to `mark`.
    mark : int
        The number of rows that were marked so far.

    Returns
    -------
    int32 [m], int
        Items whose support has changed, perhaps repeatedly, and the new value of `mark`.

    Notes
    -----
    The time complexity is O(events).
    """
    changed = np.empty(len(old.items) + len(new.items), dtype=np.int32)
    filled = 0
    for row in range(len(new.indptr) - 1):
        before, after = _positive(old, row), _positive(new, row)
        if after == 0:
            continue
        after += before
        was = USUAL if before <= limit else SMALL
        now = USUAL if after <= limit else SMALL
        mark += 1
        for at in range(old.indptr[row], old.indptr[row + 1]):
            item = old.items[at]
            if item < 0 or not old.weights[at] > 0.0 or marks[item] == mark:
                continue
            marks[item] = mark
            if was != now:
                support[item] += sign * (now - was)
                changed[filled] = item
                filled += 1
        for at in range(new.indptr[row], new.indptr[row + 1]):
            item = new.items[at]
            if item < 0 or not new.weights[at] > 0.0 or marks[item] == mark:
                continue
            marks[item] = mark
            support[item] += sign * now
            changed[filled] = item
            filled += 1
    return changed[:filled], mark


@njit(nogil=True, cache=True)
def _positive(rows: Rows, row: int) -> int:
    """Return the number of known items with a positive weight in a row."""
    count = 0
    for at in range(rows.indptr[row], rows.indptr[row + 1]):
        count += int(rows.items[at] >= 0 and rows.weights[at] > 0.0)
    return count
