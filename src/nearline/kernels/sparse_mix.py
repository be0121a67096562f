"""Selection of the best items from a mixture of normalised scores, of which most are 0.

A normaliser gives all items that a part of the mixture does not score the same number: 0, or the
softmax of 0. One number for all of them replaces an array over the catalogue.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit

from nearline.kernels.score_memory import Scratch, clear, scratch_of
from nearline.kernels.scoring import NOTHING, Bools, Doubles, Floats, Ints, Longs
from nearline.kernels.topk import Best, check_k, offer, write_best


class MixedParts(NamedTuple):
    """P parts of a mixture.

    Attributes
    ----------
    weights : float64 [P]
        Weight of each part.
    softmax : bool [P]
        Whether scores are normalised by a softmax; otherwise they are divided by the sum of those
        above 0.
    temperatures : float64 [P]
        Temperature of each softmax.
    sizes : int64 [P]
        Number of items that each part knows.
    """

    weights: Doubles
    softmax: Bools
    temperatures: Doubles
    sizes: Longs


@njit(nogil=True, cache=True)
def _sums(
    scores: Floats, first: int, last: int, softmax: bool, temperature: float, others: int
) -> tuple[float, float, float]:
    """Return what is subtracted, the sum by which is divided, and the number of other items."""
    total = 0.0
    if not softmax:
        for at in range(first, last):
            total += max(scores[at], np.float32(0.0))
        return 0.0, total if total > 0.0 else np.inf, 0.0
    top = 0.0 if others > 0 else -np.inf
    for at in range(first, last):
        top = max(top, float(scores[at]))
    for at in range(first, last):
        total += np.exp((scores[at] - top) / temperature)
    rest = np.exp(-top / temperature)
    total += others * rest
    return top, total, rest / total


@njit(nogil=True, cache=True)
def _mix(
    items: Ints,
    scores: Floats,
    starts: Longs,
    parts: MixedParts,
    seen: Ints,
    everything: bool,
    allowed: Bools,
    scratch: Scratch,
    out_items: Ints,
    out_scores: Floats,
) -> None:
    n_items = 0
    for size in parts.sizes:
        n_items = max(n_items, size)
    rests = np.zeros(len(starts) - 1)
    count = 0
    for part in range(len(starts) - 1):
        first, last = starts[part], starts[part + 1]
        softmax, temperature = parts.softmax[part], parts.temperatures[part]
        others = parts.sizes[part] - (last - first)
        top, total, rests[part] = _sums(scores, first, last, softmax, temperature, others)
        for at in range(first, last):
            item = items[at]
            if not scratch.marked[item]:
                scratch.marked[item] = True
                scratch.touched[count] = item
                count += 1
            own = scores[at] / total
            if softmax:
                own = np.exp((scores[at] - top) / temperature) / total
            scratch.totals[item] += parts.weights[part] * (own - rests[part])
    for item in seen:
        if 0 <= item < n_items:
            scratch.seen[item] = True
    heap_scores = np.empty(out_items.shape[1])
    heap_items = np.empty(out_items.shape[1], dtype=np.int32)
    filled = 0
    for at in range(count):
        item = scratch.touched[at]
        if scratch.totals[item] <= 0.0 or scratch.seen[item]:
            continue
        if everything or (item < len(allowed) and allowed[item]):
            score = scratch.totals[item]
            for part in range(len(rests)):
                if item < parts.sizes[part]:
                    score += parts.weights[part] * rests[part]
            filled = offer(heap_scores, heap_items, filled, score, item)
    write_best(heap_scores, heap_items, filled, out_items[0], out_scores[0])
    for item in seen:
        if 0 <= item < n_items:
            scratch.seen[item] = False
    clear(scratch, count)


def mix_row(
    found: Sequence[tuple[Ints, Floats]],
    parts: MixedParts,
    k: int,
    *,
    seen: Ints,
    allowed: Bools | None = None,
) -> Best:
    """Return the `k` items with the highest mixed scores for one history.

    Parameters
    ----------
    found : sequence of (int32 [n], float32 [n])
        Items and scores of each part; the items of one part are different.
    seen : int32 [m]
        Items that are not listed.
    allowed : bool [n_items] or None
        Only items for which this is true are listed; items past its end are not. None: all.

    Returns
    -------
    Best
        One list [1, k], padded with -1; of items with equal scores, the lower index is first. It
        contains only items whose score is above that of the items without a score.
    """
    check_k(k)
    sizes = [len(items) for items, _ in found]
    out_items = np.full((1, k), -1, dtype=np.int32)
    out_scores = np.zeros((1, k), dtype=np.float32)
    if sum(sizes):
        _mix(
            np.concatenate([items for items, _ in found]),
            np.concatenate([scores for _, scores in found]),
            np.cumsum([0, *sizes]),
            parts,
            seen,
            allowed is None,
            NOTHING if allowed is None else allowed,
            scratch_of(int(parts.sizes.max())),
            out_items,
            out_scores,
        )
    return Best(out_items, out_scores)
