"""Top-k selection with one rule for ties: a higher score first, then the lower index.

The k best so far form a binary heap whose root is the *worst* of them, so that most candidates are
refused by one comparison. Selecting from n candidates costs O(n + m log k), m of them accepted.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.chunks import map_chunks

Ints = NDArray[np.int32]
Doubles = NDArray[np.float64]


class Best(NamedTuple):
    """Top-k lists: int32 items (-1 where a row is short) and float32 scores (0 there), [n, k]."""

    items: Ints
    scores: NDArray[np.float32]


@njit(nogil=True, cache=True)
def _worse(score: float, item: int, other_score: float, other_item: int) -> bool:
    return score < other_score or (score == other_score and item > other_item)


@njit(nogil=True, cache=True)
def _sink(scores: Doubles, items: Ints, size: int) -> None:
    """Move the root of a heap of `size` entries down to its place."""
    at = 0
    score, item = scores[0], items[0]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        right = child + 1
        if right < size and _worse(scores[right], items[right], scores[child], items[child]):
            child = right
        if not _worse(scores[child], items[child], score, item):
            break
        scores[at], items[at] = scores[child], items[child]
        at = child
    scores[at], items[at] = score, item


@njit(nogil=True, cache=True)
def offer(scores: Doubles, items: Ints, size: int, score: float, item: int) -> int:
    """Offer one candidate to a heap of capacity ``len(scores)``; return the heap's new size."""
    if size == len(scores):
        if size == 0 or not _worse(scores[0], items[0], score, item):
            return size
        scores[0], items[0] = score, item
        _sink(scores, items, size)
        return size
    at = size
    while at > 0:
        parent = (at - 1) // 2
        if not _worse(score, item, scores[parent], items[parent]):
            break
        scores[at], items[at] = scores[parent], items[parent]
        at = parent
    scores[at], items[at] = score, item
    return size + 1


@njit(nogil=True, cache=True)
def best_first(scores: Doubles, items: Ints, size: int) -> None:
    """Turn a heap of `size` entries into a list, best first, in place."""
    for last in range(size - 1, 0, -1):
        scores[0], scores[last] = scores[last], scores[0]
        items[0], items[last] = items[last], items[0]
        _sink(scores, items, last)


@njit(nogil=True, cache=True)
def _top_k_rows(
    scores: NDArray[np.float32],
    above: float,
    first: int,
    last: int,
    out_items: Ints,
    out_scores: NDArray[np.float32],
) -> None:
    k = out_items.shape[1]
    heap_scores = np.empty(k, dtype=np.float64)
    heap_items = np.empty(k, dtype=np.int32)
    for row in range(first, last):
        size = 0
        for item in range(scores.shape[1]):
            score = scores[row, item]
            if score > above:
                size = offer(heap_scores, heap_items, size, score, item)
        best_first(heap_scores, heap_items, size)
        for rank in range(size):
            out_items[row, rank] = heap_items[rank]
            out_scores[row, rank] = heap_scores[rank]


def top_k_rows(
    scores: NDArray[np.float32], k: int, *, above: float = -np.inf, threads: int | None = None
) -> Best:
    """Top-k columns of each row of a dense matrix, best first.

    Parameters
    ----------
    scores : float32 [n, m]
        NaN is never selected.
    k : int
        Length of the lists, at least 1; rows are filled up with -1 where fewer qualify.
    above : float
        Only scores greater than this are selected; -inf marks an entry as masked.
    """
    if scores.ndim != 2:
        raise ValueError(f"scores has {scores.ndim} dimensions; pass a matrix [n, m]")
    if k < 1:
        raise ValueError(f"k is {k}; it must be at least 1")
    scores = np.ascontiguousarray(scores, dtype=np.float32)
    n, m = scores.shape
    width = min(k, m)
    items = np.full((n, k), -1, dtype=np.int32)
    best = np.zeros((n, k), dtype=np.float32)
    short_items = np.full((n, width), -1, dtype=np.int32)
    short_scores = np.zeros((n, width), dtype=np.float32)
    map_chunks(
        lambda first, last: _top_k_rows(scores, above, first, last, short_items, short_scores),
        n,
        least=64,
        threads=threads,
    )
    items[:, :width], best[:, :width] = short_items, short_scores
    return Best(items, best)
