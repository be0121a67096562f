"""Scores of the items with an edge from the items of a history, without an array of all items."""

import numpy as np
from numba import njit

from nearline.kernels.edges import Rows
from nearline.kernels.score_memory import Scratch, clear, scratch_of
from nearline.kernels.scoring import Doubles, Floats, Graph, Ints, accumulate


@njit(nogil=True, cache=True)
def _score_row(graph: Graph, rows: Rows, scratch: Scratch) -> tuple[Ints, Floats]:
    count = accumulate(graph, rows, 0, scratch)
    items = scratch.touched[:count].copy()
    scores = np.empty(count, dtype=np.float32)
    for at in range(count):
        scores[at] = scratch.totals[items[at]]
    clear(scratch, count)
    return items, scores


def score_row(graph: Graph, rows: Rows) -> tuple[Ints, Floats]:
    """Compute the scores that `score_rows` gives to items with an edge from the first history.

    Returns
    -------
    items, scores : int32, float32 [n]
        Different items, in the order in which their edges are read, and their scores.
    """
    return _score_row(graph, rows, scratch_of(graph.n_items))


@njit(nogil=True, cache=True)
def _totals_of(graph: Graph, rows: Rows, items: Ints, scratch: Scratch, out: Doubles) -> None:
    count = accumulate(graph, rows, 0, scratch)
    for at in range(len(items)):
        out[at] = scratch.totals[items[at]]
    clear(scratch, count)


def relation_parts(graph: Graph, rows: Rows, items: Ints) -> Doubles:
    """Compute what each relation adds to the scores of known items for the first history.

    Returns
    -------
    float64 [n, R]
        The sums over events of `nearline.kernels.scoring.score_parts`. The edges of each relation
        are read once, however many items there are.
    """
    parts = np.zeros((len(graph.weights), len(items)))
    for relation in np.flatnonzero(graph.weights):
        alone = np.zeros_like(graph.weights)
        alone[relation] = graph.weights[relation]
        scratch = scratch_of(graph.n_items)
        _totals_of(graph._replace(weights=alone), rows, items, scratch, parts[relation])
    return np.ascontiguousarray(parts.T)
