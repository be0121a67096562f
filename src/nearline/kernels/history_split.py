"""Separation of histories into the events that arrived last and those before them."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Longs = NDArray[np.int64]
Doubles = NDArray[np.float64]


def came_before(
    indptr: Longs, times: Doubles, new_indptr: Longs, new_times: Doubles
) -> NDArray[np.bool_]:
    """Return which events of n histories arrived before the newest arrivals.

    Parameters
    ----------
    indptr, times : int64 [n + 1], float64 [m]
        Complete histories, sorted by time; events with equal times are sorted by arrival.
    new_indptr, new_times : int64 [n + 1], float64 [a]
        Times of the events that arrived last in each history, all of which are part of it.

    Returns
    -------
    bool [m]
        For each event of the histories: False for the newest arrivals, True for the others.
    """
    if not len(new_times):
        return np.ones(len(times), dtype=np.bool_)
    rows = np.repeat(np.arange(len(new_indptr) - 1), np.diff(new_indptr))
    return _came_before(indptr, times, new_indptr, new_times[np.lexsort((new_times, rows))])


@njit(nogil=True, cache=True)
def _came_before(
    indptr: Longs, times: Doubles, new_indptr: Longs, arrived: Doubles
) -> NDArray[np.bool_]:
    """Return which events arrived before others, whose times are sorted in each history."""
    before = np.ones(len(times), dtype=np.bool_)
    for row in range(len(indptr) - 1):
        place = indptr[row + 1] - 1
        for at in range(new_indptr[row + 1] - 1, new_indptr[row] - 1, -1):
            # Among events with equal times, the newest arrivals are the last ones.
            while place >= indptr[row] and times[place] != arrived[at]:
                place -= 1
            if place >= indptr[row]:
                before[place] = False
                place -= 1
    return before
