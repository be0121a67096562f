"""Nearest neighbours of many sparse vectors: of all that are indexed, or of those just added."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.chunks import map_chunks
from nearline.kernels.edges import Rows, pack
from nearline.kernels.sorting import zero
from nearline.kernels.text_search import (
    EXACT,
    EXACT_TOGETHER,
    Later,
    SearchScratch,
    make_scratch,
    nearest,
)

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Floats = NDArray[np.float32]


@njit(nogil=True, cache=True)
def _nearest_rows(
    rows: Rows,
    postings: Rows,
    later: Later,
    frequencies: Longs,
    k: int,
    first: int,
    last: int,
    scratch: SearchScratch,
) -> tuple[Longs, Ints, Floats]:
    sizes = np.zeros(last - first, dtype=np.int64)
    items = np.empty((last - first) * k, dtype=np.int32)
    values = np.empty((last - first) * k, dtype=np.float32)
    filled = zero()
    for row in range(first, last):
        own = slice(rows.indptr[row], rows.indptr[row + 1])
        columns = rows.items[own].copy()
        found, cosines = nearest(
            rows,
            postings,
            later,
            columns,
            rows.weights[own].copy(),
            np.full(len(columns), -1, dtype=np.int64),
            frequencies[columns],
            row,
            scratch.marked,
            False,
            k,
            EXACT_TOGETHER,
            scratch,
        )
        size = len(found)
        items[filled : filled + size] = found
        values[filled : filled + size] = cosines
        sizes[row - first] = size
        filled += size
    return sizes, items[:filled].copy(), values[:filled].copy()


def nearest_rows(rows: Rows, postings: Rows, later: Later, k: int) -> Rows:
    """Return the `k` nearest base vectors of each base vector; none may be set later."""
    n_items = len(rows.indptr) - 1
    frequencies = np.diff(postings.indptr)
    return pack(
        map_chunks(
            lambda first, last: _nearest_rows(
                rows, postings, later, frequencies, k, first, last, make_scratch(n_items)
            ),
            n_items,
        )
    )


@njit(nogil=True, cache=True)
def _nearest_added(
    rows: Rows,
    postings: Rows,
    later: Later,
    items: Longs,
    added: Longs,
    frequencies: Ints,
    k: int,
    first: int,
    last: int,
    scratch: SearchScratch,
) -> tuple[Longs, Ints, Floats]:
    sizes = np.zeros(last - first, dtype=np.int64)
    found_items = np.empty((last - first) * k, dtype=np.int32)
    values = np.empty((last - first) * k, dtype=np.float32)
    filled = zero()
    for row in range(first, last):
        item = items[row]
        start, size = later.starts[item], later.sizes[item]
        found, cosines = nearest(
            rows,
            postings,
            later,
            later.columns[start : start + size].copy(),
            later.values[start : start + size].copy(),
            # From its own entries on: items that were added after it are not found.
            np.arange(start, start + size),
            frequencies[added[row] : added[row + 1]].astype(np.int64),
            item,
            scratch.marked,
            False,
            k,
            EXACT,
            scratch,
        )
        found_items[filled : filled + len(found)] = found
        values[filled : filled + len(found)] = cosines
        sizes[row - first] = len(found)
        filled += len(found)
    return sizes, found_items[:filled].copy(), values[:filled].copy()


def nearest_added(
    rows: Rows,
    postings: Rows,
    later: Later,
    items: Longs,
    added: Longs,
    frequencies: Ints,
    k: int,
    scratches: list[SearchScratch],
) -> Rows:
    """Return the `k` nearest items of each of the newest items of `later`.

    Each item is compared with those before it, so that the result is that of searches between the
    additions.

    Parameters
    ----------
    items : int64 [n]
        The items, in the order in which their vectors were set; none had a vector before.
    added, frequencies : int64 [n + 1], int32 [m]
        Items that have each of the terms, up to and including item ``items[row]``: from
        ``added[row]`` to ``added[row + 1]``.
    scratches : list of SearchScratch
        Memory that is used and returned; more is made if there is not enough.
    """

    def work(first: int, last: int) -> tuple[Longs, Ints, Floats]:
        scratch = _borrow(scratches, len(later.starts))
        found = _nearest_added(
            rows, postings, later, items, added, frequencies, k, first, last, scratch
        )
        scratches.append(scratch)
        return found

    return pack(map_chunks(work, len(items), least=64))


def _borrow(scratches: list[SearchScratch], n_items: int) -> SearchScratch:
    """Take memory for a search over `n_items` items out of a list, or make it."""
    try:
        scratch = scratches.pop()
    except IndexError:
        return make_scratch(n_items)
    return scratch if len(scratch.totals) >= n_items else make_scratch(n_items)


def longest_search(rows: Rows, postings: Rows) -> int:
    """Entries of inverted lists that the longest search of a base vector would read."""
    if not len(rows.items):
        return 0
    read = np.concatenate(([0], np.cumsum(np.diff(postings.indptr)[rows.items])))
    return int((read[rows.indptr[1:]] - read[rows.indptr[:-1]]).max())
