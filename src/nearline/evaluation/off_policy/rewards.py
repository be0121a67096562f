"""A simple model of the reward for the direct method and the doubly robust estimators.

The prediction for an item at a position is its mean reward there, shrunk towards the item's mean
times the position's effect. Models are cross-fitted: a row is predicted by a model that saw none of
the rows of its recommendation, since otherwise DR would be biased towards the model.
"""

import numpy as np
from numpy.typing import NDArray

from nearline.evaluation.off_policy.logged import LoggedRows
from nearline.evaluation.off_policy.policies import TargetPolicy

Doubles = NDArray[np.float64]
FOLDS = 3
# Number of rows as which the shrunk-to value counts.
STRENGTH = 20.0


def predict_rewards(
    log: LoggedRows, target: TargetPolicy, rng: np.random.Generator, *, folds: int = FOLDS
) -> tuple[Doubles, Doubles] | None:
    """Predict the reward of each shown item and the mean over the target policy's choices.

    Parameters
    ----------
    log : LoggedRows
        The rows.
    target : TargetPolicy
        The policy whose choices are averaged.
    rng : Generator
        Source of the folds.
    folds : int
        Number of parts of the clusters.

    Returns
    -------
    (float64 [n], float64 [n]) or None
        None if the target policy is known for the shown items only.
    """
    if target.table is None or target.row is None:
        return None
    fold = rng.integers(folds, size=int(log.cluster.max()) + 1)[log.cluster]
    predicted, expected = np.empty(len(log.item)), np.empty(len(log.item))
    for number in range(folds):
        held = fold == number
        means = shrunk_means(log, ~held)
        predicted[held] = means[log.position[held], log.item[held]]
        averages = target.table @ means.T
        expected[held] = averages[target.row[held], log.position[held]]
    return predicted, expected


def shrunk_means(log: LoggedRows, rows: NDArray[np.bool_]) -> Doubles:
    """Return the shrunk mean reward by position and item: float64 [positions, items]."""
    shape = len(log.positions), len(log.items)
    cell = log.position[rows] * shape[1] + log.item[rows]
    size = shape[0] * shape[1]
    count = np.bincount(cell, minlength=size).reshape(shape).astype(np.float64)
    total = np.bincount(cell, weights=log.reward[rows], minlength=size).reshape(shape)
    overall = total.sum() / max(count.sum(), 1.0)
    by_item = (total.sum(axis=0) + STRENGTH * overall) / (count.sum(axis=0) + STRENGTH)
    by_position = (total.sum(axis=1) + STRENGTH * overall) / (count.sum(axis=1) + STRENGTH)
    effect = by_position / overall if overall else np.ones(shape[0])
    return np.asarray((total + STRENGTH * effect[:, None] * by_item) / (count + STRENGTH))
