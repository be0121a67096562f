"""Split histories into the newest arrivals and the events that were there before."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Longs = NDArray[np.int64]
Doubles = NDArray[np.float64]


@njit(nogil=True, cache=True)
def came_before(
    indptr: Longs, times: Doubles, new_indptr: Longs, new_times: Doubles
) -> NDArray[np.bool_]:
    """Mark the events of some histories that were there before the newest arrivals.

    Parameters
    ----------
    indptr, times : int64 [n + 1], float64 [m]
        Complete histories, sorted by time; events with equal times are sorted by arrival.
    new_indptr, new_times : int64 [n + 1], float64 [a]
        Times of the newest arrivals of each history, all of which are part of it.

    Returns
    -------
    bool [m]
        False for the newest arrivals.
    """
    before = np.ones(len(times), dtype=np.bool_)
    for row in range(len(indptr) - 1):
        arrived = np.sort(new_times[new_indptr[row] : new_indptr[row + 1]])
        place = indptr[row + 1] - 1
        for at in range(len(arrived) - 1, -1, -1):
            # Of events with equal times, the newest arrivals come last.
            while place >= indptr[row] and times[place] != arrived[at]:
                place -= 1
            if place >= indptr[row]:
                before[place] = False
                place -= 1
    return before
