"""Superseded events: those that a later, opposite opinion of the user on the same item replaces.

An event of negative weight w is an opinion against its item. It holds until a later event of the
same user and item has a weight above -w. While an opinion against an item holds, the user's events
of positive weight with the item are superseded; otherwise those of negative weight are.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Items per event from which on the items are numbered again before they are used as indices.
DENSE = 8


@njit(nogil=True, cache=True)
def any_negative(weights: Floats) -> bool:
    """Return whether any weight is negative; faster than NumPy for few weights."""
    found = False
    for weight in weights:
        found |= weight < 0
    return found


def superseded(indptr: Longs, items: Ints, weights: Floats) -> Bools:
    """Return which events are superseded: bool [n].

    Parameters
    ----------
    indptr, items, weights : int64 [n_users + 1], int32 [n], float32 [n]
        Events of several users as a ragged array, oldest first. Unknown items (-1) are never
        superseded.

    Notes
    -----
    The function needs 13 bytes per item up to the largest, or per distinct item if they are few.
    """
    n_items = int(items.max(initial=-1)) + 1
    if n_items > DENSE * len(items):
        found, numbers = np.unique(items, return_inverse=True)
        # An unknown item, -1, is the first and keeps its number.
        items = (numbers - (found[0] < 0)).astype(np.int32)
        n_items = len(found)
    out = np.zeros(len(items), dtype=np.bool_)
    last_row = np.full(n_items, -1, dtype=np.int64)
    largest, against = np.zeros(n_items, dtype=np.float32), np.zeros(n_items, dtype=np.bool_)
    _superseded(indptr, items, weights, last_row, largest, against, out)
    return out


@njit(nogil=True, cache=True)
def _superseded(
    indptr: Longs,
    items: Ints,
    weights: Floats,
    last_row: Longs,
    largest: Floats,
    against: Bools,
    out: Bools,
) -> None:
    for row in range(len(indptr) - 1):
        start, end = indptr[row], indptr[row + 1]
        if not (weights[start:end] < 0).any():
            continue
        for event in range(end - 1, start - 1, -1):
            item, weight = items[event], weights[event]
            if item < 0:
                continue
            if last_row[item] != row:
                last_row[item] = row
                largest[item], against[item] = 0.0, False
            if weight < 0 and largest[item] <= -weight:
                against[item] = True
            largest[item] = max(largest[item], weight)
        for event in range(start, end):
            item = items[event]
            if item >= 0:
                out[event] = weights[event] > 0 if against[item] else weights[event] < 0


def superseded_after(
    indptr: Longs,
    items: Ints,
    weights: Floats,
    times: Doubles,
    new_indptr: Longs,
    new_items: Ints,
    new_weights: Floats,
    new_times: Doubles,
) -> tuple[Bools, Bools]:
    """Return which events are superseded once new events are added: bool [m], bool [a].

    Parameters
    ----------
    indptr, items, weights, times : int64 [n + 1], int32 [m], float32 [m], float64 [m]
        Events of n users, sorted by time.
    new_indptr, new_items, new_weights, new_times : int64 [n + 1], ..., [a]
        New events of the same users, in order of arrival.
    """
    n = len(indptr) - 1
    rows = np.concatenate(
        (np.repeat(np.arange(n), np.diff(indptr)), np.repeat(np.arange(n), np.diff(new_indptr)))
    )
    # Stable: of events with equal times, new ones are the last.
    order = np.lexsort((np.concatenate((times, new_times)), rows))
    out = np.empty(len(rows), dtype=np.bool_)
    out[order] = superseded(
        indptr + new_indptr,
        np.concatenate((items, new_items))[order],
        np.concatenate((weights, new_weights))[order],
    )
    return out[: len(items)], out[len(items) :]
