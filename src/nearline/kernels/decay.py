"""Counts and forward-decayed sums over items (Cormode et al., "Forward decay", ICDE 2009).

An event at time t weighs 2**(t / half_life - landmark), where the landmark belongs to its item;
the weight at a later time differs from that by a factor, so nothing is updated as time passes.
A landmark is a whole number of half-lives: moving it multiplies a sum by a power of two, which is
exact. Each item has a landmark of its own, so an event with a wrong time affects its item alone.
Sums are pairs of doubles (high + low, Knuth's two-sum), so that subtracting an event leaves what
the other events alone would have given, even if it was by far the largest.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Distance from the landmark, in half-lives, at which it moves: 2**512 allows any number of events.
REACH = 512
# Below 2**-1100 a double is zero.
VANISHED = -1100


@njit(nogil=True, cache=True)
def count(
    items: NDArray[np.int32],
    times: NDArray[np.float64],
    sign: int,
    half_life: float,
    totals: NDArray[np.int64],
    high: NDArray[np.float64],
    low: NDArray[np.float64],
    landmark: NDArray[np.int64],
) -> None:
    """Add (`sign` 1) or subtract (`sign` -1) events; O(n).

    Parameters
    ----------
    items, times : [n]
        Item index and time of each event; `half_life` has the unit of `times`.
    totals, high, low : [n_items]
        Number of events and decayed sum of each item; changed in place.
    landmark : int64 [n_items]
        Time of each item, in half-lives, at which an event weighs 1; changed in place.
    """
    for event in range(len(items)):
        item = items[event]
        ticks = times[event] / half_life
        whole = math.floor(ticks)
        power = int(whole) - int(landmark[item])
        if power > REACH or totals[item] == 0:
            factor = math.ldexp(1.0, max(-power, VANISHED))
            if totals[item] != 0:
                high[item] *= factor
                low[item] *= factor
            landmark[item] += power
            power = 0
        amount = sign * math.ldexp(2.0 ** (ticks - whole), max(power, VANISHED))
        totals[item] += sign
        if totals[item] == 0:
            high[item] = 0.0
            low[item] = 0.0
            continue
        old = high[item]
        total = old + amount
        shadow = total - old
        error = (old - (total - shadow)) + (amount - shadow) + low[item]
        high[item] = total + error
        low[item] = error - (high[item] - total)


@njit(nogil=True, cache=True)
def magnitudes(
    items: NDArray[np.int32],
    high: NDArray[np.float64],
    landmark: NDArray[np.int64],
    out: NDArray[np.float64],
) -> None:
    """Write log2 of the sums of `items`, as of time 0, to their places in `out` [n_items].

    An item without events gets minus infinity. Sums that differ by less than one part in 10**12
    may get the same magnitude.
    """
    for row in range(len(items)):
        item = items[row]
        out[item] = math.log2(high[item]) + landmark[item] if high[item] > 0 else -math.inf
