"""Evaluation of ensembles of regression trees that are stored in flat arrays."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.chunks import map_chunks

Floats = NDArray[np.float32]


class Trees(NamedTuple):
    """Nodes and leaves of several trees.

    Attributes
    ----------
    roots : int32 [t]
        Root node of each tree; ``~leaf`` for a tree with a single leaf.
    features : int32 [m]
        Feature tested by each node.
    thresholds : float64 [m]
        Values up to the threshold go left.
    left, right : int32 [m]
        Child node, or ``~leaf``.
    values : float64 [leaves]
        Value of each leaf.
    """

    roots: NDArray[np.int32]
    features: NDArray[np.int32]
    thresholds: NDArray[np.float64]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    values: NDArray[np.float64]


@njit(nogil=True, cache=True)
def _sum_trees(
    trees: Trees, table: Floats, first: int, last: int, out: NDArray[np.float64]
) -> None:
    for row in range(first, last):
        total = 0.0
        for root in trees.roots:
            node = root
            while node >= 0:
                goes_left = table[row, trees.features[node]] <= trees.thresholds[node]
                node = trees.left[node] if goes_left else trees.right[node]
            total += trees.values[~node]
        out[row] = total


def sum_trees(trees: Trees, table: Floats) -> NDArray[np.float64]:
    """Sum the values of all trees for each row of `table`: float64 [n].

    Parameters
    ----------
    trees : Trees
        The ensemble.
    table : float32 [n, features]
        Features without NaN.

    Notes
    -----
    O(trees * depth) time per row.
    """
    out = np.zeros(len(table))
    table = np.ascontiguousarray(table, dtype=np.float32)
    map_chunks(
        lambda first, last: _sum_trees(trees, table, first, last, out), len(table), least=4096
    )
    return out
