"""Slab allocator for rows of events, which are sorted by time and limited in length.

Events are stored in a pool of three arrays, in which each row occupies a *region*. Regions have
sizes from a few classes, each twice as large as the one before. A row that does not fit into its
region is moved to a region of the next class, and the old region is added to the free list of its
class. Free lists are stored in the regions: ``pool_times[start]`` of a free region is the start of
the next one, which is exact up to 2**53. The item i of an event that does not count, see
`counted_events`, is stored as -1 - i (``~i``).

Common parameters
-----------------
pool_items, pool_weights, pool_times : int32, float32, float64 [capacity]
    Events of all rows.
regions : int64 [n_rows, 4]
    Start, size and class of each row, and the number of events that were added to it; all zero for
    a row without a region.
heads : int64 [n_classes + 1]
    First free region of each class, or -1; the last entry is the end of the used part of the
    pool.
classes : int64 [n_classes]
    Capacity of a region of each class, ascending. Class 0, with capacity 0, is that of rows
    without a region; the last capacity is the maximum length of a row.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.counted_events import UNBOUNDED, units_of

START, SIZE, CLASS, ARRIVED = 0, 1, 2, 3
# Events that `gather` returns: all as they are stored, all with their items, or those that count.
STORED, ALL, COUNTED = 0, 1, 2

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]


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
    limits: tuple[int, int, int, float],
    counted: Bools,
) -> int:
    """Insert events into their rows, one after the other, until the pool is full.

    An event is inserted after all events of its row that are not later, so that rows are sorted by
    time, and events with equal times by arrival. If a row has its maximum length, its oldest event
    is removed.

    Parameters
    ----------
    rows, items, weights, times : [n]
        Row, item, weight and time of each event, in order of arrival.
    limits : (int, int, int, float)
        `CountedLimits.numbers`. The maximum length of a row must be at least the first.
    counted : bool [n]
        Output: whether each inserted event counts.

    Returns
    -------
    int
        Number of inserted events. If it is less than n, the caller must enlarge the pool and call
        the function again with the other events.

    Notes
    -----
    An event takes time proportional to the length of its row. For the newest event of a row, this
    is a search for its item, which is fast, and no event is moved unless the row is full.
    """
    bound = classes[-1]
    for event in range(len(rows)):
        row = rows[event]
        size, grade = regions[row, SIZE], regions[row, CLASS]
        if size == classes[grade] and size < bound:
            widened = _widen(row, pool_items, pool_weights, pool_times, regions, heads, classes)
            if not widened:
                return event
        counted[event] = _counts(
            row,
            items[event],
            weights[event],
            times[event],
            pool_items,
            pool_weights,
            pool_times,
            regions,
            limits,
        )
        place = _make_place(row, times[event], pool_items, pool_weights, pool_times, regions, bound)
        regions[row, ARRIVED] += 1
        if place >= 0:
            pool_items[place] = items[event] if counted[event] else ~items[event]
            pool_weights[place] = weights[event]
            pool_times[place] = times[event]
    return len(rows)


@njit(nogil=True, cache=True)
def _counts(
    row: int,
    item: int,
    weight: float,
    time: float,
    pool_items: Ints,
    pool_weights: Floats,
    pool_times: Doubles,
    regions: Longs,
    limits: tuple[int, int, int, float],
) -> bool:
    """Return whether the next event of a row counts."""
    most, repeats, heaviest, age = limits
    arrived = regions[row, ARRIVED]
    if arrived >= most:
        return False
    # The row contains all events that were added to it, since there are at most `most`.
    start = regions[row, START]
    end = start + regions[row, SIZE]
    if age > 0 and (arrived == 0 or time - pool_times[start] < age):
        return False
    if heaviest < UNBOUNDED:
        total = units_of(weight)
        for place in range(start, end):
            if pool_items[place] >= 0:
                total += units_of(pool_weights[place])
        if total > heaviest:
            return False
    if arrived < repeats:
        return True
    same = 0
    for other in pool_items[start:end]:  # a slice is compared faster
        same += int(other == item)
    return same < repeats


@njit(nogil=True, cache=True)
def decoded(items: Ints) -> Ints:
    """Return the items of stored events, whether they count or not."""
    found = items.copy()
    for at in range(len(found)):
        if found[at] < 0:
            found[at] = ~found[at]
    return found


@njit(nogil=True, cache=True)
def gather(
    rows: Longs,
    pool_items: Ints,
    pool_weights: Floats,
    pool_times: Doubles,
    regions: Longs,
    most: int,
    which: int,
) -> tuple[Longs, Ints, Floats, Doubles, Bools, Longs]:
    """Copy rows.

    Parameters
    ----------
    rows : int64 [m]
        Rows; those that do not exist are empty.
    most : int
        Maximum length of a copied row; the oldest events are left out.
    which : int
        `STORED`, `ALL` or `COUNTED`.

    Returns
    -------
    indptr, items, weights, times
        Events of the rows.
    every : bool [m]
        Whether all events that were added to a row are stored in it and count.
    arrived : int64 [m]
        Number of events that were added to a row.
    """
    indptr = np.zeros(len(rows) + 1, dtype=np.int64)
    every = np.ones(len(rows), dtype=np.bool_)
    arrived = np.zeros(len(rows), dtype=np.int64)
    for at in range(len(rows)):
        length = 0
        if 0 <= rows[at] < len(regions):
            start, size = regions[rows[at], START], regions[rows[at], SIZE]
            arrived[at] = regions[rows[at], ARRIVED]
            length = min(size, most)
            if which == COUNTED:
                length = 0
                for place in range(start, start + size):
                    length += int(pool_items[place] >= 0)
                every[at] = length == arrived[at]
        indptr[at + 1] = indptr[at] + length
    items = np.empty(indptr[-1], dtype=np.int32)
    weights = np.empty(indptr[-1], dtype=np.float32)
    times = np.empty(indptr[-1], dtype=np.float64)
    for at in range(len(rows)):
        if indptr[at] == indptr[at + 1]:
            continue
        end = regions[rows[at], START] + regions[rows[at], SIZE]
        filled, place = indptr[at], end - (indptr[at + 1] - indptr[at])
        if which == COUNTED:
            place = regions[rows[at], START]
        while place < end:
            item = pool_items[place]
            if which != COUNTED or item >= 0:
                items[filled] = ~item if which == ALL and item < 0 else item
                weights[filled], times[filled] = pool_weights[place], pool_times[place]
                filled += 1
            place += 1
    return indptr, items, weights, times, every, arrived


@njit(nogil=True, cache=True)
def release(
    row: int,
    pool_items: Ints,
    pool_weights: Floats,
    pool_times: Doubles,
    regions: Longs,
    heads: Longs,
) -> None:
    """Overwrite a row with zeros, and add its region to the free list of its class."""
    start, size, grade = regions[row, START], regions[row, SIZE], regions[row, CLASS]
    if grade > 0:
        for position in range(start, start + size):  # compiles faster than slices
            pool_items[position] = 0
            pool_weights[position] = 0
            pool_times[position] = 0
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
    """Move a row to a region of the next class; return whether the pool had room for it."""
    old, size, grade = regions[row, START], regions[row, SIZE], regions[row, CLASS] + 1
    arrived = regions[row, ARRIVED]
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
    regions[row, ARRIVED] = arrived
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
    """Make room for an event at `time` by moving other events of its row.

    Return the position of the event in the pool, or -1 if the row is full and has no older event.
    """
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
