"""Evaluation of ensembles of regression trees, which are stored in arrays."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.chunks import map_chunks

Floats = NDArray[np.float32]


class Trees(NamedTuple):
    """Ensemble of t regression trees with m nodes in total.

    Attributes
    ----------
    roots : int32 [t]
        Root node of each tree; for a tree that consists of one leaf, ``~leaf`` (-1 - leaf).
    features : int32 [m]
        Feature that each node compares with its threshold.
    thresholds : float64 [m]
        Threshold of each node: for values up to the threshold, the left child is next.
    left, right : int32 [m]
        Children of each node: a node, or ``~leaf`` for a leaf.
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
    """Sum the values of all trees for each of n rows of features: float64 [n].

    Parameters
    ----------
    trees : Trees
        The ensemble.
    table : float32 [n, features]
        Features of each row; NaN is not allowed.

    Notes
    -----
    The time for a row is O(trees * depth).
    """
    out = np.zeros(len(table))
    table = np.ascontiguousarray(table, dtype=np.float32)
    map_chunks(
        lambda first, last: _sum_trees(trees, table, first, last, out), len(table), least=4096
    )
    return out
