"""Exact nearest neighbours of sets of features.

    s(r, t) = n / (n + shrinkage) * scale_r * scale_t * sum of weight_f over common features f

is the similarity of the sets r and t, which have n features in common. For the cosine, all weights
are 1 and the scale of a set is ``1 / sqrt(size)``. Other measures, such as with TF-IDF or BM25
weights, differ only in the weights and scales.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.chunks import map_chunks
from nearline.kernels.edges import Rows, pack
from nearline.kernels.neighbour_rows import Head, Index, RowLimits, RowScratch, nearest
from nearline.kernels.overlaps import DENSE, overlaps
from nearline.kernels.sets import Sets, dealt, undealt
from nearline.kernels.topk import check_k

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

# Maximum number of targets whose common features are counted with bitmaps: 64 MiB of counts.
MOST_DENSE = 4096

NO_HEAD = Head(np.zeros((0, 0), np.int32), np.zeros(0, np.int64), np.zeros(0, np.int64))


def make_index(lists: Sets, scales: Doubles, weights: Doubles | None = None) -> Index:
    """Create the index of a neighbour search, with targets numbered by descending frequency.

    Parameters
    ----------
    lists : Sets
        Targets that contain each feature.
    scales : float64 [n_targets]
        Scale of each target, at least 0.
    weights : float64 [n_features] or None
        Weight of each feature, at least 0; None for weights of 1.

    Raises
    ------
    ValueError
        A target is not below n_targets.
    """
    n_targets = len(scales)
    counts = np.bincount(lists.items, minlength=n_targets)
    if len(counts) > n_targets:
        raise ValueError(f"target {len(counts) - 1} is not below {n_targets}")
    labels = np.argsort(-counts, kind="stable").astype(np.int32)
    ranks = np.empty(n_targets, dtype=np.uint16 if n_targets <= 1 << 16 else np.int32)
    ranks[labels] = np.arange(n_targets)
    renumbered = Sets(lists.indptr, ranks[lists.items])
    return Index(renumbered, labels, np.zeros(0) if weights is None else weights, scales[labels])


@njit(nogil=True, cache=True)
def _split(lists: Sets, h: int) -> Longs:
    """Move the ranks below `h` to the front of each list; return where the other ranks start."""
    tails = np.empty(len(lists.indptr) - 1, dtype=np.int64)
    for row in range(len(tails)):
        front, back = lists.indptr[row], lists.indptr[row + 1] - 1
        while front <= back:
            if lists.items[front] < h:
                front += 1
            else:
                lists.items[front], lists.items[back] = lists.items[back], lists.items[front]
                back -= 1
        tails[row] = front
    return tails


def _make_head(members: Sets, index: Index, threads: int | None) -> Head:
    """Count the common features of the most frequent targets with bitmaps, if that is faster."""
    n_features = len(index.lists.indptr) - 1
    sizes = np.diff(members.indptr)[index.labels]
    h = min(int(np.count_nonzero(sizes > DENSE * n_features)), MOST_DENSE)
    if h == 0 or len(index.weights):
        return NO_HEAD
    ranks = np.empty(len(index.labels), dtype=np.int64)
    ranks[index.labels] = np.arange(len(index.labels))
    counts = overlaps(members, index.labels[:h], n_features, threads=threads)
    return Head(counts, _split(index.lists, h), ranks)


def _nearest_rows(
    rows: Sets,
    scales: Doubles,
    index: Index,
    head: Head,
    limits: RowLimits,
    threads: int | None,
) -> Rows:
    n, n_targets = len(rows.indptr) - 1, len(index.labels)
    order = dealt(n)

    def work(first: int, last: int) -> tuple[Longs, Ints, Floats]:
        scratch = RowScratch(
            np.zeros(n_targets, dtype=np.int32),
            np.zeros(n_targets if len(index.weights) else 0),
            index.scales.astype(np.float32),
        )
        return nearest(rows, order, scales, index, head, limits, scratch, first, last)

    return undealt(pack(map_chunks(work, n, least=16, threads=threads)), order)


def _limits(
    n_targets: int, top_k: int | None, threshold: float, shrinkage: float, diagonal: bool
) -> RowLimits:
    if top_k is not None:
        check_k(top_k, "top_k")
    if not (threshold >= 0 and shrinkage >= 0):
        raise ValueError(f"threshold {threshold} and shrinkage {shrinkage} must not be negative")
    width = min(top_k or n_targets, n_targets)
    return RowLimits(float(shrinkage), float(threshold), max(width, 1), diagonal)


def nearest_rows(
    rows: Sets,
    scales: Doubles,
    index: Index,
    *,
    top_k: int | None,
    threshold: float = 0.0,
    shrinkage: float = 0.0,
    threads: int | None = None,
) -> Rows:
    """Find the nearest targets of each of n rows.

    Parameters
    ----------
    rows : Sets
        Features of each row. Features that the index does not contain (-1, or past its end) are
        ignored.
    scales : float64 [n]
        Scale of each row, at least 0.
    index : Index
        Targets, as created by `make_index`.
    top_k : int or None
        Maximum number of targets of a row; None for no maximum.
    threshold : float
        Only targets with a similarity above this are kept; at least 0.
    shrinkage : float
        Number of common features for which a similarity is halved; at least 0.
    threads : int or None
        Number of threads; None for one per core.

    Returns
    -------
    Rows
        Targets and similarities, nearest first (ties: lower index first).

    Notes
    -----
    The time for a row is proportional to the total length of the lists of its features, or to the
    number of targets if that is larger.
    """
    limits = _limits(len(index.labels), top_k, threshold, shrinkage, True)
    return _nearest_rows(rows, scales, index, NO_HEAD, limits, threads)


def nearest_among(
    members: Sets,
    lists: Sets,
    scales: Doubles,
    *,
    weights: Doubles | None = None,
    top_k: int | None,
    threshold: float = 0.0,
    shrinkage: float = 0.0,
    threads: int | None = None,
) -> Rows:
    """Find the nearest sets of each set, except itself.

    Parameters
    ----------
    members, lists : Sets
        Features of each set, and the transpose: the sets that contain each feature.
    scales, weights : float64 [n], float64 [n_features] or None
        Scales of the sets and weights of the features, as in `make_index`. The other parameters
        and the result are those of `nearest_rows`.

    Notes
    -----
    The time is proportional to the sum over features of the squared number of sets that contain the
    feature. Without weights, the common features of large sets are counted faster, by `overlaps`.
    """
    limits = _limits(len(scales), top_k, threshold, shrinkage, False)
    index = make_index(lists, scales, weights)
    head = _make_head(members, index, threads)
    return _nearest_rows(members, scales, index, head, limits, threads)
