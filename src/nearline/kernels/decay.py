"""Event counts and exponentially decayed sums of items.

The sums use forward decay (Cormode et al., "Forward decay", ICDE 2009): an event at time t has the
weight 2**(t / half_life - landmark), relative to a landmark of its item. The weights of all events
at a later time differ from these by a common factor, so that no sum changes as time passes. A
landmark is a whole number of half-lives, so that a change of it multiplies a sum by a power of two,
which is exact. Each item has its own landmark, so that an event with a wrong time affects only its
item.
A sum is stored as two doubles, high + low (Knuth's two-sum). If an event is subtracted, the result
is the sum of the other events, even if the event was by far the largest.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Half-lives between an event and the landmark at which the landmark is moved. The largest weight,
# 2**512, leaves room for any number of events.
REACH = 512
# Powers of two with this exponent are zero in double precision.
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
    """Add events to the counts and sums of their items, or subtract them, in place.

    Parameters
    ----------
    items, times : [n]
        Item index and time of each event.
    sign : int
        1 to add, -1 to subtract.
    half_life : float
        Time in which a weight is halved, in the unit of `times`.
    totals, high, low : int64, float64, float64 [n_items]
        Number of events of each item, and its decayed sum in two parts.
    landmark : int64 [n_items]
        Time at which an event of an item has weight 1, in half-lives.
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
    """Set ``out[item]`` to the binary logarithm of the decayed sum of each of some items.

    The sums are relative to time 0, so that magnitudes of different items can be compared. An item
    without events has minus infinity. Magnitudes of sums that differ by less than a factor of
    1 + 10**-12 may be equal.

    Parameters
    ----------
    items : int32 [n]
        Items to compute.
    high, landmark : float64, int64 [n_items]
        Sums and landmarks, as in `count`.
    out : float64 [n_items]
        Magnitudes; other items are not changed.
    """
    for row in range(len(items)):
        item = items[row]
        out[item] = math.log2(high[item]) + landmark[item] if high[item] > 0 else -math.inf
