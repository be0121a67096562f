"""Slow, obvious oracles of implicit ALS and of search by inner products: dense matrices, no tricks.

Weights are a dense matrix [n_users, n_items]; 0 stands for a pair without events.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Matrix = NDArray[Any]


def solve(weights: Matrix, fixed: Matrix, *, alpha: float, l2: float) -> Doubles:
    """Factors of the rows of `weights`, given those of its columns."""
    solved = np.zeros((len(weights), fixed.shape[1]))
    for row, values in enumerate(weights):
        confidence = np.diag(1 + alpha * np.abs(values))
        left = fixed.T @ confidence @ fixed + l2 * np.eye(fixed.shape[1])
        solved[row] = np.linalg.solve(left, fixed.T @ confidence @ (values > 0).astype(float))
    return solved


def als(
    weights: Doubles, start: Doubles, *, sweeps: int, alpha: float, l2: float
) -> tuple[Doubles, Doubles]:
    """Factors of users and items after some sweeps from item factors `start`."""
    y = start.astype(np.float64)
    for _ in range(sweeps):
        x = solve(weights, y, alpha=alpha, l2=l2)
        y = solve(weights.T, x, alpha=alpha, l2=l2)
    return x, y


def loss(weights: Doubles, x: Doubles, y: Doubles, *, alpha: float, l2: float) -> float:
    """Weighted squared errors of all pairs and penalties, divided by the sum of confidences."""
    confidence = 1 + alpha * np.abs(weights)
    total = (confidence * ((weights > 0) - x @ y.T) ** 2).sum()
    return float((total + l2 * ((x**2).sum() + (y**2).sum())) / confidence.sum())


def top_products(
    query: Matrix,
    items: Matrix,
    k: int,
    *,
    barred: Sequence[int] = (),
    above: float = -np.inf,
) -> list[tuple[int, float]]:
    """Up to k pairs of item and product, best first, ties by lower index."""
    scores = {i: float(np.dot(query, row)) for i, row in enumerate(items) if i not in barred}
    kept = [(item, score) for item, score in scores.items() if score > above]
    return sorted(kept, key=lambda pair: (-pair[1], pair[0]))[:k]
