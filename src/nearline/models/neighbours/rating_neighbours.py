"""What item-based and user-based neighbourhoods of ratings share.

    r^_uj = offset + scale * sum of s * (r - offset') / scale' over neighbours / sum of s

The neighbours are the k most similar that bear on the pair: items that u rated, or users who rated
j. Offset and scale are the item's or the user's mean and deviation, or the baseline
``mean + b_u + b_j``; where there is no neighbour, the baseline is the prediction.
"""

from abc import abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nearline.data.dataset import Dataset, FloatArray, Histories, IntArray
from nearline.errors import InvalidInput, NotTrained
from nearline.kernels.corated import Affinity
from nearline.kernels.ridge import Targets
from nearline.kernels.sets import Sets, newest
from nearline.models.base import Range, RatingModel, Space
from nearline.models.dense_scores import DenseModel
from nearline.models.factors.factor_model import check_indices
from nearline.models.settings import require, require_one_of

Doubles = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]

MEASURES = ("cosine", "adjusted_cosine", "pearson", "pearson_baseline")
PREDICTIONS = ("average", "mean", "zscore", "baseline")
# Neighbours for None: more than there are.
ALL = 2**31 - 1
# Users predicted for at a time.
BLOCK = 128


class NeighbourConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings that both neighbourhoods have; their own classes say what each means."""

    measure: str = "pearson_baseline"
    prediction: str = "baseline"
    neighbours: int | None = 40
    threshold: float = 0.0
    shrinkage: float = 100.0
    item_l2: float = 10.0
    user_l2: float = 15.0
    sweeps: int = 10

    def __post_init__(self) -> None:
        require_one_of(self, "measure", MEASURES)
        require_one_of(self, "prediction", PREDICTIONS)
        if self.neighbours is not None:
            require(self, "neighbours", 1)
        for field in ("threshold", "shrinkage", "item_l2", "user_l2", "sweeps"):
            require(self, field, 0)


class Side(NamedTuple):
    """Means and standard deviations of the ratings of each user or item, float64 [n]."""

    means: Doubles
    deviations: Doubles

    def at(self, places: NDArray[Any]) -> "Side":
        """Return those of some users or items, repeats and all."""
        return Side(self.means[places], self.deviations[places])


class RatingNeighbours(DenseModel, RatingModel):
    """Base of both neighbourhoods. A subclass writes `_learn` and `_near_means`.

    Attributes
    ----------
    mean : float
        Mean rating of the fit.
    bounds : (float, float)
        Least and largest rating of the fit: predictions are clipped to them.
    """

    # Whether neighbours are users; else they are items.
    by_user: ClassVar[bool]
    space: ClassVar[Space] = {
        "measure": MEASURES,
        "prediction": PREDICTIONS,
        "neighbours": Range(5, 200, log=True),
        "shrinkage": Range(0.0, 300.0),
    }

    def __init__(self, config: Struct | None = None) -> None:
        super().__init__(config)
        self.mean, self.bounds, self._deviation = 0.0, (0.0, 0.0), 1.0
        self._item_biases: Doubles = np.zeros(0)
        self._items = Side(np.zeros(0), np.zeros(0))

    @abstractmethod
    def _near_means(self, known: Histories, wanted: Sets) -> Doubles:
        """Weighted means over neighbours, float64 [len(wanted.items)]; NaN without any."""

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self._item_biases)

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
        users, items = np.asarray(users), np.asarray(items)
        check_indices(users, len(self.fitted_on), "users")
        check_indices(items, self.n_items, "items")
        distinct, row = np.unique(users, return_inverse=True)
        order = np.argsort(row, kind="stable")
        places = np.searchsorted(row[order], np.arange(len(distinct) + 1)).astype(np.int64)
        ratings = np.empty(len(users))
        for first in range(0, len(distinct), BLOCK):
            some = distinct[first : first + BLOCK]
            bounds = places[first : first + len(some) + 1]
            pairs = order[bounds[0] : bounds[-1]]
            wanted = Sets(bounds - bounds[0], items[pairs].astype(np.int32))
            ratings[pairs] = self._rate(self.fitted_on.select(some), wanted)
        return np.clip(ratings, *self.bounds).astype(np.float32)

    def score_many(self, histories: Histories) -> FloatArray:
        """Ratings that are not clipped, float32 [n_users, n_items]: clipping would make ties.

        Raises
        ------
        InvalidInput
            A rating (a weight of the histories) is not finite.
        """
        n, n_items = len(histories), self.n_items
        every = np.tile(np.arange(n_items, dtype=np.int32), n)
        wanted = Sets(np.arange(n + 1, dtype=np.int64) * n_items, every)
        ratings = self._rate(self._known(histories), wanted)
        return ratings.reshape(n, n_items).astype(np.float32)

    @property
    def _affinity(self) -> Affinity:
        config = self.config
        centred = config.measure == "pearson"
        return Affinity(centred, float(config.shrinkage), float(config.threshold), ALL)

    @property
    def _k(self) -> int:
        return self.config.neighbours or ALL

    def _known(self, histories: Histories) -> Histories:
        """Newest rating of each known item; refuse one that is not finite."""
        inside = (histories.items >= 0) & (histories.items < self.n_items)
        known = histories.take(inside & newest(histories.indptr, histories.items))
        if not np.isfinite(known.weights).all():
            raise InvalidInput("a rating is not finite; leave it out", field="histories")
        return known

    def _rate(self, known: Histories, wanted: Sets) -> Doubles:
        """Ratings, not clipped, of the wanted items of each history: float64, as wanted."""
        means = self._near_means(known, wanted)
        rows = np.repeat(np.arange(len(known)), np.diff(wanted.indptr))
        baseline = self.mean + self._user_biases(known)[rows] + self._item_biases[wanted.items]
        own = self._users(known).at(rows) if self.by_user else self._items.at(wanted.items)
        offsets, scales = self._frame(own, baseline)
        return np.where(np.isnan(means), baseline, offsets + scales * means)

    def _frame(self, own: Side, baseline: Doubles) -> tuple[Doubles, Doubles]:
        """Offset and scale of ratings, by the kind of prediction."""
        ones = np.ones(len(baseline))
        if self.config.prediction == "average":
            return np.zeros(len(baseline)), ones
        if self.config.prediction == "baseline":
            return baseline, ones
        return own.means, own.deviations if self.config.prediction == "zscore" else ones

    def _deviations(self, known: Histories) -> Targets:
        """Distances of ratings from their offsets, in their scales: what is averaged."""
        rows = _row_of_each(known)
        own = self._users(known).at(rows) if self.by_user else self._items.at(known.items)
        offsets, scales = self._frame(own, self._baseline(known))
        return Targets(known.indptr, known.items, (known.weights - offsets) / scales)

    def _residuals(self, known: Histories) -> Targets:
        """Return what the measure compares: ratings, or what some mean leaves of them."""
        values = known.weights.astype(np.float64)
        if self.config.measure == "pearson_baseline":
            values -= self._baseline(known)
        elif self.config.measure == "adjusted_cosine":
            users = self._users(known).means[_row_of_each(known)]
            values -= self._items.means[known.items] if self.by_user else users
        return Targets(known.indptr, known.items, values)

    def _users(self, known: Histories) -> Side:
        return _side(_row_of_each(known), known.weights, len(known), self.mean, self._deviation)

    def _user_biases(self, known: Histories) -> Doubles:
        left = known.weights - self.mean - self._item_biases[known.items]
        return _shrunken_mean(_row_of_each(known), left, len(known), self.config.user_l2)

    def _baseline(self, known: Histories) -> Doubles:
        biases = self._user_biases(known)[_row_of_each(known)]
        return self.mean + biases + self._item_biases[known.items]

    def _learn_baseline(self, data: Dataset) -> Histories:
        """Learn mean, bounds and biases from rated data, and return its histories.

        Raises
        ------
        InvalidInput
            The data has no rating.
        """
        rated = data.rated().histories
        ratings = rated.weights.astype(np.float64)
        if len(ratings) == 0:
            raise InvalidInput(
                "the data has no finite rating; fill the column 'value', or use a model of events",
                field="value",
            )
        self.mean = float(ratings.mean())
        self.bounds = (float(ratings.min()), float(ratings.max()))
        self._deviation = float(ratings.std()) or 1.0
        rows, biases = _row_of_each(rated), np.zeros(len(rated))
        for _ in range(self.config.sweeps):
            left = ratings - self.mean - biases[rows]
            self._item_biases = _shrunken_mean(rated.items, left, data.n_items, self.config.item_l2)
            biases = self._user_biases(rated)
        self._items = _side(rated.items, ratings, data.n_items, self.mean, self._deviation)
        return rated

    def _base_arrays(self) -> Arrays:
        return {
            "item_biases": self._item_biases,
            "item_means": self._items.means,
            "item_deviations": self._items.deviations,
            "mean_bounds_deviation": np.array([self.mean, *self.bounds, self._deviation]),
        }

    def _load_base(self, arrays: Arrays) -> None:
        self._item_biases = arrays["item_biases"]
        self._items = Side(arrays["item_means"], arrays["item_deviations"])
        mean, low, high, deviation = arrays["mean_bounds_deviation"].tolist()
        self.mean, self.bounds, self._deviation = mean, (low, high), deviation


def _row_of_each(histories: Histories) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(histories), dtype=np.int64), np.diff(histories.indptr))


def _shrunken_mean(keys: NDArray[Any], values: Doubles, n: int, l2: float) -> Doubles:
    """Sum of the values of each key over (their number + l2); 0 for keys without any."""
    sums = np.bincount(keys, values, minlength=n)
    weights = np.bincount(keys, minlength=n) + l2
    return np.asarray(sums / np.where(weights > 0, weights, 1.0), dtype=np.float64)


def _side(keys: NDArray[Any], ratings: Any, n: int, mean: float, deviation: float) -> Side:
    """Mean and deviation by key; those of all ratings where there are none, or all are equal."""
    counts = np.bincount(keys, minlength=n)
    means = np.full(n, mean)
    np.divide(np.bincount(keys, ratings, minlength=n), counts, out=means, where=counts > 0)
    squares = np.bincount(keys, (ratings - means[keys]) ** 2, minlength=n)
    spread = np.sqrt(squares / np.maximum(counts, 1))
    return Side(means, np.where(spread > 0, spread, deviation))
