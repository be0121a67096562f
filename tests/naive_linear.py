"""Slow, obvious oracles of linear item models, pairs and user interest, in dense NumPy."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Doubles = NDArray[np.float64]


def liked(rows: Sequence[Sequence[int]], n_items: int) -> Doubles:
    """Binary user-item matrix."""
    matrix = np.zeros((len(rows), n_items))
    for user, row in enumerate(rows):
        matrix[user, [item for item in row if item >= 0]] = 1.0
    return matrix


def ease_weights(matrix: Doubles, l2: float) -> Doubles:
    """Closed form of Steck (2019), equation 8."""
    inverse = np.linalg.inv(matrix.T @ matrix + l2 * np.eye(matrix.shape[1]))
    weights: Doubles = np.eye(matrix.shape[1]) - inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return weights


def walk_weights(matrix: Doubles, alpha: float, beta: float) -> Doubles:
    """Item → user → item by transition matrices to a power, over popularity to a power."""
    with np.errstate(divide="ignore", invalid="ignore"):
        to_users = np.nan_to_num(matrix.T / matrix.sum(axis=0)[:, None]) ** alpha
        to_items = np.nan_to_num(matrix / matrix.sum(axis=1)[:, None]) ** alpha
    to_users[matrix.T == 0] = 0.0
    to_items[matrix == 0] = 0.0
    weights: Doubles = to_users @ to_items / np.maximum(matrix.sum(axis=0), 1.0) ** beta
    np.fill_diagonal(weights, 0.0)
    return weights


def net_objective(matrix: Doubles, target: int, weights: Doubles, l1: float, l2: float) -> float:
    """What SLIM minimises for one item."""
    error = matrix[:, target] - matrix @ weights
    return float(0.5 * error @ error + l1 * np.abs(weights).sum() + 0.5 * l2 * weights @ weights)


def best_net_objective(
    matrix: Doubles, target: int, l1: float, l2: float, *, positive: bool
) -> float:
    """Least value of `net_objective`, by a general bounded solver: w = a - b with a, b >= 0."""
    others = [j for j in range(matrix.shape[1]) if j != target]
    n = len(others)

    def value(parts: Doubles) -> float:
        weights = np.zeros(matrix.shape[1])
        weights[others] = parts[:n] - parts[n:]
        error = matrix[:, target] - matrix @ weights
        return float(0.5 * error @ error + l1 * parts.sum() + 0.5 * l2 * weights @ weights)

    bounds = [(0, None)] * n + [(0, 0 if positive else None)] * n
    found = minimize(value, np.zeros(2 * n), bounds=bounds, method="L-BFGS-B", tol=1e-12)
    return float(found.fun)


def pair_loss(user: Doubles, items: Doubles, biases: Doubles, i: int, j: int, l2: float) -> float:
    """What one step of BPR goes down."""
    margin = user @ (items[i] - items[j]) + biases[i] - biases[j]
    squares = user @ user + items[i] @ items[i] + items[j] @ items[j]
    return float(np.log1p(np.exp(-margin)) + 0.5 * l2 * (squares + biases[i] ** 2 + biases[j] ** 2))


def interest_scores(
    history: Sequence[int], weights: Sequence[float], vectors: Doubles, half_life: float
) -> Doubles:
    """Cosine of every item with the decayed sum of a history; items are known."""
    interest = np.zeros(vectors.shape[1])
    for age, (item, weight) in enumerate(zip(history[::-1], weights[::-1], strict=True)):
        length = np.linalg.norm(vectors[item])
        if length > 0:
            interest += 0.5 ** (age / half_life) * weight * vectors[item] / length
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(interest)
    scores: Doubles = np.divide(
        vectors @ interest, lengths, out=np.zeros(len(vectors)), where=lengths > 0
    )
    return scores


def filter_weights(
    matrix: NDArray[np.float64], alpha: float, factors: int, linear: float, spectral: float
) -> NDArray[np.float64]:
    """Weights of the spectral filter, including the diagonal of its low-pass part."""
    items_of = np.maximum(matrix.sum(axis=1), 1)
    users_of = matrix.sum(axis=0)
    n = np.maximum(users_of, 1)
    normalised = matrix / np.sqrt(items_of)[:, None] / np.sqrt(n)
    near = normalised.T @ normalised
    np.fill_diagonal(near, 0)
    vectors = np.linalg.svd(normalised)[2][:factors].T
    ratio = n[None, :] / n[:, None]
    low = vectors @ vectors.T * (users_of > 0)
    return np.asarray(near * ratio**linear + alpha * low * ratio**spectral)
