"""Pairs of items that are counted once and weighed many times, for a search for settings.

`edges.pair_edges` counts and divides in one pass. If only the divisors change, the counts can be
kept: the edges are the same, bit for bit, since a value is computed by the same operations and the
choice among equal values does not depend on the order of the pairs.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.chunks import map_chunks
from nearline.kernels.edges import (
    UNIT,
    Occurrences,
    Rows,
    check_items,
    gather,
    occurrences,
    pack,
)
from nearline.kernels.row_factors import EQUAL, row_factors
from nearline.kernels.sorting import zero
from nearline.kernels.topk import check_k, finished_lists, keep_best, start_lists

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


class KeptPairs(NamedTuple):
    """All pairs of the items from `first` on: those of item ``first + i`` are in row i.

    Attributes
    ----------
    indptr, items, units : int64 [n + 1], int32 [m], int64 [m]
        Other item and count of each pair, in any order.
    """

    first: int
    indptr: Longs
    items: Ints
    units: Longs


def most_pairs(rows: Rows, reach: int, n_items: int) -> int:
    """Return an upper bound on the number of different pairs within reach."""
    sizes = np.diff(rows.indptr)
    near = np.minimum(sizes, reach + 1)
    both_ways = near * (near - 1) + 2 * (sizes - near) * reach
    return int(min(both_ways.sum(), n_items**2))


@njit(nogil=True, cache=True)
def _wider(items: Ints, units: Longs, filled: int, room: int) -> tuple[Ints, Longs]:
    wider_items, wider_units = np.empty(room, dtype=np.int32), np.empty(room, dtype=np.int64)
    for at in range(filled):  # compiles faster than copies of slices
        wider_items[at], wider_units[at] = items[at], units[at]
    return wider_items, wider_units


@njit(nogil=True, cache=True)
def _keep_rows(
    rows: Rows,
    places: Occurrences,
    steps: Doubles,
    factors: Doubles,
    n_items: int,
    first: int,
    last: int,
) -> tuple[Longs, Ints, Longs]:
    totals = np.zeros(n_items, dtype=np.int64)
    touched = np.empty(n_items, dtype=np.int32)
    indptr = np.zeros(last - first + 1, dtype=np.int64)
    items, units = np.empty(1_024, dtype=np.int32), np.empty(1_024, dtype=np.int64)
    filled = zero()
    for item in range(first, last):
        count = gather(item, rows, places, steps, factors, totals, touched)
        if filled + count > len(items):
            items, units = _wider(items, units, filled, 2 * (filled + count))
        for at in range(count):
            other = touched[at]
            items[filled], units[filled] = other, totals[other]
            totals[other] = 0
            filled += 1
        indptr[item - first + 1] = filled
    return indptr, items[:filled].copy(), units[:filled].copy()


def keep_pairs(
    rows: Rows, steps: Doubles, n_items: int, *, shares: Doubles = EQUAL
) -> list[KeptPairs]:
    """Count all pairs of items within reach; the parameters are those of `edges.pair_edges`.

    The result takes 12 bytes per pair, see `most_pairs`.
    """
    check_items(rows, n_items)
    places, factors = occurrences(rows, n_items), row_factors(*rows, shares)
    return map_chunks(
        lambda first, last: KeptPairs(
            first, *_keep_rows(rows, places, steps, factors, n_items, first, last)
        ),
        n_items,
    )


@njit(nogil=True, cache=True)
def _kept_rows(
    first: int,
    indptr: Longs,
    items: Ints,
    units: Longs,
    source: Doubles,
    target: Doubles,
    offset: float,
    top_k: int,
) -> tuple[Longs, Ints, Floats]:
    n, widest = len(indptr) - 1, 0
    for row in range(n):
        widest = max(widest, indptr[row + 1] - indptr[row])
    values, others = np.empty(widest, dtype=np.float64), np.empty(widest, dtype=np.int32)
    lists = start_lists(n, top_k)
    filled = zero()
    for row in range(n):
        item, size = first + row, zero()
        for entry in range(indptr[row], indptr[row + 1]):
            j = items[entry]
            values[size] = units[entry] * UNIT / (source[item] * target[j] + offset)
            others[size] = j
            size += 1
        size = keep_best(values, others, size, top_k)
        for at in range(size):
            lists.kept_items[filled + at] = others[at]
            lists.kept_scores[filled + at] = values[at]
        lists.sizes[row] = size
        filled += size
    return finished_lists(lists, filled)


def kept_edges(
    parts: Sequence[KeptPairs], source: Doubles, target: Doubles, *, offset: float, top_k: int
) -> Rows:
    """Return the edges of `edges.pair_edges` for pairs that were counted before.

    The edges of an item are in no particular order: to sort them would take most of the time, and
    scores are sums over them.
    """
    check_k(top_k, "top_k")
    top_k = min(top_k, max(len(source), 1))
    return pack(
        map_chunks(
            lambda at, _: _kept_rows(*parts[at], source, target, offset, top_k),
            len(parts),
            least=1,
        )
    )
