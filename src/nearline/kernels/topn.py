"""Items with the largest inner products for many queries.

Blocks of queries are multiplied with tiles of items, and the scores stay in the level-2 cache until
the k best of them are selected, so that memory does not grow with queries times items. Items are
sorted by descending norm: when the product of the norms of query and item is below the k-th best
inner product, the search ends, since no later item can be better (C. Teflioudi, R. Gemulla,
O. Mykytiuk, SIGMOD 2015).
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.blas import one_blas_thread
from nearline.kernels.chunks import map_chunks
from nearline.kernels.topk import Best, check_k, offer, write_best

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

# Number of queries and items in one matrix product: 512 KiB of scores.
QUERIES, TILE = 128, 1024
# Number of scores that are tested together, since most groups contain no candidate.
GROUP = 64
# Products in single precision may exceed the product of the norms by this fraction.
SLACK = 1e-4


class FactorTable(NamedTuple):
    """Factors of items in the order of descending norm; created by `by_norm`.

    Attributes
    ----------
    rows : float32 [m, f]
        Factors.
    items : int32 [m]
        Item of each row.
    norms : float64 [m]
        Euclidean norm of each row.
    places : int32 [n_items]
        Row of each item; -1 for an item that is not in the table.
    """

    rows: Floats
    items: Ints
    norms: Doubles
    places: Ints


class Seen(NamedTuple):
    """Items to exclude for each of n queries.

    Attributes
    ----------
    indptr : int64 [n + 1]
        Query q has the items ``items[indptr[q]:indptr[q + 1]]``.
    items : int32 [m]
        Items; they may be repeated or unknown.
    """

    indptr: Longs
    items: Ints


class _Heaps(NamedTuple):
    """Heap of the best candidates so far for each query of a block.

    Attributes
    ----------
    scores, items : float64, int32 [queries, k]
        Entries of the heaps.
    sizes : int64 [queries]
        Number of entries of each heap.
    """

    scores: Doubles
    items: Ints
    sizes: Longs


def by_norm(items: Floats) -> FactorTable:
    """Sort the factors of m items, float32 [m, f], by descending norm, for `top_products`."""
    norms = np.sqrt(np.einsum("nf,nf->n", items, items, dtype=np.float64))
    order = np.argsort(-norms, kind="stable").astype(np.int32)
    return _catalogue(items[order], order, norms[order], len(items))


@njit(nogil=True, cache=True)
def _mask(scores: Floats, first: int, places: Ints, seen: Seen, query: int) -> None:
    """Set the scores of excluded items to -inf.

    Rows of `scores` are queries, beginning with `query`; columns are rows of the table, beginning
    with `first`.
    """
    for row in range(len(scores)):
        for at in range(seen.indptr[query + row], seen.indptr[query + row + 1]):
            item = seen.items[at]
            if 0 <= item < len(places):
                column = places[item] - first
                if 0 <= column < scores.shape[1]:
                    scores[row, column] = -np.inf


@njit(nogil=True, cache=True)
def _any_reaches(scores: Floats, bound: float) -> bool:
    least = np.float32(bound)
    found = False
    for at in range(len(scores)):
        found |= scores[at] >= least
    return found


@njit(nogil=True, cache=True)
def _select(scores: Floats, items: Ints, least: float, heaps: _Heaps) -> None:
    """Add the scores of a tile that are at least `least` to the heaps; columns are `items`."""
    k = heaps.scores.shape[1]
    for row in range(len(scores)):
        kept_scores, kept_items, size = heaps.scores[row], heaps.items[row], heaps.sizes[row]
        bound = kept_scores[0] if size == k else least
        for start in range(0, len(items), GROUP):
            # A slice, because the compiler vectorises only loops that start at 0.
            some = scores[row, start : start + GROUP]
            if not _any_reaches(some, bound):
                continue
            for at in range(len(some)):
                if some[at] >= bound:
                    size = offer(kept_scores, kept_items, size, some[at], items[start + at])
                    bound = kept_scores[0] if size == k else least
        heaps.sizes[row] = size


@njit(nogil=True, cache=True)
def _all_done(heaps: _Heaps, largest: Doubles, least: float) -> bool:
    """Return whether no query can have a product of at most `largest`, [queries], in its list."""
    k = heaps.scores.shape[1]
    for row in range(len(largest)):
        bound = heaps.scores[row, 0] if heaps.sizes[row] == k else least
        if not largest[row] < bound:
            return False
    return True


@njit(nogil=True, cache=True)
def _write(
    queries: Floats, catalogue: FactorTable, heaps: _Heaps, out_items: Ints, out_scores: Floats
) -> None:
    """Write the lists of a block.

    Products are computed again in double precision, so that they do not depend on the shape of the
    block.
    """
    k = heaps.scores.shape[1]
    scores, items = np.empty(k), np.empty(k, dtype=np.int32)
    for row in range(len(out_items)):
        size = 0
        for at in range(heaps.sizes[row]):
            item = heaps.items[row, at]
            place, total = catalogue.places[item], 0.0
            for j in range(queries.shape[1]):
                total += np.float64(queries[row, j]) * np.float64(catalogue.rows[place, j])
            # Rounded before the comparison, since scores that are stored as equal must be ties.
            size = offer(scores, items, size, np.float64(np.float32(total)), item)
        write_best(scores, items, size, out_items[row], out_scores[row])


def top_products(
    queries: Floats,
    catalogue: FactorTable,
    k: int,
    *,
    seen: Seen | None = None,
    allowed: NDArray[np.bool_] | None = None,
    above: float = -np.inf,
    threads: int | None = None,
) -> Best:
    """Find the items with the largest inner products for each query.

    Parameters
    ----------
    queries : float32 [n, f]
        Query vectors.
    catalogue : FactorTable
        Factors of the items.
    k : int
        Length of the lists, at least 1; shorter lists are padded with -1.
    seen : Seen or None
        Items to exclude for each query.
    allowed : bool [any length] or None
        Only items for which this is true are returned; items past its end are not. None allows
        all items.
    above : float
        Only products above this are returned.
    threads : int or None
        Number of threads; None for one per core.

    Returns
    -------
    Best
        Lists [n, k]; of items with equal products, the lower index is first.

    Notes
    -----
    The time complexity is O(n m f) for m items. Each thread needs 512 KiB and memory for the lists
    of 128 queries.
    """
    check_k(k)
    n = len(queries)
    best = Best(np.full((n, k), -1, dtype=np.int32), np.zeros((n, k), dtype=np.float32))
    if allowed is not None:
        catalogue = _only(catalogue, allowed)
    width = min(k, len(catalogue.items))
    if n == 0 or width == 0:
        return best
    least = float(np.nextafter(np.float32(above), np.float32(np.inf)))

    def block(first: int, last: int) -> None:
        for at in range(first, last, QUERIES):
            end = min(at + QUERIES, last)
            heaps = _search(queries[at:end], catalogue, width, least, seen, at)
            _write(queries[at:end], catalogue, heaps, best.items[at:end], best.scores[at:end])

    if n <= QUERIES:
        block(0, n)
        return best
    # The threads call BLAS themselves, so BLAS must not start more.
    with one_blas_thread():
        map_chunks(block, n, least=QUERIES, threads=threads)
    return best


def _search(
    queries: Floats, catalogue: FactorTable, k: int, least: float, seen: Seen | None, query: int
) -> _Heaps:
    n = len(queries)
    heaps = _Heaps(np.empty((n, k)), np.empty((n, k), dtype=np.int32), np.zeros(n, dtype=np.int64))
    reach = np.linalg.norm(queries.astype(np.float64), axis=1) * (1 + SLACK)
    for first in range(0, len(catalogue.items), TILE):
        if _all_done(heaps, reach * catalogue.norms[first], least):
            break
        items = catalogue.items[first : first + TILE]
        scores = queries @ catalogue.rows[first : first + TILE].T
        if seen is not None:
            _mask(scores, first, catalogue.places, seen, query)
        _select(scores, items, least, heaps)
    return heaps


def _only(catalogue: FactorTable, allowed: NDArray[np.bool_]) -> FactorTable:
    known = catalogue.items < len(allowed)
    keep = np.flatnonzero(known)[allowed[catalogue.items[known]]]
    return _catalogue(
        catalogue.rows[keep],
        catalogue.items[keep],
        catalogue.norms[keep],
        len(catalogue.places),
    )


def _catalogue(rows: Floats, items: Ints, norms: Doubles, n_items: int) -> FactorTable:
    places = np.full(n_items, -1, dtype=np.int32)
    places[items] = np.arange(len(items), dtype=np.int32)
    return FactorTable(rows, items, norms, places)
