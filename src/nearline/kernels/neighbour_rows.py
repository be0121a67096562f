"""Rows of nearest neighbours, one after the other: the inner part of `neighbours`.

For one row the lists of targets of its features are added up in a dense scratch (Gustavson's
product). Targets are renumbered, the most frequent first, so that most additions fall into a few
cache lines; blocks of the scratch that hold nothing good enough are passed over by comparisons
that the compiler turns into vector instructions.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.sets import Sets
from nearline.kernels.topk import best_first, offer

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

# Targets whose sums are compared with the worst neighbour so far at a time.
BLOCK = 64
# A row whose lists hold fewer entries than this part of the targets looks at those entries alone.
SPARSE = 1 / 8
# Slack of the comparison in single precision, so that it never passes over too much.
SLACK = 1.0 - 1e-5


class Index(NamedTuple):
    """Inverted lists, feature to targets, ready for `nearest_rows`.

    Attributes
    ----------
    lists : Sets
        Targets of each feature, by their rank: the most frequent target has rank 0.
    labels : int32 [n_targets]
        Target of each rank.
    weights : float64 [n_features]
        Weight of each feature; empty where all weigh 1.
    scales : float64 [n_targets]
        Scale of each target, by rank.
    """

    lists: Sets
    labels: Ints
    weights: Doubles
    scales: Doubles


class Head(NamedTuple):
    """What is known beforehand of the h most frequent targets, where the rows are the targets.

    int32 [h, h] common features by ranks; int64 [n_features] where the lists go on behind those
    targets; int64 [n_targets] rank of each. All empty where nothing is known.
    """

    counts: Ints
    tails: Longs
    ranks: Longs


class RowLimits(NamedTuple):
    """What is kept of a row, see `nearest_rows`."""

    shrinkage: float
    threshold: float
    top_k: int
    diagonal: bool


class RowScratch(NamedTuple):
    """Working memory of one call, zero between rows.

    int32 [n_targets]; float64 [n_targets], or empty where nothing is weighted; and the scales of
    the index in single precision, for vector instructions.
    """

    counts: Ints
    sums: Doubles
    scales: Floats


@njit(nogil=True, cache=True)
def _add_up(rows: Sets, row: int, index: Index, head: Head, scratch: RowScratch) -> int:
    """Count what a row has in common with each target; return the number of entries it meets."""
    lists, counts, sums = index.lists, scratch.counts, scratch.sums
    known = len(head.ranks) > 0 and head.ranks[row] < len(head.counts)
    if known:
        counts[: len(head.counts)] = head.counts[head.ranks[row]]
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
    """Return the similarity as it will be kept, in single precision: so ties are seen as ties."""
    return np.float64(np.float32(common / (common + shrinkage) * (total * scale)))


@njit(nogil=True, cache=True)
def _select_met(
    rows: Sets,
    row: int,
    index: Index,
    scratch: RowScratch,
    scale: float,
    limits: RowLimits,
    heap_values: Doubles,
    heap_items: Ints,
) -> int:
    """Select among the targets in the lists of a row; clear the scratch; return how many."""
    size = 0
    weighted = len(index.weights) > 0
    lists, counts, sums = index.lists, scratch.counts, scratch.sums
    for entry in range(rows.indptr[row], rows.indptr[row + 1]):
        feature = rows.items[entry]
        if feature < 0 or feature >= len(lists.indptr) - 1:
            continue
        for place in range(lists.indptr[feature], lists.indptr[feature + 1]):
            rank = lists.items[place]
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
                size = offer(heap_values, heap_items, size, value, label)
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
    heap_values: Doubles,
    heap_items: Ints,
) -> int:
    """Select among all targets; clear the scratch; return how many."""
    size = 0
    weighted = len(index.weights) > 0
    counts, sums = scratch.counts, scratch.sums
    n_targets = len(index.labels)
    # Rare targets first: they are the nearest of rare rows, and most rows are rare.
    for start in range((n_targets - 1) // BLOCK * BLOCK, -1, -BLOCK):
        end = min(start + BLOCK, n_targets)
        worst = heap_values[0] if size == len(heap_values) else limits.threshold
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
                    size = offer(heap_values, heap_items, size, value, label)
        counts[start:end] = 0
        if weighted:
            sums[start:end] = 0.0
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
    """Rows ``order[first:last]``: their sizes, and their neighbours one after the other."""
    heap_values = np.empty(limits.top_k, dtype=np.float64)
    heap_items = np.empty(limits.top_k, dtype=np.int32)
    sizes = np.zeros(last - first, dtype=np.int64)
    out_items = np.empty((last - first) * limits.top_k, dtype=np.int32)
    out_values = np.empty((last - first) * limits.top_k, dtype=np.float32)
    filled = 0
    for position in range(first, last):
        row = order[position]
        met = _add_up(rows, row, index, head, scratch)
        if met < SPARSE * len(index.labels):
            size = _select_met(
                rows, row, index, scratch, scales[row], limits, heap_values, heap_items
            )
        else:
            size = _select_blocks(row, index, scratch, scales[row], limits, heap_values, heap_items)
        best_first(heap_values, heap_items, size)
        out_items[filled : filled + size] = heap_items[:size]
        out_values[filled : filled + size] = heap_values[:size]
        sizes[position - first] = size
        filled += size
    return sizes, out_items[:filled].copy(), out_values[:filled].copy()
