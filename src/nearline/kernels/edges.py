"""Sparse item-to-item relations, of which each row keeps only the strongest neighbours.

Each row is computed on its own in a dense array with one number per item, so rows can be computed
in parallel and in any order with bit-identical results. The weight of a pair of events is rounded
to an integer number of units (`units`), because integer sums do not depend on the order of the
events, and a pair can be subtracted exactly.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.chunks import map_chunks
from nearline.kernels.topk import check_k, finish_row, finished_lists, offer, start_lists

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


# Two adjacent events of weight 1 count 2**30 units. A pair counts at most `MOST`, so a 64-bit sum
# has room for 2**18 of the heaviest pairs.
UNIT = 2.0**-30
MOST = 2**45


class Rows(NamedTuple):
    """A ragged array: row r is ``items[indptr[r]:indptr[r + 1]]``, with one weight per entry.

    The same type holds histories (oldest event first), sparse matrices and neighbour lists.

    Attributes
    ----------
    indptr : int64 [n + 1]
    items : int32 [m]
    weights : float32 [m]
    """

    indptr: Longs
    items: Ints
    weights: Floats


class Occurrences(NamedTuple):
    """Positions of each item: the entries of item i are ``entries[indptr[i]:indptr[i + 1]]``."""

    indptr: Longs
    entries: Longs
    row_of_entry: Ints


def pack(parts: Sequence[tuple[Longs, Ints, Floats]]) -> Rows:
    """Concatenate blocks of rows, each given as (row sizes, items, weights)."""
    sizes = np.concatenate([part[0] for part in parts] or [np.zeros(0, np.int64)])
    indptr = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    items = np.concatenate([part[1] for part in parts] or [np.zeros(0, np.int32)])
    weights = np.concatenate([part[2] for part in parts] or [np.zeros(0, np.float32)])
    return Rows(indptr, items, weights)


def occurrences(rows: Rows, n_items: int) -> Occurrences:
    """Find the entries of each item in `rows`, in ascending order; entries of -1 are ignored."""
    sizes = np.diff(rows.indptr)
    row_of_entry = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    entries = np.argsort(rows.items, kind="stable").astype(np.int64)
    entries = entries[np.count_nonzero(rows.items < 0) :]
    counts = np.bincount(rows.items[rows.items >= 0], minlength=n_items)
    indptr = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return Occurrences(indptr, entries, row_of_entry)


@njit(nogil=True, cache=True)
def units(amount: float) -> int:
    """Round an amount to whole units, clipped to 0 and `MOST`."""
    if not amount > 0.0:
        return 0
    return int(min(amount / UNIT + 0.5, MOST))


@njit(nogil=True, cache=True)
def pair_units(step: float, weight: float, other: float) -> int:
    """Return the units that two events count; `step` is the value of the kernel at their gap."""
    return units(step * (np.float64(weight) * np.float64(other)))


@njit(nogil=True, cache=True)
def gather(
    item: int, rows: Rows, places: Occurrences, steps: Doubles, totals: Longs, touched: Ints
) -> int:
    """Add up the units of every pair of `item` in `totals`; return the number of other items.

    `steps` holds the kernel for gaps -reach..reach. `totals` must be zero; the caller resets the
    entries listed in `touched`.
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
    """Compute rows [first, last) of `pair_edges`."""
    totals = np.zeros(len(target), dtype=np.int64)
    touched = np.empty(len(target), dtype=np.int32)
    lists = start_lists(last - first, top_k)
    filled = 0
    for item in range(first, last):
        count = gather(item, rows, places, steps, totals, touched)
        size = 0
        for at in range(count):
            j = touched[at]
            value = totals[j] * UNIT / (source[item] * target[j] + offset)
            totals[j] = 0
            size = offer(lists.scores, lists.items, size, value, j)
        filled = finish_row(lists, item - first, size, filled)
    return finished_lists(lists, filled)


def steps_of(forward: Doubles, backward: Doubles) -> Doubles:
    """Join the kernels forward and backward in time, gap 1 first, into one for -reach..reach."""
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
    """Weigh every pair of items that occur near each other in a row, and normalise.

    Edge i -> j holds ``sum(weight_i * weight_j * kernel(gap)) / (source[i] * target[j] + offset)``
    over all positions of i and j in the same row, where the gap is the position of j minus that of
    i. The sum is over whole units of 2**-30, at most 32,768 per pair of events. Pairs with a weight
    that is not positive (a dislike) and pairs of an item with itself are ignored.

    Parameters
    ----------
    rows : Rows
        Histories, oldest event first. Items are -1..n_items-1; an unknown item, -1, makes no pair
        but keeps its position.
    steps : float64 [2 * reach + 1]
        The kernel for gaps -reach..reach, at least 0 (see `steps_of`).
    source, target : float64 [n_items]
        Divisors, at least 0; ``source[i] * target[j] + offset`` must be positive for pairs.
    top_k : int
        Neighbours kept per row.

    Returns
    -------
    Rows
        n_items rows, strongest neighbour first (ties: lower index first).

    Notes
    -----
    O(entries * reach) time; working memory of 12 bytes per item and thread.
    """
    if len(source) != len(target):
        raise ValueError(f"source has {len(source)} items, target {len(target)}")
    n_items = len(source)
    check_items(rows, n_items)
    check_k(top_k, "top_k")
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
    lists = start_lists(last - first, top_k)
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
    """Multiply two sparse matrices, keeping the `top_k` largest positive entries of each row.

    Parameters
    ----------
    left, right : Rows
        Matrices [n, m] and [m, n_columns].
    n_columns : int
        Number of columns of `right`.
    top_k : int
        Entries kept per row.
    diagonal : bool
        False excludes entries (i, i), which are similarities of an item with itself.

    Returns
    -------
    Rows
        n rows, largest first (ties: lower index first).

    Notes
    -----
    The full product is never stored; working memory is 13 bytes per column and thread.
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
    """Raise ValueError for indices that would make a kernel access memory outside its arrays."""
    if len(rows.items) and int(rows.items.max()) >= n_items:
        raise ValueError(f"item index {int(rows.items.max())} is not below {n_items}")
    if len(rows.items) != len(rows.weights) or int(rows.indptr[-1]) != len(rows.items):
        raise ValueError("items and weights must have as many entries as indptr says")
