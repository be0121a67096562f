"""Common parts of the factorisations of ratings.

The predicted rating of item i by user u is

    r^_ui = mean + b_u + b_i + x_u . y_i

An algorithm learns the factors y_i and biases b_i of items, and defines the fold-in that computes
(x_u, b_u) from a history. No factors of users are stored: users of the training data are folded in
from their ratings like all others, so that new ratings take effect immediately, and snapshots
contain no personal data.
"""

from abc import abstractmethod
from typing import NamedTuple

import numpy as np
from msgspec import Struct

from nearline.common.scipy import scipy_module
from nearline.data.dataset import FloatArray, Histories, IntArray
from nearline.errors import InvalidInput, NotTrained
from nearline.kernels.blas import COMPILED
from nearline.kernels.ridge import Targets, solve_rows
from nearline.kernels.sets import Sets
from nearline.models.base import Arrays, Ranking, check_indices, check_k
from nearline.models.dense_scores import rank_cosines
from nearline.models.rating_model import Doubles, RatingModel, predict_pairs

# Number of users that are folded in at a time.
BLOCK = 512


class Users(NamedTuple):
    """Factors, float64 [n, f], and biases, float64 [n], of users or items."""

    factors: Doubles
    biases: Doubles


class FactorModel(RatingModel):
    """Abstract base class of the factorisations of ratings.

    A subclass implements `_learn` and `_fold_in`.

    Attributes
    ----------
    item_factors : float64 [n_items, f]
        Factors y_i; zero for an item without ratings.
    item_biases : float64 [n_items]
        Biases b_i.
    """

    def __init__(self, config: Struct | None = None) -> None:
        super().__init__(config)
        self.item_factors: Doubles = np.zeros((0, 1))
        self.item_biases: Doubles = np.zeros(0)

    @abstractmethod
    def _fold_in(self, histories: Histories) -> Users:
        """Compute factors and biases of users from histories of known items, which may repeat."""

    @property
    def n_items(self) -> int:
        """Number of items that the model can score."""
        return len(self.item_factors)

    def user_factors(self, histories: Histories) -> Users:
        """Compute factors and biases of users from their ratings; unknown items are ignored.

        Raises
        ------
        InvalidInput
            A rating (a weight of the histories) is not finite.
        """
        known = (histories.items >= 0) & (histories.items < self.n_items)
        if not np.isfinite(histories.weights[known]).all():
            raise InvalidInput("a rating is not finite; leave it out", field="histories")
        return self._fold_in(histories.take(known))

    def predict(self, users: IntArray, items: IntArray) -> FloatArray:
        """Predict ratings of n pairs of users and items of the training data: float32 [n].

        Predictions are clipped to the range of the ratings in the training data.
        """
        if self.fitted_on is None:
            raise NotTrained("this model knows no users; fit it, or score their histories")
        ratings = predict_pairs(
            self.fitted_on, users, items, self._rate, n_items=self.n_items, block=BLOCK
        )
        return np.clip(ratings, *self.bounds).astype(np.float32)

    def score_many(self, histories: Histories) -> FloatArray:
        """Predict the ratings of all items for each history: float32 [n_users, n_items].

        They are not clipped to the range of ratings, since clipping would create ties.
        """
        users = self.user_factors(histories)
        scores = users.factors @ self.item_factors.T
        scores += users.biases[:, None] + (self.item_biases + self.mean)
        return scores.astype(np.float32)

    def similar(self, items: IntArray, k: int) -> Ranking:
        """Find the k items most similar to each given item, by the cosine of their factors.

        An item is not among its own neighbours, and only cosines above 0 are returned.
        """
        check_k(k)
        check_indices(items, self.n_items, "items")
        return rank_cosines(self.item_factors, items, k)

    def arrays(self) -> Arrays:
        """Return the factors and biases of items, the mean and the bounds of ratings."""
        return {
            "item_factors": self.item_factors,
            "item_biases": self.item_biases,
            "mean_and_bounds": np.array([self.mean, *self.bounds]),
        }

    def _load(self, arrays: Arrays) -> None:
        self.item_factors, self.item_biases = arrays["item_factors"], arrays["item_biases"]
        mean, low, high = arrays["mean_and_bounds"].tolist()
        self.mean, self.bounds = mean, (low, high)

    def _rate(self, histories: Histories, wanted: Sets) -> Doubles:
        """Predict ratings of some items for each history: float64 [len(wanted.items)]."""
        users = self.user_factors(histories)
        rows = np.repeat(np.arange(len(histories)), np.diff(wanted.indptr))
        inner = np.einsum("nf,nf->n", users.factors[rows], self.item_factors[wanted.items])
        ratings: Doubles = users.biases[rows] + self.item_biases[wanted.items] + inner + self.mean
        return ratings


def with_ones(factors: Doubles) -> Doubles:
    """Append a column of ones to factors [n, f], whose coefficient is a bias: [n, f + 1]."""
    return np.column_stack((factors, np.ones(len(factors))))


def penalties(factors: int, l2: float, bias_l2: float) -> Doubles:
    """Return the diagonal penalty matrix of the factors and the bias, which is last."""
    return np.diag(np.append(np.full(factors, l2), bias_l2))


def solve_users(
    targets: Targets, factors: Doubles, *, l2: float, bias_l2: float, scales: Doubles
) -> Users:
    """Compute the factors and bias of each row by ridge regression.

    Parameters
    ----------
    targets : Targets
        Ratings of each row, minus the mean and the biases of the columns.
    factors : float64 [m, f]
        Factors of the columns.
    l2, bias_l2 : float
        Penalties on the factors and on the bias.
    scales : float64 [n]
        Factor of both penalties for each row.

    Raises
    ------
    InvalidInput
        The penalties are so small that a row has no unique solution.
    MissingExtra
        SciPy is not installed.
    """
    scipy_module(COMPILED, "a model of ratings (als, svdpp, hybrid_ratings)")
    precision = penalties(factors.shape[1], l2, bias_l2)
    try:
        solved = solve_rows(targets, with_ones(factors), precision, scales=scales)
    except np.linalg.LinAlgError:
        raise InvalidInput(
            f"the equations are singular with l2={l2:g} and bias_l2={bias_l2:g}; raise both",
            field="l2",
        ) from None
    return Users(np.ascontiguousarray(solved[:, :-1]), solved[:, -1].copy())


def targets_of(histories: Histories, mean: float, biases: Doubles) -> Targets:
    """Return the ratings of each user, minus the mean and the biases of the items."""
    values = histories.weights.astype(np.float64) - mean - biases[histories.items]
    return Targets(histories.indptr, histories.items, values)
