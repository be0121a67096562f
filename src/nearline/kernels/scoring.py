"""Scores of an item graph: sums over the events of a history and the relations of the graph.

    score(j) = sum over events e of a history, most recent first, sum over relations r:
               weights[r] * ratios[r] ** age(e) * weight(e) * S_r[item(e), j]

S_r is the sparse matrix of relation r. Its weight and the ratio by which it decays with age are
settings; weight(e) is the event weight. Entries of relations that are *counted* are divided when
they are read, so that an event changes only counts:

    S_r[i, j] = value of the edge / (sources[r, i] * targets[r, j] + offsets[r])

Entries of other relations are multiplied by a gain of the target item, which can change:

    S_r[i, j] = value of the edge * gains[j]

The age of an event is the number of known events after it. If ``ratios[r] ** age`` is below
`FAINTEST`, the event is ignored in relation r, so that long histories take little time. Sums are
computed in double precision in the order above, so that the parts of a score add up to it exactly.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.arrays import read_only
from nearline.kernels.chunks import map_chunks
from nearline.kernels.edges import Rows
from nearline.kernels.score_memory import Scratch, clear, scratch_of
from nearline.kernels.sorting import zero
from nearline.kernels.topk import Best, check_k, offer, write_best

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Contributions below this, relative to the newest event, are too small for single precision.
FAINTEST = 2.0**-20


class Graph(NamedTuple):
    """Graph of R relations: immutable rows of edges, and linked lists of edges added later.

    Attributes
    ----------
    indptr : int64 [R, n_base + 1]
        Item i has the edges from ``indptr[r, i]`` to ``indptr[r, i + 1] - 1`` of relation r.
    items, values : int32, float32 [m]
        Target item and value of each edge, of all relations.
    heads : int64 [R, capacity]
        First added edge of each item; -1 for none.
    following : int64 [a]
        Next added edge of the same item; -1 for none.
    added_items, added_values : int32, float32 [a]
        Target item and value of each added edge.
    weights, ratios : float64 [R]
        Weight of each relation, and the factor by which it decays with each event into the past.
    sources, targets, offsets : float64 [C, capacity], float64 [C, capacity], float64 [C]
        Divisors of the counted relations, which are the first C relations.
    gains : float64 [capacity]
        Gain of each target item, for the other relations.
    n_items : int
        Number of items; edges to higher indices are ignored.
    max_history : int
        Number of most recent known events that are used.
    """

    indptr: Longs
    items: Ints
    values: Floats
    heads: Longs
    following: Longs
    added_items: Ints
    added_values: Floats
    weights: Doubles
    ratios: Doubles
    sources: Doubles
    targets: Doubles
    offsets: Doubles
    gains: Doubles
    n_items: int
    max_history: int


NOTHING = np.zeros(0, dtype=np.bool_)


@njit(nogil=True, cache=True)
def _add(item: int, amount: float, scratch: Scratch, count: int) -> int:
    if not scratch.marked[item]:
        scratch.marked[item] = True
        scratch.touched[count] = item
        count += 1
    scratch.totals[item] += amount
    return count


@njit(nogil=True, cache=True)
def _factor(graph: Graph, relation: int, age: int) -> float:
    decay = graph.ratios[relation] ** age
    return graph.weights[relation] * decay if decay >= FAINTEST else 0.0


@njit(nogil=True, cache=True)
def _entry(graph: Graph, relation: int, item: int, neighbour: int, value: float) -> float:
    """Compute the entry S_r[item, neighbour] of a relation from the value of its edge."""
    if relation >= len(graph.offsets):
        return float(value * graph.gains[neighbour])
    divisor = graph.sources[relation, item] * graph.targets[relation, neighbour]
    return float(value / (divisor + graph.offsets[relation]))


@njit(nogil=True, cache=True)
def _add_row(
    graph: Graph, relation: int, item: int, factor: float, scratch: Scratch, count: int
) -> int:
    """Add the immutable edges of an item to the scores; return the new number of items.

    Items are marked without a branch, which would be mispredicted often.
    """
    totals, touched, marked = scratch.totals, scratch.touched, scratch.marked
    first, last = graph.indptr[relation, item], graph.indptr[relation, item + 1]
    counted = relation < len(graph.offsets)
    source = graph.sources[relation, item] if counted else 1.0
    offset = graph.offsets[relation] if counted else 0.0
    for edge in range(first, last):
        neighbour, value = graph.items[edge], graph.values[edge]
        if neighbour >= graph.n_items:
            continue
        touched[count] = neighbour
        count += not marked[neighbour]
        marked[neighbour] = True
        if counted:
            entry = value / (source * graph.targets[relation, neighbour] + offset)
        else:
            entry = value * graph.gains[neighbour]
        totals[neighbour] += factor * entry
    return count


@njit(nogil=True, cache=True)
def accumulate(graph: Graph, rows: Rows, row: int, scratch: Scratch) -> int:
    """Compute the scores of a history in the working memory; return the number of items."""
    count, age = zero(), zero()
    for event in range(rows.indptr[row + 1] - 1, rows.indptr[row] - 1, -1):
        item = rows.items[event]
        if item < 0 or item >= graph.n_items:
            continue
        if age >= graph.max_history:
            break
        for relation in range(len(graph.weights)):
            factor = _factor(graph, relation, age) * rows.weights[event]
            if factor == 0.0:
                continue
            if item < graph.indptr.shape[1] - 1:
                count = _add_row(graph, relation, item, factor, scratch, count)
            edge = graph.heads[relation, item]
            while edge >= 0:
                neighbour = graph.added_items[edge]
                if neighbour < graph.n_items:
                    entry = _entry(graph, relation, item, neighbour, graph.added_values[edge])
                    count = _add(neighbour, factor * entry, scratch, count)
                edge = graph.following[edge]
        age += 1
    return count


@njit(nogil=True, cache=True)
def mark_seen(rows: Rows, row: int, n_items: int, seen: Bools, value: bool) -> None:
    """Set ``seen[item]`` to `value` for the items of a history."""
    for event in range(rows.indptr[row], rows.indptr[row + 1]):
        if 0 <= rows.items[event] < n_items:
            seen[rows.items[event]] = value


@njit(nogil=True, cache=True)
def _recommend_rows(
    graph: Graph,
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
    for row in range(first, last):
        count = accumulate(graph, rows, row, scratch)
        if exclude_seen:
            mark_seen(rows, row, graph.n_items, scratch.seen, True)
        size = zero()
        for at in range(count):
            item = scratch.touched[at]
            score = scratch.totals[item]
            if score <= 0.0 or scratch.seen[item]:
                continue
            if everything or (item < len(allowed) and allowed[item]):
                size = offer(heap_scores, heap_items, size, score, item)
        write_best(heap_scores, heap_items, size, out_items[row], out_scores[row])
        if exclude_seen:
            mark_seen(rows, row, graph.n_items, scratch.seen, False)
        clear(scratch, count)


def recommend_rows(
    graph: Graph,
    rows: Rows,
    k: int,
    *,
    exclude_seen: bool,
    allowed: Bools | None = None,
    threads: int | None = None,
) -> Best:
    """Return the items with the highest scores above zero for each of n histories.

    Parameters
    ----------
    rows : Rows
        Histories, oldest event first. Items that the graph does not contain are ignored.
    k : int
        Length of the lists.
    exclude_seen : bool
        Whether to exclude the items of a history from its list.
    allowed : bool [n_items] or None
        Only items for which this is true are returned; items past its end are not. None: all.

    Returns
    -------
    Best
        Lists [n, k], padded with -1; of items with equal scores, the lower index is first.
    """
    check_k(k)
    n = len(rows.indptr) - 1
    everything = allowed is None
    mask = read_only(NOTHING if allowed is None else allowed)
    items = np.full((n, k), -1, dtype=np.int32)
    scores = np.zeros((n, k), dtype=np.float32)

    def work(first: int, last: int) -> None:
        scratch = scratch_of(graph.n_items)
        _recommend_rows(
            graph, rows, exclude_seen, everything, mask, scratch, first, last, items, scores
        )

    map_chunks(work, n, least=64, threads=threads)
    return Best(items, scores)


@njit(nogil=True, cache=True)
def _score_rows(
    graph: Graph, rows: Rows, scratch: Scratch, first: int, last: int, out: Floats
) -> None:
    for row in range(first, last):
        count = accumulate(graph, rows, row, scratch)
        for at in range(count):
            item = scratch.touched[at]
            out[row, item] = scratch.totals[item]
        clear(scratch, count)


def score_rows(graph: Graph, rows: Rows, *, threads: int | None = None) -> Floats:
    """Compute the scores of all items for each of n histories: float32 [n, n_items]."""
    out = np.zeros((len(rows.indptr) - 1, graph.n_items), dtype=np.float32)
    map_chunks(
        lambda first, last: _score_rows(graph, rows, scratch_of(graph.n_items), first, last, out),
        len(out),
        least=64,
        threads=threads,
    )
    return out


@njit(nogil=True, cache=True)
def _rank_rows(
    graph: Graph,
    rows: Rows,
    targets: Rows,
    scratch: Scratch,
    first: int,
    last: int,
    out: Longs,
) -> None:
    for row in range(first, last):
        count = accumulate(graph, rows, row, scratch)
        mark_seen(rows, row, graph.n_items, scratch.seen, True)
        for entry in range(targets.indptr[row], targets.indptr[row + 1]):
            target = targets.items[entry]
            out[entry] = graph.n_items
            if target < 0 or target >= graph.n_items or scratch.seen[target]:
                continue
            own = scratch.totals[target]
            if own <= 0.0:
                continue
            before = 0
            for at in range(count):
                item = scratch.touched[at]
                score = scratch.totals[item]
                if score > own or (score == own and item < target):
                    before += not scratch.seen[item]
            out[entry] = before
        mark_seen(rows, row, graph.n_items, scratch.seen, False)
        clear(scratch, count)


def rank_rows(graph: Graph, rows: Rows, targets: Rows, *, threads: int | None = None) -> Longs:
    """Compute the rank of each target item in the list that `recommend_rows` returns.

    Items of the history are excluded from the list. The rank of its first item is 0. A target that
    is in the history, unknown, or without a score above zero has the rank ``n_items``.

    Parameters
    ----------
    targets : Rows
        Row u contains the targets of history u; weights are not used.

    Returns
    -------
    int64 [len(targets.items)]
        Rank of each target.

    Raises
    ------
    ValueError
        The numbers of rows differ.
    """
    if len(targets.indptr) != len(rows.indptr):
        raise ValueError(
            f"targets has {len(targets.indptr) - 1} rows, histories {len(rows.indptr) - 1}"
        )
    out = np.empty(len(targets.items), dtype=np.int64)
    map_chunks(
        lambda first, last: _rank_rows(
            graph, rows, targets, scratch_of(graph.n_items), first, last, out
        ),
        len(rows.indptr) - 1,
        threads=threads,
    )
    return out


@njit(nogil=True, cache=True)
def score_parts(graph: Graph, rows: Rows, target: int) -> Doubles:
    """Compute the parts of the score of `target` for the first history, by event and relation.

    Returns
    -------
    float64 [events, R]
        Parts in the order of ``rows.items``; their sum is the score.
    """
    first, last = rows.indptr[0], rows.indptr[1]
    parts = np.zeros((last - first, len(graph.weights)), dtype=np.float64)
    age = 0
    for event in range(last - 1, first - 1, -1):
        item = rows.items[event]
        if item < 0 or item >= graph.n_items:
            continue
        if age >= graph.max_history:
            break
        for relation in range(len(graph.weights)):
            factor = _factor(graph, relation, age) * rows.weights[event]
            if item < graph.indptr.shape[1] - 1:
                for edge in range(graph.indptr[relation, item], graph.indptr[relation, item + 1]):
                    if graph.items[edge] == target:
                        entry = _entry(graph, relation, item, target, graph.values[edge])
                        parts[event - first, relation] += factor * entry
            edge = graph.heads[relation, item]
            while edge >= 0:
                if graph.added_items[edge] == target:
                    entry = _entry(graph, relation, item, target, graph.added_values[edge])
                    parts[event - first, relation] += factor * entry
                edge = graph.following[edge]
        age += 1
    return parts
