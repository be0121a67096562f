"""Sums of regression trees, evaluated from flat arrays."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.chunks import map_chunks

Floats = NDArray[np.float32]


class Trees(NamedTuple):
    """Trees one after the other.

    Attributes
    ----------
    roots : int32 [t]
        Node where each tree begins; ``~leaf`` for a tree of a single leaf.
    features : int32 [m]
        Column that a node looks at.
    thresholds : float64 [m]
        Values up to this go left.
    left, right : int32 [m]
        Next node, or ``~leaf``.
    values : float64 [leaves]
        What a leaf adds.
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
    """Sum of all trees for each row of `table` [n, features], without NaN: float64 [n].

    Notes
    -----
    O(trees * depth) a row.
    """
    out = np.zeros(len(table))
    table = np.ascontiguousarray(table, dtype=np.float32)
    map_chunks(
        lambda first, last: _sum_trees(trees, table, first, last, out), len(table), least=4096
    )
    return out
