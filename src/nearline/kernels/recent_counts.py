"""Decayed counts of events by item and half-life, as integers.

An event at time t adds ``2 ** (t / half_life)`` to its item (forward decay, Cormode et al., ICDE
2009), so that no count changes as time passes: only the shares of items matter. Time is divided
into cells of `CELL` half-lives. The amounts of the newest cell and of the one before are integers
relative to the start of their cell; older events are too faint to matter. Therefore the counts do
not depend on the order of events, and subtracting an event restores them bit for bit.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Longs = NDArray[np.int64]
Doubles = NDArray[np.float64]

# Half-lives in a cell, and bits of the amount of an event of weight 1 at the start of a cell.
CELL, BITS = 20, 12
# Maximum weight of an event, so that the sums of millions of events fit into 63 bits.
HEAVIEST = 256.0
FADED = 2.0**-CELL
# Cell of counts without events.
NEVER = -(2**62)
# Times in half-lives that are larger, or not finite, come from damaged records and are not counted.
LARGEST_TICKS = 2.0**52
# Share that is added to both shares of a ratio, so that rare items get no extreme ratios.
SMOOTHING = 1e-7


@njit(nogil=True, cache=True)
def _advance(h: int, cell: int, newest: Longs, cells: Longs, totals: Longs, sums: Doubles) -> None:
    """Make `cell` the newest cell of one half-life."""
    following = cell == newest[h] + 1
    newest[h] = cell
    totals[0, h] = totals[1, h] if following else 0
    totals[1, h] = 0
    for item in range(cells.shape[1]):
        cells[0, item, h] = cells[1, item, h] if following else 0
        cells[1, item, h] = 0
        sums[item, h] = cells[0, item, h] * FADED


@njit(nogil=True, cache=True)
def count_recent(
    items: NDArray[np.int32],
    times: Doubles,
    weights: NDArray[np.float32],
    sign: int,
    half_lives: Doubles,
    newest: Longs,
    cells: Longs,
    totals: Longs,
    sums: Doubles,
) -> None:
    """Add events to the counts, or subtract them, in place.

    Parameters
    ----------
    items, times, weights : int32, float64, float32 [n]
        Events; those of unknown items (-1) or without a positive weight are not counted.
    sign : int
        1 to add, -1 to subtract.
    half_lives : float64 [H]
        Half-lives, in the unit of `times`.
    newest : int64 [H]
        Newest cell of each half-life.
    cells : int64 [2, capacity, H]
        Amounts of each item in the cell before the newest, and in the newest.
    totals : int64 [2, H]
        Sums of `cells` over all items.
    sums : float64 [capacity, H]
        Decayed sum of each item, relative to the start of the newest cell.
    """
    for event in range(len(items)):
        item = items[event]
        weight = min(float(weights[event]), HEAVIEST)
        if item < 0 or not weight > 0.0:
            continue
        for h in range(len(half_lives)):
            ticks = times[event] / half_lives[h]
            if not abs(ticks) < LARGEST_TICKS:
                continue
            cell = math.floor(ticks / CELL)
            if cell > newest[h]:
                _advance(h, cell, newest, cells, totals, sums)
            at = cell - newest[h] + 1
            if at < 0:
                continue
            amount = sign * int(2.0 ** (ticks - cell * CELL + BITS) * weight + 0.5)
            cells[at, item, h] += amount
            totals[at, h] += amount
            sums[item, h] = cells[1, item, h] + cells[0, item, h] * FADED


@njit(nogil=True, cache=True)
def set_rises(
    items: NDArray[np.int32],
    sums: Doubles,
    h: int,
    recent_unit: float,
    popularity: Longs,
    popular_unit: float,
    exponent: float,
    rises: Doubles,
) -> None:
    """Set ``rises[item]`` of some items to their recent share relative to their share of all time.

    Parameters
    ----------
    items : int32 [n]
        Items to compute; unknown ones (-1) are ignored.
    sums : float64 [capacity, H]
        Decayed sum of each item by half-life.
    h : int
        Index of the half-life that means "recent".
    popularity : int64 [capacity]
        Popularity of each item over all time.
    recent_unit, popular_unit : float
        Divisors that make shares of both, up to a factor that is common to all items.
    exponent : float
        Exponent of the ratio.
    rises : float64 [capacity]
        Result.
    """
    for at in range(len(items)):
        item = items[at]
        if item >= 0:
            share = sums[item, h] / recent_unit + SMOOTHING
            rises[item] = (share / (popularity[item] / popular_unit + SMOOTHING)) ** exponent
