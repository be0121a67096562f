"""Counts and forward-decayed sums over items (Cormode et al., "Forward decay", ICDE 2009).

An event at time t has the fixed weight 2**(t / half_life - landmark). Its weight *now* differs from
that by a factor common to all events, so nothing has to be updated as time passes. The landmark is
a whole number of half-lives: moving it multiplies every sum by a power of two, which is exact. Sums
are pairs of doubles (high + low, Knuth's two-sum), so that removing an event restores the sum of
the others, even if the event was by far the largest.
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
    """Add (`sign` 1) or remove (`sign` -1) events.

    Parameters
    ----------
    items, times : [n]
        Item index and time of each event; `half_life` has the unit of `times`.
    totals, high, low : [n_items]
        Number of events and decayed sum of each item; changed in place.
    landmark : int64 [1]
        Time, in half-lives, of an event with weight 1; changed in place.
    """
    for event in range(len(items)):
        item = items[event]
        ticks = times[event] / half_life
        whole = math.floor(ticks)
        power = int(whole) - int(landmark[0])
        if power > REACH:
            factor = math.ldexp(1.0, max(-power, VANISHED))
            for other in range(len(high)):
                high[other] *= factor
                low[other] *= factor
            landmark[0] += power
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
