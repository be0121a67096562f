"""Histories cut in two: what was there before some events came, and those events."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Longs = NDArray[np.int64]
Doubles = NDArray[np.float64]


@njit(nogil=True, cache=True)
def came_before(
    indptr: Longs, times: Doubles, new_indptr: Longs, new_times: Doubles
) -> NDArray[np.bool_]:
    """Tell which events of some histories were there before the newest arrivals.

    Parameters
    ----------
    indptr, times : int64 [n + 1], float64 [m]
        Whole histories, in order of time and, inside a time, of arrival.
    new_indptr, new_times : int64 [n + 1], float64 [a]
        Times of the last arrivals of each history, all of which are in it.

    Returns
    -------
    bool [m]
        False for the last arrivals.
    """
    before = np.ones(len(times), dtype=np.bool_)
    for row in range(len(indptr) - 1):
        arrived = np.sort(new_times[new_indptr[row] : new_indptr[row + 1]])
        place = indptr[row + 1] - 1
        for at in range(len(arrived) - 1, -1, -1):
            # Of events at one time the last to arrive stand last.
            while place >= indptr[row] and times[place] != arrived[at]:
                place -= 1
            if place >= indptr[row]:
                before[place] = False
                place -= 1
    return before
