"""Sparse relations between items, in which each row contains only the strongest neighbours.

Each row is computed separately in a dense array with one number per item, so that rows can be
computed in parallel and in any order with bit-identical results. The weight of a pair of events is
rounded to an integer number of units, because integer sums do not depend on the order of the
events, and pairs can be subtracted exactly.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.chunks import map_chunks
from nearline.kernels.row_factors import EQUAL, row_factors
from nearline.kernels.sorting import zero
from nearline.kernels.topk import check_k, finish_row, finished_lists, offer, start_lists

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


# Value of a unit: a pair of events with weight 1 has 2**30 units. A pair has at most `MOST` units,
# so that a 64-bit sum has room for 2**18 of the largest pairs.
UNIT = 2.0**-30
MOST = 2**45


class Rows(NamedTuple):
    """Ragged array of items with weights, such as histories, a sparse matrix or neighbour lists.

    Row r has the entries from ``indptr[r]`` to ``indptr[r + 1] - 1``. In a history, they are sorted
    from the oldest event to the newest.

    Attributes
    ----------
    indptr : int64 [n + 1]
        Start of each row.
    items : int32 [m]
        Item, or column, of each entry.
    weights : float32 [m]
        Weight of each entry.
    """

    indptr: Longs
    items: Ints
    weights: Floats


class Occurrences(NamedTuple):
    """Positions of each item in `Rows` with m entries.

    Attributes
    ----------
    indptr : int64 [n_items + 1]
        Item i has the positions ``entries[indptr[i]:indptr[i + 1]]``.
    entries : int64 [at most m]
        Positions of entries, ascending for each item.
    row_of_entry : int32 [m]
        Row of each entry.
    """

    indptr: Longs
    entries: Longs
    row_of_entry: Ints


def pack(parts: Sequence[tuple[Longs, Ints, Floats]]) -> Rows:
    """Concatenate blocks of rows.

    Each block is given by the sizes of its rows, and the items and weights of all rows.
    """
    sizes = np.concatenate([part[0] for part in parts] or [np.zeros(0, np.int64)])
    indptr = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    items = np.concatenate([part[1] for part in parts] or [np.zeros(0, np.int32)])
    weights = np.concatenate([part[2] for part in parts] or [np.zeros(0, np.float32)])
    return Rows(indptr, items, weights)


def occurrences(rows: Rows, n_items: int) -> Occurrences:
    """Find the positions of each item in `rows`; entries of -1 are ignored."""
    sizes = np.diff(rows.indptr)
    row_of_entry = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    entries = np.argsort(rows.items, kind="stable").astype(np.int64)
    entries = entries[np.count_nonzero(rows.items < 0) :]
    counts = np.bincount(rows.items[rows.items >= 0], minlength=n_items)
    indptr = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return Occurrences(indptr, entries, row_of_entry)


@njit(nogil=True, cache=True)
def units(amount: float) -> int:
    """Convert an amount to units, rounded to an integer from 0 to `MOST`."""
    if not amount > 0.0:
        return 0
    return int(min(amount / UNIT + 0.5, MOST))


@njit(nogil=True, cache=True)
def pair_units(step: float, weight: float, other: float) -> int:
    """Return the units of a pair of events: the product of three factors.

    Parameters
    ----------
    step : float
        Value of the kernel at the gap between the events.
    weight, other : float
        Weights of the events.
    """
    return units(step * (np.float64(weight) * np.float64(other)))


@njit(nogil=True, cache=True)
def gather(
    item: int,
    rows: Rows,
    places: Occurrences,
    steps: Doubles,
    factors: Doubles,
    totals: Longs,
    touched: Ints,
) -> int:
    """Add up the units of all pairs of `item` with other items.

    Parameters
    ----------
    item : int
        The item.
    rows, places : Rows, Occurrences
        Histories, and the positions of each item in them.
    steps : float64 [2 * reach + 1]
        Kernel for gaps from -reach to reach.
    factors : float64 [n_rows]
        Factor of the pairs of each row.
    totals : int64 [n_items]
        Sum for each other item. It must be zero before the call; the caller must reset the items
        in `touched`.
    touched : int32 [n_items]
        The other items, at the beginning of the array.

    Returns
    -------
    int
        Number of other items.
    """
    reach = len(steps) // 2
    count = zero()
    for place in range(places.indptr[item], places.indptr[item + 1]):
        entry = places.entries[place]
        row = places.row_of_entry[entry]
        start = max(rows.indptr[row], entry - reach)
        end = min(rows.indptr[row + 1], entry + reach + 1)
        for other in range(start, end):
            j = rows.items[other]
            if j < 0 or j == item:
                continue
            step = steps[other - entry + reach] * factors[row]
            amount = pair_units(step, rows.weights[entry], rows.weights[other])
            if amount == 0:
                continue
            if totals[j] == 0:
                touched[count] = j
                count += 1
            totals[j] += amount
    return count


@njit(nogil=True, cache=True)
def _pair_rows(
    rows: Rows,
    places: Occurrences,
    steps: Doubles,
    factors: Doubles,
    source: Doubles,
    target: Doubles,
    offset: float,
    top_k: int,
    first: int,
    last: int,
) -> tuple[Longs, Ints, Floats]:
    """Compute the rows from `first` to ``last - 1`` of `pair_edges`."""
    totals = np.zeros(len(target), dtype=np.int64)
    touched = np.empty(len(target), dtype=np.int32)
    lists = start_lists(last - first, top_k)
    filled = zero()
    for item in range(first, last):
        count = gather(item, rows, places, steps, factors, totals, touched)
        size = zero()
        for at in range(count):
            j = touched[at]
            value = totals[j] * UNIT / (source[item] * target[j] + offset)
            totals[j] = 0
            size = offer(lists.scores, lists.items, size, value, j)
        filled = finish_row(lists, item - first, size, filled)
    return finished_lists(lists, filled)


def steps_of(forward: Doubles, backward: Doubles) -> Doubles:
    """Concatenate the halves of a kernel for gaps from -reach to reach.

    Parameters
    ----------
    forward, backward : float64 [reach]
        Values for positive and for negative gaps; the first is that of gap 1 or -1.

    Returns
    -------
    float64 [2 * reach + 1]
        The kernel; gap 0 has value 0.

    Raises
    ------
    ValueError
        The lengths differ.
    """
    if len(forward) != len(backward):
        raise ValueError(
            f"forward has {len(forward)} gaps, backward {len(backward)}; give one reach"
        )
    return np.concatenate((backward[::-1], [0.0], forward)).astype(np.float64)


def pair_edges(
    rows: Rows,
    steps: Doubles,
    *,
    shares: Doubles = EQUAL,
    source: Doubles,
    target: Doubles,
    offset: float = 0.0,
    top_k: int,
    threads: int | None = None,
) -> Rows:
    """Compute normalised weights of all pairs of items that occur near each other in a row.

    The weight of the edge from i to j is
    ``sum(weight_i * weight_j * kernel(gap)) / (source[i] * target[j] + offset)``, with the sum over
    all positions of i and j in the same row; the gap is the position of j minus that of i. Terms of
    the sum are rounded to multiples of 2**-30, and are at most 32,768. Pairs with a weight that is
    not positive (a dislike) and pairs of an item with itself are ignored.

    Parameters
    ----------
    rows : Rows
        Histories, oldest event first. Items are less than n_items; an unknown item, -1, has no
        pairs but a position.
    steps : float64 [2 * reach + 1]
        Kernel for gaps from -reach to reach, at least 0 (see `steps_of`).
    shares : float64 [m]
        Factor of the pairs of a row by its length, see `kernels.row_factors`.
    source, target : float64 [n_items]
        Factors of the divisor, at least 0.
    offset : float
        Summand of the divisor, which must be positive for all pairs.
    top_k : int
        Maximum number of neighbours of an item.
    threads : int or None
        Number of threads; None for one per core.

    Returns
    -------
    Rows
        One row per item, strongest neighbour first; for equal weights, the lower index first.

    Raises
    ------
    ValueError
        Lengths differ, `top_k` is less than 1, or an index is out of bounds.

    Notes
    -----
    The time complexity is O(entries * reach). Each thread needs 12 bytes per item.
    """
    if len(source) != len(target):
        raise ValueError(f"source has {len(source)} items, target {len(target)}")
    n_items = len(source)
    check_items(rows, n_items)
    check_k(top_k, "top_k")
    top_k = min(top_k, max(n_items, 1))
    places, factors = occurrences(rows, n_items), row_factors(*rows, shares)
    return pack(
        map_chunks(
            lambda first, last: _pair_rows(
                rows, places, steps, factors, source, target, offset, top_k, first, last
            ),
            n_items,
            threads=threads,
        )
    )


@njit(nogil=True, cache=True)
def _product_rows(
    left: Rows, right: Rows, n_columns: int, diagonal: bool, top_k: int, first: int, last: int
) -> tuple[Longs, Ints, Floats]:
    totals = np.zeros(n_columns, dtype=np.float64)
    touched = np.empty(n_columns, dtype=np.int32)
    marked = np.zeros(n_columns, dtype=np.bool_)
    lists = start_lists(last - first, top_k)
    filled = zero()
    for row in range(first, last):
        count = 0
        for entry in range(left.indptr[row], left.indptr[row + 1]):
            middle = left.items[entry]
            weight = np.float64(left.weights[entry])
            for inner in range(right.indptr[middle], right.indptr[middle + 1]):
                j = right.items[inner]
                if not marked[j]:
                    marked[j] = True
                    touched[count] = j
                    count += 1
                totals[j] += weight * right.weights[inner]
        size = zero()
        for at in range(count):
            j = touched[at]
            if totals[j] > 0.0 and (diagonal or j != row):
                size = offer(lists.scores, lists.items, size, totals[j], j)
            totals[j] = 0.0
            marked[j] = False
        filled = finish_row(lists, row - first, size, filled)
    return finished_lists(lists, filled)


def product_edges(
    left: Rows,
    right: Rows,
    n_columns: int,
    *,
    top_k: int,
    diagonal: bool = False,
    threads: int | None = None,
) -> Rows:
    """Multiply two sparse matrices and keep the largest positive entries of each row.

    Parameters
    ----------
    left, right : Rows
        Matrices [n, m] and [m, n_columns].
    n_columns : int
        Number of columns of `right`.
    top_k : int
        Maximum number of entries of a row.
    diagonal : bool
        Whether to include entries (i, i), which are similarities of an item with itself.
    threads : int or None
        Number of threads; None for one per core.

    Returns
    -------
    Rows
        n rows, largest entry first; for equal entries, the lower index first.

    Raises
    ------
    ValueError
        The shapes do not match, or `top_k` is less than 1.

    Notes
    -----
    The full product is not stored. Each thread needs 13 bytes per column.
    """
    check_items(left, len(right.indptr) - 1)
    check_items(right, n_columns)
    check_k(top_k, "top_k")
    top_k = min(top_k, max(n_columns, 1))
    return pack(
        map_chunks(
            lambda first, last: _product_rows(left, right, n_columns, diagonal, top_k, first, last),
            len(left.indptr) - 1,
            threads=threads,
        )
    )


def check_items(rows: Rows, n_items: int) -> None:
    """Check that a kernel accesses no memory outside its arrays.

    Raises
    ------
    ValueError
        An item is not below `n_items`, or the lengths of the arrays of `rows` do not match.
    """
    if len(rows.items) and int(rows.items.max()) >= n_items:
        raise ValueError(f"item index {int(rows.items.max())} is not below {n_items}")
    if len(rows.items) != len(rows.weights) or int(rows.indptr[-1]) != len(rows.items):
        raise ValueError("items and weights must have as many entries as indptr says")
