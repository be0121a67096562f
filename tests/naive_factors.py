"""Slow, obvious oracles of the factorisations and of how hybrids combine lists."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Rated = Sequence[Sequence[tuple[int, float]]]


def ridge(row: Sequence[tuple[int, float]], factors: Doubles, precision: Doubles) -> Doubles:
    """Minimise the squared errors of one row plus x' precision x, by the normal equations."""
    left, right = precision.copy(), np.zeros(len(precision))
    for column, target in row:
        left += np.outer(factors[column], factors[column])
        right += target * factors[column]
    return np.asarray(np.linalg.solve(left, right), dtype=np.float64)


def als(
    rows: Rated,
    start: Doubles,
    *,
    sweeps: int,
    l2: float,
    bias_l2: float,
    weighting: float,
) -> Doubles:
    """Predictions of biased ALS for every pair, from dense matrices with a mask: [n, m]."""
    n, (m, f) = len(rows), start.shape
    ratings, known = np.zeros((n, m)), np.zeros((n, m), dtype=bool)
    for user, row in enumerate(rows):
        for item, rating in row:
            ratings[user, item], known[user, item] = rating, True
    mean = ratings[known].mean()
    x, b_u = np.zeros((n, f)), np.zeros(n)
    y, b_i = start.copy(), np.zeros(m)

    def half(left: Doubles, seen: NDArray[np.bool_], other: Doubles) -> tuple[Doubles, Doubles]:
        solved = np.zeros((len(left), f + 1))
        for at in range(len(left)):
            if seen[at].any():
                design = np.column_stack((other, np.ones(len(other))))[seen[at]]
                penalty = np.diag([*[l2] * f, bias_l2]) * seen[at].sum() ** weighting
                solved[at] = np.linalg.solve(
                    design.T @ design + penalty, design.T @ left[at][seen[at]]
                )
        return solved[:, :f], solved[:, f]

    for _ in range(sweeps):
        x, b_u = half(ratings - mean - b_i, known, y)
        y, b_i = half((ratings - mean).T - b_u, known.T, x)
    x, b_u = half(ratings - mean - b_i, known, y)
    return np.asarray(mean + b_u[:, None] + b_i + x @ y.T)


def svdpp_pass(
    rows: Rated,
    b_u: Doubles,
    b_i: Doubles,
    p: Doubles,
    q: Doubles,
    z: Doubles,
    *,
    step: float,
    l2: float,
    bias_l2: float,
    implicit_l2: float,
) -> None:
    """One pass of descent in place, users and ratings in order; z moves once a user."""
    for user, row in enumerate(rows):
        if not row:
            continue
        share = len(row) ** -0.5
        implicit = share * sum(z[item] for item, _ in row)
        gradient = np.zeros_like(implicit)
        for item, rating in row:
            whole = p[user] + implicit
            error = rating - b_u[user] - b_i[item] - whole @ q[item]
            gradient += error * q[item]
            b_u[user] += step * (error - bias_l2 * b_u[user])
            b_i[item] += step * (error - bias_l2 * b_i[item])
            old = q[item].copy()
            q[item] += step * (error * whole - l2 * old)
            p[user] += step * (error * old - l2 * p[user])
        for item, _ in row:
            z[item] += step * (share * gradient - implicit_l2 * len(row) * z[item])


def reciprocal_ranks(
    lists: Sequence[Sequence[int]], weights: Sequence[float], smoothing: float
) -> dict[int, float]:
    """Reciprocal-rank fusion of some lists."""
    scores: dict[int, float] = defaultdict(float)
    for row, weight in zip(lists, weights, strict=True):
        for rank, item in enumerate(row, start=1):
            scores[item] += weight / (smoothing + rank)
    return dict(scores)


def ndcg(row: Sequence[int], relevant: set[int], k: int) -> float:
    """Binary NDCG of one list."""
    gains = sum(1 / np.log2(r + 1) for r, item in enumerate(row[:k], 1) if item in relevant)
    return float(gains / sum(1 / np.log2(r + 1) for r in range(1, min(k, len(relevant)) + 1)))
