"""A slab allocator for rows of events that are sorted by time and bounded in length.

A row occupies one *region* of the pool, which consists of three flat arrays. Regions come in size
classes, each twice as large as the one before. A row that outgrows its region moves to the next
class, and the old region is added to the free list of its class. The free list is stored in the
regions themselves: ``pool_times[start]`` of a free region is the start of the next one (exact up to
2**53).

Shared arguments
----------------
pool_items, pool_weights, pool_times : int32, float32, float64 [capacity]
    Events of all rows.
regions : int64 [n_rows, 3]
    Start, size and class of each row; all zero for a row without a region.
heads : int64 [n_classes + 1]
    First free region of each class (-1: none), then the end of the used part of the pool.
classes : int64 [n_classes]
    Capacities, ascending from 0 (no region); the last is the largest number of events in a row.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

START, SIZE, CLASS = 0, 1, 2

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


@njit(nogil=True, cache=True)
def append(
    rows: Longs,
    items: Ints,
    weights: Floats,
    times: Doubles,
    pool_items: Ints,
    pool_weights: Floats,
    pool_times: Doubles,
    regions: Longs,
    heads: Longs,
    classes: Longs,
) -> int:
    """Insert events one after the other; stop if the pool is full.

    An event is inserted after the events of its row that are not later, so a row is sorted by time,
    and events with equal times by arrival. A full row drops its oldest event.

    Parameters
    ----------
    rows, items, weights, times : [n]
        The events, in order of arrival.

    Returns
    -------
    int
        Number of inserted events. If it is smaller than n, enlarge the pool and call again with the
        rest.

    Notes
    -----
    An event costs amortised O(1) if it is the newest and its row is not full, otherwise O(row).
    """
    bound = classes[-1]
    for event in range(len(rows)):
        row = rows[event]
        size, grade = regions[row, SIZE], regions[row, CLASS]
        if size == classes[grade] and size < bound:
            widened = _widen(row, pool_items, pool_weights, pool_times, regions, heads, classes)
            if not widened:
                return event
        place = _make_place(row, times[event], pool_items, pool_weights, pool_times, regions, bound)
        if place >= 0:
            pool_items[place] = items[event]
            pool_weights[place] = weights[event]
            pool_times[place] = times[event]
    return len(rows)


@njit(nogil=True, cache=True)
def release(
    row: int,
    pool_items: Ints,
    pool_weights: Floats,
    pool_times: Doubles,
    regions: Longs,
    heads: Longs,
) -> None:
    """Overwrite a row with zeros and add its region, if any, to the free list of its class."""
    start, size, grade = regions[row]
    if grade > 0:
        pool_items[start : start + size] = 0
        pool_weights[start : start + size] = 0
        pool_times[start : start + size] = 0
        pool_times[start] = heads[grade]
        heads[grade] = start
    regions[row] = 0


@njit(nogil=True, cache=True)
def _widen(
    row: int,
    pool_items: Ints,
    pool_weights: Floats,
    pool_times: Doubles,
    regions: Longs,
    heads: Longs,
    classes: Longs,
) -> bool:
    """Move a row to a region of the next class; return False if the pool is full."""
    old, size, grade = regions[row, START], regions[row, SIZE], regions[row, CLASS] + 1
    start = heads[grade]
    if start >= 0:
        heads[grade] = int(pool_times[start])
    else:
        start = heads[-1]
        if start + classes[grade] > len(pool_times):
            return False
        heads[-1] += classes[grade]
    for position in range(size):
        pool_items[start + position] = pool_items[old + position]
        pool_weights[start + position] = pool_weights[old + position]
        pool_times[start + position] = pool_times[old + position]
    release(row, pool_items, pool_weights, pool_times, regions, heads)
    regions[row, START] = start
    regions[row, SIZE] = size
    regions[row, CLASS] = grade
    return True


@njit(nogil=True, cache=True)
def _make_place(
    row: int,
    time: float,
    pool_items: Ints,
    pool_weights: Floats,
    pool_times: Doubles,
    regions: Longs,
    bound: int,
) -> int:
    """Shift events to insert one at `time`; return its position, -1 if it is too old to keep."""
    start, size = regions[row, START], regions[row, SIZE]
    place: int = start + size
    while place > start and pool_times[place - 1] > time:
        place -= 1
    if size < bound:
        for later in range(start + size, place, -1):
            pool_items[later] = pool_items[later - 1]
            pool_weights[later] = pool_weights[later - 1]
            pool_times[later] = pool_times[later - 1]
        regions[row, SIZE] = size + 1
        return place
    for earlier in range(start, place - 1):
        pool_items[earlier] = pool_items[earlier + 1]
        pool_weights[earlier] = pool_weights[earlier + 1]
        pool_times[earlier] = pool_times[earlier + 1]
    return place - 1 if place > start else -1
