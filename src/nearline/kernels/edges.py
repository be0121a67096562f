"""Sparse item-to-item relations: built row by row, each row cut to its strongest neighbours.

Every row is made by itself in a dense scratch of one number an item, so that rows can be made in
parallel and in any order with the same bits as the result. Pairs are counted in whole units
(`units`): their sums do not depend on the order of the events and can be undone exactly.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.chunks import map_chunks
from nearline.kernels.topk import best_first, offer

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


# Two weights of one next to each other count 2**30 units. No pair counts more than `MOST`, so that
# 2**18 of the heaviest still fit into a sum.
UNIT = 2.0**-30
MOST = 2**45


class Rows(NamedTuple):
    """A ragged array: row r is ``items[indptr[r]:indptr[r + 1]]``, with a weight an entry.

    The same shape holds histories (oldest first), sparse matrices and neighbour lists:
    int64 [n + 1], int32 [m] and float32 [m].
    """

    indptr: Longs
    items: Ints
    weights: Floats


class Occurrences(NamedTuple):
    """Where each item stands: the entries of item i are ``entries[indptr[i]:indptr[i + 1]]``."""

    indptr: Longs
    entries: Longs
    row_of_entry: Ints


def pack(parts: Sequence[tuple[Longs, Ints, Floats]]) -> Rows:
    """Join consecutive blocks of rows, each given as (row sizes, items, weights)."""
    sizes = np.concatenate([part[0] for part in parts] or [np.zeros(0, np.int64)])
    indptr = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    items = np.concatenate([part[1] for part in parts] or [np.zeros(0, np.int32)])
    weights = np.concatenate([part[2] for part in parts] or [np.zeros(0, np.float32)])
    return Rows(indptr, items, weights)


def occurrences(rows: Rows, n_items: int) -> Occurrences:
    """Invert `rows`: for each item its entries, in rising order. Entries of -1 are left out."""
    sizes = np.diff(rows.indptr)
    row_of_entry = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    entries = np.argsort(rows.items, kind="stable").astype(np.int64)
    entries = entries[np.count_nonzero(rows.items < 0) :]
    counts = np.bincount(rows.items[rows.items >= 0], minlength=n_items)
    indptr = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return Occurrences(indptr, entries, row_of_entry)


@njit(nogil=True, cache=True)
def units(amount: float) -> int:
    """Whole units of an amount: 0 where it is not positive, `MOST` where it is larger than that."""
    if not amount > 0.0:
        return 0
    return int(min(amount / UNIT + 0.5, MOST))


@njit(nogil=True, cache=True)
def pair_units(step: float, weight: float, other: float) -> int:
    """Units that two events count, of which `step` is the kernel at their gap."""
    return units(step * (np.float64(weight) * np.float64(other)))


@njit(nogil=True, cache=True)
def gather(
    item: int, rows: Rows, places: Occurrences, steps: Doubles, totals: Longs, touched: Ints
) -> int:
    """Add up the units of every pair of `item` in `totals`; return how many items were touched.

    `steps` holds the kernel for gaps -reach..reach; `totals` is zero before, and the caller makes
    it so again.
    """
    reach = len(steps) // 2
    count = 0
    for place in range(places.indptr[item], places.indptr[item + 1]):
        entry = places.entries[place]
        row = places.row_of_entry[entry]
        start = max(rows.indptr[row], entry - reach)
        end = min(rows.indptr[row + 1], entry + reach + 1)
        for other in range(start, end):
            j = rows.items[other]
            if j < 0 or j == item:
                continue
            amount = pair_units(
                steps[other - entry + reach], rows.weights[entry], rows.weights[other]
            )
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
    source: Doubles,
    target: Doubles,
    offset: float,
    top_k: int,
    first: int,
    last: int,
) -> tuple[Longs, Ints, Floats]:
    """Rows [first, last) of `pair_edges`."""
    totals = np.zeros(len(target), dtype=np.int64)
    touched = np.empty(len(target), dtype=np.int32)
    heap_values = np.empty(top_k, dtype=np.float64)
    heap_items = np.empty(top_k, dtype=np.int32)
    sizes = np.zeros(last - first, dtype=np.int64)
    out_items = np.empty((last - first) * top_k, dtype=np.int32)
    out_values = np.empty((last - first) * top_k, dtype=np.float32)
    filled = 0
    for item in range(first, last):
        count = gather(item, rows, places, steps, totals, touched)
        size = 0
        for at in range(count):
            j = touched[at]
            value = totals[j] * UNIT / (source[item] * target[j] + offset)
            totals[j] = 0
            size = offer(heap_values, heap_items, size, value, j)
        best_first(heap_values, heap_items, size)
        out_items[filled : filled + size] = heap_items[:size]
        out_values[filled : filled + size] = heap_values[:size]
        sizes[item - first] = size
        filled += size
    return sizes, out_items[:filled].copy(), out_values[:filled].copy()


def steps_of(forward: Doubles, backward: Doubles) -> Doubles:
    """Kernel for gaps -reach..reach from what a pair counts after and before, gap 1 first."""
    if len(forward) != len(backward):
        raise ValueError(
            f"forward has {len(forward)} gaps, backward {len(backward)}; give one reach"
        )
    return np.concatenate((backward[::-1], [0.0], forward)).astype(np.float64)


def pair_edges(
    rows: Rows,
    steps: Doubles,
    *,
    source: Doubles,
    target: Doubles,
    offset: float = 0.0,
    top_k: int,
    threads: int | None = None,
) -> Rows:
    """Weigh every pair of items that stand near each other in a row, and normalise.

    Edge i -> j holds ``sum(weight_i * weight_j * kernel(gap)) / (source[i] * target[j] + offset)``
    over all places of i and j in one row, where the gap is ``place of j - place of i``. Summed are
    whole units of 2**-30, at most 32,768 a pair of events. Pairs whose weight is not positive (a
    dislike) are left out, and so are pairs of an item with itself.

    Parameters
    ----------
    rows : Rows
        Histories, oldest first; items in -1..n_items-1, -1 is skipped but keeps its place.
    steps : float64 [2 * reach + 1]
        The kernel for gaps -reach..reach, not negative (see `steps_of`).
    source, target : float64 [n_items]
        Divisors, not negative; ``source[i] * target[j] + offset`` must be positive for pairs.
    top_k : int
        Neighbours kept a row.

    Returns
    -------
    Rows
        n_items rows, strongest neighbour first (ties: lower index first).

    Notes
    -----
    O(entries * reach) time; scratch of 12 bytes an item a thread.
    """
    if len(source) != len(target):
        raise ValueError(f"source has {len(source)} items, target {len(target)}")
    n_items = len(source)
    check_items(rows, n_items)
    if top_k < 1:
        raise ValueError(f"top_k is {top_k}; it must be at least 1")
    top_k = min(top_k, max(n_items, 1))
    places = occurrences(rows, n_items)
    return pack(
        map_chunks(
            lambda first, last: _pair_rows(
                rows, places, steps, source, target, offset, top_k, first, last
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
    heap_values = np.empty(top_k, dtype=np.float64)
    heap_items = np.empty(top_k, dtype=np.int32)
    sizes = np.zeros(last - first, dtype=np.int64)
    out_items = np.empty((last - first) * top_k, dtype=np.int32)
    out_values = np.empty((last - first) * top_k, dtype=np.float32)
    filled = 0
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
        size = 0
        for at in range(count):
            j = touched[at]
            if totals[j] > 0.0 and (diagonal or j != row):
                size = offer(heap_values, heap_items, size, totals[j], j)
            totals[j] = 0.0
            marked[j] = False
        best_first(heap_values, heap_items, size)
        out_items[filled : filled + size] = heap_items[:size]
        out_values[filled : filled + size] = heap_values[:size]
        sizes[row - first] = size
        filled += size
    return sizes, out_items[:filled].copy(), out_values[:filled].copy()


def product_edges(
    left: Rows,
    right: Rows,
    n_columns: int,
    *,
    top_k: int,
    diagonal: bool = False,
    threads: int | None = None,
) -> Rows:
    """Matrix product of two sparse matrices, each row cut to its `top_k` largest positive entries.

    Parameters
    ----------
    left, right : Rows
        Matrices [n, m] and [m, n_columns]; columns of `left` are rows of `right`.
    diagonal : bool
        False leaves entry (i, i) out, as is wanted where the rows are their own neighbours.

    Returns
    -------
    Rows
        n rows, largest first (ties: lower index first).

    Notes
    -----
    The full product is never held: scratch of 13 bytes a column a thread.
    """
    check_items(left, len(right.indptr) - 1)
    check_items(right, n_columns)
    if top_k < 1:
        raise ValueError(f"top_k is {top_k}; it must be at least 1")
    top_k = min(top_k, max(n_columns, 1))
    return pack(
        map_chunks(
            lambda first, last: _product_rows(left, right, n_columns, diagonal, top_k, first, last),
            len(left.indptr) - 1,
            threads=threads,
        )
    )


def check_items(rows: Rows, n_items: int) -> None:
    """Refuse an index that a kernel would read or write outside its arrays with."""
    if len(rows.items) and int(rows.items.max()) >= n_items:
        raise ValueError(f"item index {int(rows.items.max())} is not below {n_items}")
    if len(rows.items) != len(rows.weights) or int(rows.indptr[-1]) != len(rows.items):
        raise ValueError("items and weights must have as many entries as indptr says")
