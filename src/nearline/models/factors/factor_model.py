"""What all factorisations of ratings share: a rating is a baseline plus one inner product.

    r^_ui = mean + b_u + b_i + x_u . y_i

An algorithm brings the item side (b_i, y_i) and the fold-in that makes (x_u, b_u) of any history.
No factors of users are kept: users of the fit are folded in from their ratings like everybody else,
so that a new rating counts at once and a snapshot holds no personal data.
"""

from abc import abstractmethod
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nearline.data.dataset import Dataset, FloatArray, Histories, IntArray
from nearline.errors import InvalidInput, NotTrained
from nearline.kernels.ridge import Targets, solve_rows
from nearline.models.base import Ranking, RatingModel, check_k
from nearline.models.dense_scores import DenseModel, rank_cosines

Doubles = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]

# Users folded in at a time.
BLOCK = 512


class Users(NamedTuple):
    """What a fold-in makes of n histories: factors float64 [n, f] and biases float64 [n]."""

    factors: Doubles
    biases: Doubles


class FactorModel(DenseModel, RatingModel):
    """Base of the factorisations. A subclass writes `fit` and `_fold_in`.

    Attributes
    ----------
    item_factors : float64 [n_items, f]
        y_i; zero for an item without ratings.
    item_biases : float64 [n_items]
        b_i.
    mean : float
        Mean rating of the fit.
    bounds : (float, float)
        Least and largest rating of the fit: predictions are clipped to them.
    """

    def __init__(self, config: Struct | None = None) -> None:
        super().__init__(config)
        self.item_factors: Doubles = np.zeros((0, 1))
        self.item_biases: Doubles = np.zeros(0)
        self.mean = 0.0
        self.bounds = (0.0, 0.0)

    @abstractmethod
    def _fold_in(self, histories: Histories) -> Users:
        """Make factors and biases of histories of known items, repeats and all."""

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.item_factors)

    def user_factors(self, histories: Histories) -> Users:
        """Fold users in: their factors and biases, from their ratings alone.

        Items that are unknown (-1, or past the catalogue) are passed over.

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
        """Ratings for pairs of users and items of the fitted data, float32 [n], clipped.

        Raises
        ------
        NotTrained
            The model was not fitted in this process.
        InvalidInput
            An index is not one of the fitted data.
        """
        if self.fitted_on is None:
            raise NotTrained("this model knows no users; fit it, or score their histories")
        check_indices(users, len(self.fitted_on), "users")
        check_indices(items, self.n_items, "items")
        distinct, row = np.unique(users, return_inverse=True)
        ratings = np.empty(len(users))
        order = np.argsort(row, kind="stable")
        edges = np.searchsorted(row[order], np.arange(0, len(distinct) + BLOCK, BLOCK))
        for at, (first, last) in enumerate(pairwise(edges)):
            some = self.user_factors(self.fitted_on.select(distinct[at * BLOCK :][:BLOCK]))
            pairs = order[first:last]
            of = row[pairs] - at * BLOCK
            inner = np.einsum("nf,nf->n", some.factors[of], self.item_factors[items[pairs]])
            ratings[pairs] = some.biases[of] + self.item_biases[items[pairs]] + inner
        return np.clip(ratings + self.mean, *self.bounds).astype(np.float32)

    def score_many(self, histories: Histories) -> FloatArray:
        """Ratings that are not clipped, float32 [n_users, n_items]: clipping would make ties."""
        users = self.user_factors(histories)
        scores = users.factors @ self.item_factors.T
        scores += users.biases[:, None] + (self.item_biases + self.mean)
        return scores.astype(np.float32)

    def similar(self, items: IntArray, k: int) -> Ranking:
        """Items whose factors have the largest cosine; only those above 0."""
        check_k(k)
        check_indices(items, self.n_items, "items")
        return rank_cosines(self.item_factors, items, k)

    def arrays(self) -> Arrays:
        """Return the item side, the mean and the bounds."""
        return {
            "item_factors": self.item_factors,
            "item_biases": self.item_biases,
            "mean_and_bounds": np.array([self.mean, *self.bounds]),
        }

    def _load(self, arrays: Arrays) -> None:
        self.item_factors, self.item_biases = arrays["item_factors"], arrays["item_biases"]
        mean, low, high = arrays["mean_and_bounds"].tolist()
        self.mean, self.bounds = mean, (low, high)

    def _learn_scale(self, data: Dataset) -> None:
        """Take users, mean and bounds from rated data; refuse data without ratings."""
        ratings = data.histories.weights
        if len(ratings) == 0:
            raise InvalidInput(
                "the data has no finite rating; fill the column 'value', or use a model of events",
                field="value",
            )
        self.fitted_on = data.histories
        self.mean = float(ratings.mean(dtype=np.float64))
        self.bounds = (float(ratings.min()), float(ratings.max()))


def with_ones(factors: Doubles) -> Doubles:
    """Add a factor that is 1: what it is multiplied by is a bias."""
    return np.column_stack((factors, np.ones(len(factors))))


def penalties(factors: int, l2: float, bias_l2: float) -> Doubles:
    """Make the penalty of factors and, last, of the bias, as a matrix."""
    return np.diag(np.append(np.full(factors, l2), bias_l2))


def solve_users(
    targets: Targets, factors: Doubles, *, l2: float, bias_l2: float, scales: Doubles
) -> Users:
    """Solve factors and bias of each row given the factors of the other side.

    Raises
    ------
    InvalidInput
        The penalties are so small that some row has no single solution.
    """
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
    """Residuals of the ratings under mean and item biases, by user."""
    values = histories.weights.astype(np.float64) - mean - biases[histories.items]
    return Targets(histories.indptr, histories.items, values)


def transpose(histories: Histories, n_items: int) -> tuple[Targets, NDArray[np.int64]]:
    """Ratings by item: a row an item, its columns users; and where each stood in `histories`."""
    order = np.argsort(histories.items, kind="stable")
    counts = np.bincount(histories.items, minlength=n_items)
    users = np.repeat(np.arange(len(histories), dtype=np.int32), np.diff(histories.indptr))
    indptr = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return Targets(indptr, users[order], histories.weights[order].astype(np.float64)), order


def check_indices(indices: IntArray, n: int, what: str) -> None:
    """Refuse an index that is not one of n."""
    wrong = (indices < 0) | (indices >= n)
    if wrong.any():
        raise InvalidInput(
            f"{what} holds the index {indices[wrong][0]}; known are 0 to {n - 1}", field=what
        )
