"""Nearest neighbours of one set after the other: the inner loop of `neighbours`.

A row is a set of features, and its neighbours are sets called targets. For each feature of a row,
the targets that contain it are counted in a dense array (Gustavson's product). Targets are
renumbered by descending frequency, so that most additions are to a few cache lines. Blocks of the
array without a candidate are skipped by comparisons that the compiler vectorises.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.sets import Sets
from nearline.kernels.sorting import zero
from nearline.kernels.topk import finish_row, finished_lists, offer, start_lists

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

# Number of targets that are compared with the worst neighbour so far at a time.
BLOCK = 64
# If the lists of a row have fewer entries than this fraction of the number of targets, only the
# targets in the lists are visited.
SPARSE = 1 / 8
# Tolerance of the comparison in single precision, so that it never skips a candidate.
SLACK = 1.0 - 1e-5


class Index(NamedTuple):
    """Inverted lists from features to targets; created by `neighbours.make_index`.

    Attributes
    ----------
    lists : Sets
        Targets that contain each feature, by rank; the target with most features has rank 0.
    labels : int32 [n_targets]
        Target of each rank.
    weights : float64 [n_features]
        Weight of each feature; empty if all weights are 1.
    scales : float64 [n_targets]
        Scale of each target, by rank.
    """

    lists: Sets
    labels: Ints
    weights: Doubles
    scales: Doubles


class Head(NamedTuple):
    """Precomputed overlaps of the h most frequent targets, if rows and targets are the same sets.

    Attributes
    ----------
    counts : int32 [h, h]
        Number of common features of two targets, by rank.
    tails : int64 [n_features]
        Position in each list after the last of the h targets.
    ranks : int64 [n_targets]
        Rank of each target. All arrays are empty if there are no precomputed overlaps.
    """

    counts: Ints
    tails: Longs
    ranks: Longs


class RowLimits(NamedTuple):
    """Limits on the neighbours of a row, as described in `neighbours.nearest_rows`.

    `diagonal` is whether a target with the number of the row can be its neighbour.
    """

    shrinkage: float
    threshold: float
    top_k: int
    diagonal: bool


class RowScratch(NamedTuple):
    """Working memory of one thread; counts and sums are zero between rows.

    Attributes
    ----------
    counts : int32 [n_targets]
        Number of common features of each target, by rank, and the current row.
    sums : float64 [n_targets]
        Sum of the weights of these features; empty if all weights are 1.
    scales : float32 [n_targets]
        Scales of the index in single precision, for vector instructions.
    """

    counts: Ints
    sums: Doubles
    scales: Floats


@njit(nogil=True, cache=True)
def _add_up(rows: Sets, row: int, index: Index, head: Head, scratch: RowScratch) -> int:
    """Count the features that a row shares with each target.

    The counts are written to ``scratch.counts``. If features have weights, the sums of the weights
    of the shared features are written to ``scratch.sums``. Both must be zero before the call.

    Returns the total length of the inverted lists of the features of the row.
    """
    lists, counts, sums = index.lists, scratch.counts, scratch.sums
    known = len(head.ranks) > 0 and head.ranks[row] < len(head.counts)
    if known:
        for rank in range(len(head.counts)):  # compiles faster than a copy of a slice
            counts[rank] = head.counts[head.ranks[row], rank]
    met = 0
    for entry in range(rows.indptr[row], rows.indptr[row + 1]):
        feature = rows.items[entry]
        if feature < 0 or feature >= len(lists.indptr) - 1:
            continue
        first, last = lists.indptr[feature], lists.indptr[feature + 1]
        met += last - first
        if known:
            first = head.tails[feature]
        for place in range(first, last):
            counts[lists.items[place]] += 1
        if len(index.weights):
            weight = index.weights[feature]
            for place in range(first, last):
                sums[lists.items[place]] += weight
    return met


@njit(nogil=True, cache=True)
def _similarity(common: int, total: float, scale: float, shrinkage: float) -> float:
    """Compute a similarity in the precision in which it is stored, so that equal values are ties.

    Parameters
    ----------
    common : int
        Number of common features.
    total : float
        Sum of their weights.
    scale : float
        Product of the scales of both sets.
    shrinkage : float
        Number of common features for which the similarity is halved.
    """
    return np.float64(np.float32(common / (common + shrinkage) * (total * scale)))


@njit(nogil=True, cache=True)
def _select_met(
    rows: Sets,
    row: int,
    index: Index,
    scratch: RowScratch,
    scale: float,
    limits: RowLimits,
    heap_scores: Doubles,
    heap_items: Ints,
) -> int:
    """Select neighbours among the targets in the lists of a row; return their number.

    The neighbours are put into the heap, and the working memory is set to zero.
    """
    size = zero()
    weighted = len(index.weights) > 0
    targets, counts, sums = index.lists, scratch.counts, scratch.sums
    for entry in range(rows.indptr[row], rows.indptr[row + 1]):
        feature = rows.items[entry]
        if feature < 0 or feature >= len(targets.indptr) - 1:
            continue
        for place in range(targets.indptr[feature], targets.indptr[feature + 1]):
            rank = targets.items[place]
            common = counts[rank]
            if common == 0:
                continue
            total = sums[rank] if weighted else np.float64(common)
            counts[rank] = 0
            if weighted:
                sums[rank] = 0.0
            label = index.labels[rank]
            value = _similarity(common, total, scale * index.scales[rank], limits.shrinkage)
            if value > limits.threshold and (limits.diagonal or label != row):
                size = offer(heap_scores, heap_items, size, value, label)
    return size


@njit(nogil=True, cache=True)
def _none_above(
    bound: np.float32, totals: NDArray[Any], scales: Floats, start: int, end: int
) -> bool:
    above = 0
    for at in range(start, end):
        above += np.float32(totals[at]) * scales[at] > bound
    return above == 0


@njit(nogil=True, cache=True)
def _select_blocks(
    row: int,
    index: Index,
    scratch: RowScratch,
    scale: float,
    limits: RowLimits,
    heap_scores: Doubles,
    heap_items: Ints,
) -> int:
    """Select neighbours among all targets; return their number.

    The neighbours are put into the heap, and the working memory is set to zero.
    """
    size = zero()
    weighted = len(index.weights) > 0
    counts, sums = scratch.counts, scratch.sums
    n_targets = len(index.labels)
    # The search begins with small targets: they are nearest to small rows, and most rows are small.
    for start in range((n_targets - 1) // BLOCK * BLOCK, -1, -BLOCK):
        end = min(start + BLOCK, n_targets)
        worst = heap_scores[0] if size == len(heap_scores) else limits.threshold
        bound = np.float32(worst * SLACK / scale) if scale > 0.0 else np.float32(0.0)
        if weighted:
            poor = _none_above(bound, sums, scratch.scales, start, end)
        else:
            poor = _none_above(bound, counts, scratch.scales, start, end)
        if not poor:
            for rank in range(start, end):
                common = counts[rank]
                if common == 0:
                    continue
                total = sums[rank] if weighted else np.float64(common)
                value = _similarity(common, total, scale * index.scales[rank], limits.shrinkage)
                label = index.labels[rank]
                if value > limits.threshold and (limits.diagonal or label != row):
                    size = offer(heap_scores, heap_items, size, value, label)
        for rank in range(start, end):
            counts[rank] = 0
        if weighted:
            for rank in range(start, end):
                sums[rank] = 0.0
    return size


@njit(nogil=True, cache=True)
def nearest(
    rows: Sets,
    order: Longs,
    scales: Doubles,
    index: Index,
    head: Head,
    limits: RowLimits,
    scratch: RowScratch,
    first: int,
    last: int,
) -> tuple[Longs, Ints, Floats]:
    """Find the neighbours of the rows ``order[first:last]``.

    Returns
    -------
    int64 [last - first], int32 [m], float32 [m]
        Number of neighbours of each row, and targets and similarities of all neighbours.
    """
    lists = start_lists(last - first, limits.top_k)
    heap_scores, heap_items = lists.scores, lists.items
    filled = zero()
    for position in range(first, last):
        row = order[position]
        met = _add_up(rows, row, index, head, scratch)
        if met < SPARSE * len(index.labels):
            size = _select_met(
                rows, row, index, scratch, scales[row], limits, heap_scores, heap_items
            )
        else:
            size = _select_blocks(row, index, scratch, scales[row], limits, heap_scores, heap_items)
        filled = finish_row(lists, position - first, size, filled)
    return finished_lists(lists, filled)
