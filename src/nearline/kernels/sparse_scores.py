"""Scores of the items with an edge from the items of a history, without an array of all items."""

import numpy as np
from numba import njit

from nearline.kernels.edges import Rows
from nearline.kernels.score_memory import Scratch, clear, scratch_of
from nearline.kernels.scoring import Floats, Graph, Ints, accumulate


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
