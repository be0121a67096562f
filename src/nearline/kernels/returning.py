"""Scores of an item graph for users who return after a while: relations, trend and repeats.

    score(j) = rises[j] * sum over the relations (see `kernels.scoring`)
               + mass * (lately(j) + repeats * own(j) / sqrt(sum of own))
    lately(j) = sum over half-lives h: weights[h] * sums[j, h]
    own(j) = rises[j] ** own_rising
             * sum over events e of item j: max(weight(e), 0) * fade ** age(e)

The user's own items also get ``mass * own_lately * sums[j, own_column]``.

``mass`` is the sum of the positive scores of the first line, so that the other terms have the scale
of the user's own score. Without it, nothing is known about the user and there is no list.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.arrays import read_only
from nearline.kernels.chunks import map_chunks
from nearline.kernels.edges import Rows
from nearline.kernels.score_memory import Scratch, clear, scratch_of
from nearline.kernels.scoring import NOTHING, Graph, accumulate, mark_seen
from nearline.kernels.sorting import zero
from nearline.kernels.topk import Best, check_k, offer, write_best

Ints = NDArray[np.int32]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Terms(NamedTuple):
    """Terms of the score that a returning user gets beside the relations of the graph.

    Attributes
    ----------
    rises : float64 [capacity]
        Factor of each item for the relations.
    sums : float64 [capacity, H]
        Decayed sum of each item by half-life.
    weights : float64 [H]
        Weight of each half-life, divided by the total of its sums.
    leaders : int32 [m]
        Items that include all whose value of ``lately`` is above `floor`.
    floor : float
        Upper bound of ``lately`` for all other items.
    repeats, fade, own_rising, own_lately : float
        Weight of the user's own items, factor by which an event decays with each later event,
        exponent of the rise of the user's own items, and weight of their decayed sums.
    own_column : int
        Index of the half-life of these sums.
    """

    rises: Doubles
    sums: Doubles
    weights: Doubles
    leaders: Ints
    floor: float
    repeats: float
    fade: float
    own_rising: float
    own_lately: float
    own_column: int


@njit(nogil=True, cache=True)
def _lately(terms: Terms, item: int) -> float:
    total = 0.0
    for h in range(len(terms.weights)):
        total += terms.weights[h] * terms.sums[item, h]
    return total


@njit(nogil=True, cache=True)
def _own(graph: Graph, terms: Terms, rows: Rows, row: int, own: Doubles) -> float:
    """Add the amounts of the user's own items to `own`; return the root of their sum."""
    age, total = 0, 0.0
    for event in range(rows.indptr[row + 1] - 1, rows.indptr[row] - 1, -1):
        item = rows.items[event]
        if item < 0 or item >= graph.n_items:
            continue
        if rows.weights[event] > 0.0:
            amount = rows.weights[event] * terms.fade**age * terms.rises[item] ** terms.own_rising
            own[item] += amount
            total += amount
        age += 1
    return float(np.sqrt(total))


@njit(nogil=True, cache=True)
def _fill(
    graph: Graph, terms: Terms, rows: Rows, row: int, scratch: Scratch, own: Doubles, repeats: bool
) -> tuple[int, float]:
    """Compute the scores of touched items, without ``lately``; return their number and the mass."""
    count = accumulate(graph, rows, row, scratch)
    mass = 0.0
    for at in range(count):
        item = scratch.touched[at]
        scratch.totals[item] *= terms.rises[item]
        mass += max(scratch.totals[item], 0.0)
    if repeats and terms.repeats > 0.0 and mass > 0.0:
        root = _own(graph, terms, rows, row, own)
        for event in range(rows.indptr[row], rows.indptr[row + 1]):
            item = rows.items[event]
            if 0 <= item < graph.n_items and own[item] > 0.0:
                if not scratch.marked[item]:
                    scratch.marked[item] = True
                    scratch.touched[count] = item
                    count += 1
                more = terms.own_lately * terms.sums[item, terms.own_column]
                scratch.totals[item] += mass * (terms.repeats * own[item] / root + more)
                own[item] = 0.0
    return count, mass


@njit(nogil=True, cache=True)
def _recommend_returning(
    graph: Graph,
    terms: Terms,
    rows: Rows,
    exclude_seen: bool,
    everything: bool,
    allowed: Bools,
    scratch: Scratch,
    first: int,
    last: int,
    out_items: Ints,
    out_scores: Floats,
) -> None:
    k = out_items.shape[1]
    heap_scores = np.empty(k, dtype=np.float64)
    heap_items = np.empty(k, dtype=np.int32)
    own = np.zeros(graph.n_items if terms.repeats > 0.0 and not exclude_seen else 0)
    highest = 0.0
    for at in range(len(terms.leaders)):
        highest = max(highest, _lately(terms, terms.leaders[at]))
    for row in range(first, last):
        count, mass = _fill(graph, terms, rows, row, scratch, own, not exclude_seen)
        if exclude_seen:
            mark_seen(rows, row, graph.n_items, scratch.seen, True)
        size = zero()
        if mass > 0.0:
            for at in range(count):
                item = scratch.touched[at]
                total = scratch.totals[item]
                if size == k and total + mass * highest < heap_scores[0]:
                    continue
                score = total + mass * _lately(terms, item)
                wanted = everything or (item < len(allowed) and allowed[item])
                if score > 0.0 and wanted and not scratch.seen[item]:
                    size = offer(heap_scores, heap_items, size, score, item)
            # Items without a score of their own can enter by what is popular lately.
            for at in range(len(terms.leaders)):
                item = terms.leaders[at]
                if item < graph.n_items and not scratch.marked[item]:
                    scratch.marked[item] = True
                    scratch.touched[count] = item
                    count += 1
                    score = mass * _lately(terms, item)
                    wanted = everything or (item < len(allowed) and allowed[item])
                    if score > 0.0 and wanted and not scratch.seen[item]:
                        size = offer(heap_scores, heap_items, size, score, item)
            if terms.floor > 0.0 and (size < k or heap_scores[0] <= mass * terms.floor):
                for item in range(graph.n_items):
                    if scratch.marked[item] or scratch.seen[item]:
                        continue
                    if everything or (item < len(allowed) and allowed[item]):
                        score = mass * _lately(terms, item)
                        if score > 0.0:
                            size = offer(heap_scores, heap_items, size, score, item)
        write_best(heap_scores, heap_items, size, out_items[row], out_scores[row])
        if exclude_seen:
            mark_seen(rows, row, graph.n_items, scratch.seen, False)
        clear(scratch, count)


def recommend_returning(
    graph: Graph,
    terms: Terms,
    rows: Rows,
    k: int,
    *,
    exclude_seen: bool,
    allowed: Bools | None = None,
) -> Best:
    """Return the items with the highest scores above zero; see `scoring.recommend_rows`.

    The lists are exact: items that are not reached from a history are compared, too.
    """
    check_k(k)
    n = len(rows.indptr) - 1
    everything = allowed is None
    mask = read_only(NOTHING if allowed is None else allowed)
    items = np.full((n, k), -1, dtype=np.int32)
    scores = np.zeros((n, k), dtype=np.float32)

    def work(first: int, last: int) -> None:
        scratch = scratch_of(graph.n_items)
        _recommend_returning(
            graph, terms, rows, exclude_seen, everything, mask, scratch, first, last, items, scores
        )

    map_chunks(work, n, least=64)
    return Best(items, scores)


@njit(nogil=True, cache=True)
def _score_returning(
    graph: Graph, terms: Terms, rows: Rows, scratch: Scratch, first: int, last: int, out: Floats
) -> None:
    own = np.zeros(graph.n_items)
    for row in range(first, last):
        count, mass = _fill(graph, terms, rows, row, scratch, own, True)
        if mass > 0.0:
            for item in range(graph.n_items):
                out[row, item] = scratch.totals[item] + mass * _lately(terms, item)
        clear(scratch, count)


def score_returning(graph: Graph, terms: Terms, rows: Rows) -> Floats:
    """Compute the scores of all items for each of n histories: float32 [n, n_items]."""
    out = np.zeros((len(rows.indptr) - 1, graph.n_items), dtype=np.float32)
    map_chunks(
        lambda first, last: _score_returning(
            graph, terms, rows, scratch_of(graph.n_items), first, last, out
        ),
        len(out),
        least=64,
    )
    return out


@njit(nogil=True, cache=True)
def _mass(graph: Graph, terms: Terms, rows: Rows, scratch: Scratch) -> float:
    own = np.zeros(0)
    count, mass = _fill(graph, terms, rows, 0, scratch, own, False)
    clear(scratch, count)
    return mass


def other_parts(graph: Graph, terms: Terms, rows: Rows, target: int) -> tuple[float, Doubles]:
    """Compute the parts of the score of `target` beside the relations, for the first history.

    Returns
    -------
    lately : float
        Part that does not depend on the user's events.
    own : float64 [events]
        Parts of the user's own events with the item.
    """
    mass = _mass(graph, terms, rows, scratch_of(graph.n_items))
    own = np.zeros(len(rows.items))
    if terms.repeats > 0.0 and mass > 0.0:
        amounts = np.zeros(graph.n_items)
        root = _own(graph, terms, rows, 0, amounts)
        known = (rows.items >= 0) & (rows.items < graph.n_items)
        ages = known.sum() - np.cumsum(known)
        mine = known & (rows.items == target) & (rows.weights > 0)
        factor = terms.rises[target] ** terms.own_rising * mass * terms.repeats
        own[mine] = factor * rows.weights[mine] * terms.fade ** ages[mine] / max(root, 1e-300)
    lately = float(_lately(terms, target))
    if own.any():
        lately += terms.own_lately * float(terms.sums[target, terms.own_column])
    return mass * lately, own
