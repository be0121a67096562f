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


def superseded(indptr: Longs, items: Ints, weights: Floats) -> Bools:
    """Return which events are superseded: bool [n].

    Parameters
    ----------
    indptr, items, weights : int64 [n_users + 1], int32 [n], float32 [n]
        Events of several users as a ragged array, oldest first. Unknown items (-1) are never
        superseded.

    Notes
    -----
    The time is linear in the number of events. The function needs 13 bytes per item up to the
    largest.
    """
    n_items = int(items.max(initial=-1)) + 1
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


@njit(nogil=True, cache=True)
def counted_after(
    indptr: Longs,
    items: Ints,
    weights: Floats,
    times: Doubles,
    counted: Bools,
    new_indptr: Longs,
    new_items: Ints,
    new_weights: Floats,
    new_times: Doubles,
    bound: int,
) -> tuple[Bools, Bools]:
    """Return which events count once new events are added one by one to bounded histories.

    An event counts unless it is superseded by the events of the history. An event that leaves a
    full history keeps the value that it has then.

    Parameters
    ----------
    indptr, items, weights, times : int64 [n + 1], int32 [m], float32 [m], float64 [m]
        Histories of n users of at most `bound` events, sorted by time.
    counted : bool [m]
        Whether each event of the histories counts now.
    new_indptr, new_items, new_weights, new_times : int64 [n + 1], ..., [a]
        New events of the same users, in order of arrival.
    bound : int
        Maximum length of a history.

    Returns
    -------
    bool [m], bool [a]
        Whether each event counts afterwards.
    """
    old, new = counted.copy(), np.zeros(len(new_items), dtype=np.bool_)
    places = np.empty(bound + 1, dtype=np.int64)  # of the events of one history; new ones are >= m
    for row in range(len(indptr) - 1):
        size = 0
        for event in range(indptr[row], indptr[row + 1]):
            places[size] = event
            size += 1
        for event in range(new_indptr[row], new_indptr[row + 1]):
            at = size
            while at > 0 and _time(places[at - 1], times, new_times) > new_times[event]:
                places[at] = places[at - 1]
                at -= 1
            places[at] = len(items) + event
            size += 1
            item = new_items[event]
            _settle(item, places[:size], items, weights, old, new_items, new_weights, new)
            if size > bound:
                gone = places[0]
                item = items[gone] if gone < len(items) else new_items[gone - len(items)]
                for later in range(1, size):
                    places[later - 1] = places[later]
                size -= 1
                _settle(item, places[:size], items, weights, old, new_items, new_weights, new)
    return old, new


@njit(nogil=True, cache=True)
def _time(place: int, times: Doubles, new_times: Doubles) -> float:
    time: float = times[place] if place < len(times) else new_times[place - len(times)]
    return time


@njit(nogil=True, cache=True)
def _settle(
    item: int,
    places: Longs,
    items: Ints,
    weights: Floats,
    old: Bools,
    new_items: Ints,
    new_weights: Floats,
    new: Bools,
) -> None:
    """Set which events of `item` count, given the events of one history in order of time."""
    m = len(items)
    largest, against = np.float32(0.0), False
    for at in range(len(places) - 1, -1, -1):
        place = places[at]
        if (items[place] if place < m else new_items[place - m]) == item:
            weight = weights[place] if place < m else new_weights[place - m]
            if weight < 0 and largest <= -weight:
                against = True
            largest = max(largest, weight)
    for place in places:
        if (items[place] if place < m else new_items[place - m]) == item:
            weight = weights[place] if place < m else new_weights[place - m]
            counts = weight <= 0 if against else weight >= 0
            if place < m:
                old[place] = counts
            else:
                new[place - m] = counts
