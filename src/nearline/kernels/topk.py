"""Selection of the k best candidates, sorted by descending score and then by ascending index.

The k best candidates so far form a binary heap whose root is the *worst* of them, so that most
candidates are rejected by one comparison. The selection from n candidates, m of which enter the
heap, takes O(n + m log k) time.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.chunks import map_chunks
from nearline.kernels.sorting import zero

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


class Best(NamedTuple):
    """Lists of the k best items for each of n rows.

    Attributes
    ----------
    items : int32 [n, k]
        Items, best first; shorter lists are padded with -1.
    scores : float32 [n, k]
        Scores; shorter lists are padded with 0.
    """

    items: Ints
    scores: Floats


class RowLists(NamedTuple):
    """Working memory for the lists of n rows, which are processed one after the other.

    Attributes
    ----------
    scores, items : float64, int32 [k]
        Heap of the current row.
    sizes : int64 [n]
        Length of the list of each row.
    kept_items, kept_scores : int32, float32 [n * k]
        Lists of the finished rows, concatenated.
    """

    scores: Doubles
    items: Ints
    sizes: Longs
    kept_items: Ints
    kept_scores: Floats


def check_k(k: int, name: str = "k") -> None:
    """Raise ValueError if the parameter `name`, the length of a list, is less than 1."""
    if k < 1:
        raise ValueError(f"{name} is {k}; it must be at least 1")


@njit(nogil=True, cache=True)
def _worse(score: float, item: int, other_score: float, other_item: int) -> bool:
    return score < other_score or (score == other_score and item > other_item)


@njit(nogil=True, cache=True)
def _sink(scores: Doubles, items: Ints, size: int) -> None:
    """Restore the order of a heap of `size` entries whose root has changed."""
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
    """Add a candidate to a heap, if it is better than the worst entry or the heap is not full.

    Parameters
    ----------
    scores, items : float64 [k], int32 [k]
        Heap, which is changed in place.
    size : int
        Number of entries in the heap.
    score, item : float, int
        The candidate.

    Returns
    -------
    int
        New number of entries.
    """
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
    """Sort a heap of `size` entries in place, best entry first."""
    for last in range(size - 1, 0, -1):
        scores[0], scores[last] = scores[last], scores[0]
        items[0], items[last] = items[last], items[0]
        _sink(scores, items, last)


@njit(nogil=True, cache=True)
def keep_best(scores: Doubles, items: Ints, size: int, k: int) -> int:
    """Move the `k` best of `size` entries to the front, in any order; return their number.

    The entries are divided again and again by the median of three of them (Hoare, "Algorithm 65:
    find", CACM 1961), which takes O(size) time on average. Items must differ.
    """
    first, last = 0, size - 1
    while k <= last and first < last:
        middle = (first + last) // 2
        for low, high in ((first, middle), (first, last), (middle, last)):
            if _worse(scores[low], items[low], scores[high], items[high]):
                scores[low], scores[high] = scores[high], scores[low]
                items[low], items[high] = items[high], items[low]
        score, item = scores[middle], items[middle]
        front, back = first, last
        while True:
            while _worse(score, item, scores[front], items[front]):
                front += 1
            while _worse(scores[back], items[back], score, item):
                back -= 1
            if front >= back:
                break
            scores[front], scores[back] = scores[back], scores[front]
            items[front], items[back] = items[back], items[front]
            front += 1
            back -= 1
        # Entries up to `back` are not worse than any later one.
        if back >= k:
            last = back
        else:
            first = back + 1
    return min(size, k)


@njit(nogil=True, cache=True)
def write_best(
    scores: Doubles, items: Ints, size: int, out_items: Ints, out_scores: Floats
) -> None:
    """Sort a heap of `size` entries and copy them to the beginning of the output arrays."""
    best_first(scores, items, size)
    for rank in range(size):
        out_items[rank] = items[rank]
        out_scores[rank] = scores[rank]


@njit(nogil=True, cache=True)
def start_lists(n: int, k: int) -> RowLists:
    """Allocate working memory for the lists of `n` rows, of at most `k` items each."""
    return RowLists(
        np.empty(k, dtype=np.float64),
        np.empty(k, dtype=np.int32),
        np.zeros(n, dtype=np.int64),
        np.empty(n * k, dtype=np.int32),
        np.empty(n * k, dtype=np.float32),
    )


@njit(nogil=True, cache=True)
def finish_row(lists: RowLists, row: int, size: int, filled: int) -> int:
    """Store the current heap as the list of a row; return the new number of stored entries.

    `size` is the number of entries in the heap, and `filled` the number of entries that were stored
    for earlier rows.
    """
    write_best(
        lists.scores, lists.items, size, lists.kept_items[filled:], lists.kept_scores[filled:]
    )
    lists.sizes[row] = size
    return filled + size


@njit(nogil=True, cache=True)
def finished_lists(lists: RowLists, filled: int) -> tuple[Longs, Ints, Floats]:
    """Return the sizes of all rows, and their items and scores, as a block for `edges.pack`."""
    return lists.sizes, lists.kept_items[:filled].copy(), lists.kept_scores[:filled].copy()


@njit(nogil=True, cache=True)
def _top_k_rows(
    scores: Floats, above: float, first: int, last: int, out_items: Ints, out_scores: Floats
) -> None:
    k = out_items.shape[1]
    heap_scores = np.empty(k, dtype=np.float64)
    heap_items = np.empty(k, dtype=np.int32)
    for row in range(first, last):
        size = zero()
        for item in range(scores.shape[1]):
            score = scores[row, item]
            if score > above:
                size = offer(heap_scores, heap_items, size, score, item)
        write_best(heap_scores, heap_items, size, out_items[row], out_scores[row])


def top_k_rows(
    scores: Floats, k: int, *, above: float = -np.inf, threads: int | None = None
) -> Best:
    """Select the k largest entries of each row of a dense matrix, largest first.

    Parameters
    ----------
    scores : float32 [n, m]
        Matrix; NaN is never selected.
    k : int
        Length of the lists, at least 1; shorter lists are padded with -1.
    above : float
        Only scores above this are selected. By default, these are all except -inf and NaN.
    threads : int or None
        Number of threads; None for one per core.

    Raises
    ------
    ValueError
        `scores` is not a matrix, or `k` is below 1.
    """
    if scores.ndim != 2:
        raise ValueError(f"scores has {scores.ndim} dimensions; pass a matrix [n, m]")
    check_k(k)
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
