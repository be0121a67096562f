"""Common parts of models that predict ratings on a scale, such as 1 to 5 stars."""

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nearline.common.progress import Progress, no_progress
from nearline.data.dataset import Dataset, FloatArray, Histories, IntArray
from nearline.errors import InvalidInput
from nearline.kernels.ridge import Targets
from nearline.kernels.sets import Sets
from nearline.models.base import check_indices
from nearline.models.dense_scores import DenseModel

Doubles = NDArray[np.float64]


class RatingModel(DenseModel):
    """Abstract base class of models of ratings, for which the weights of histories are ratings.

    A subclass implements `_learn` and `predict`.

    Attributes
    ----------
    mean : float
        Mean rating of the training data.
    bounds : (float, float)
        Smallest and largest rating of the training data; predictions are clipped to them.
    """

    needs_ratings: ClassVar[bool] = True

    def __init__(self, config: Struct | None = None) -> None:
        super().__init__(config)
        self.mean = 0.0
        self.bounds = (0.0, 0.0)

    def fit(
        self,
        data: Dataset,
        *,
        validation: Histories | None = None,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Self:
        """Train on the ratings in ``data.rated()``; `validation` is not used.

        Raises
        ------
        InvalidInput
            The data contains no finite rating, or the settings allow no solution.
        """
        del validation
        rated = data.rated()
        if rated.n_interactions == 0:
            raise InvalidInput(
                "the data has no finite rating; fill the column 'value', or use a model of events",
                field="value",
            )
        self._learn_scale(rated.histories.weights)
        self._learn(rated, seed, progress)
        self.fitted_on = rated.histories
        return self

    @abstractmethod
    def predict(self, users: IntArray, items: IntArray) -> FloatArray:
        """Predict the ratings of n pairs of a user and an item of the training data.

        Parameters
        ----------
        users, items : int32 [n]
            Indices of users and items in the training data.

        Returns
        -------
        float32 [n]
            Predictions, clipped to `bounds`. For a user or item without ratings, a prediction is
            based on the ratings of the other, or on the mean of all ratings.

        Raises
        ------
        NotTrained
            The model was not trained in this process, so it knows no users.
        InvalidInput
            An index is not in the training data.
        """

    @abstractmethod
    def _learn(self, rated: Dataset, seed: int, progress: Progress) -> None:
        """Learn from data with ratings; `mean` and `bounds` are already set."""

    def _learn_scale(self, ratings: NDArray[np.floating]) -> None:
        """Set `mean` and `bounds` from the ratings."""
        self.mean = float(ratings.mean(dtype=np.float64))
        self.bounds = (float(ratings.min()), float(ratings.max()))


def predict_pairs(
    histories: Histories,
    users: IntArray,
    items: IntArray,
    rate: Callable[[Histories, Sets], Doubles],
    *,
    n_items: int,
    block: int,
) -> Doubles:
    """Predict the ratings of n pairs of users and items, in blocks of users: float64 [n].

    Parameters
    ----------
    histories : Histories
        Ratings of all users.
    users, items : int32 [n]
        Pairs, in any order.
    rate : callable
        Returns the ratings of the wanted items, float64 [wanted], given histories and the set of
        wanted items for each.
    n_items : int
        Number of items.
    block : int
        Number of users in a call of `rate`.

    Raises
    ------
    InvalidInput
        An index is not in the range of `histories` or `n_items`.
    """
    users, items = np.asarray(users), np.asarray(items)
    check_indices(users, len(histories), "users")
    check_indices(items, n_items, "items")
    distinct, row = np.unique(users, return_inverse=True)
    order = np.argsort(row, kind="stable")
    starts = np.searchsorted(row[order], np.arange(len(distinct) + 1)).astype(np.int64)
    ratings = np.empty(len(users))
    for first in range(0, len(distinct), block):
        some = distinct[first : first + block]
        bounds = starts[first : first + len(some) + 1]
        pairs = order[bounds[0] : bounds[-1]]
        wanted = Sets(bounds - bounds[0], items[pairs].astype(np.int32))
        ratings[pairs] = rate(histories.select(some), wanted)
    return ratings


def ratings_by_item(histories: Histories, n_items: int) -> tuple[Targets, NDArray[np.int64]]:
    """Return the transpose of ratings: one row per item, with users as columns.

    Returns
    -------
    Targets
        Ratings by item.
    int64 [n_ratings]
        Position of each of these ratings in `histories`.
    """
    order = np.argsort(histories.items, kind="stable")
    counts = np.bincount(histories.items, minlength=n_items)
    users = np.repeat(np.arange(len(histories), dtype=np.int32), np.diff(histories.indptr))
    indptr = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return Targets(indptr, users[order], histories.weights[order].astype(np.float64)), order
