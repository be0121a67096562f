"""Common parts of item-based and user-based nearest neighbours of ratings.

The predicted rating of item j by user u is

    r^_uj = offset + scale * sum of s * (r - offset') / scale' over neighbours / sum of s

where s is the similarity of a neighbour and r its rating. The neighbours are the k most similar
among the items that u rated, or among the users who rated j. Offset and scale are the mean and
standard deviation of the item or user, or the baseline ``mean + b_u + b_j`` and 1. Without
neighbours, the prediction is the baseline.
"""

from abc import abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nearline.common.progress import Progress
from nearline.data.dataset import Dataset, FloatArray, Histories, IntArray
from nearline.errors import InvalidInput, NotTrained
from nearline.kernels.corated import Affinity
from nearline.kernels.edges import Rows
from nearline.kernels.ridge import Targets
from nearline.kernels.sets import Sets, newest
from nearline.models.base import Arrays, Range, Ranking, Space, check_indices, check_k
from nearline.models.rating_model import Doubles, RatingModel, predict_pairs
from nearline.models.settings import require, require_one_of

MEASURES = ("cosine", "adjusted_cosine", "pearson", "pearson_baseline")
PREDICTIONS = ("average", "mean", "zscore", "baseline")
# Maximum number of neighbours if the settings have none.
ALL = 2**31 - 1
# Number of users whose ratings are predicted at a time.
BLOCK = 128


class NeighbourConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of both nearest-neighbour models, which are described in the subclasses."""

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
            require(self, "neighbours", 1, 100_000)
        require(self, "threshold", 0, 1)
        for field in ("shrinkage", "item_l2", "user_l2"):
            require(self, field, 0, 1e9)
        require(self, "sweeps", 0, 10_000)


class Side(NamedTuple):
    """Means and standard deviations of the ratings of n users or items: float64 [n] each."""

    means: Doubles
    deviations: Doubles

    def at(self, indices: NDArray[Any]) -> "Side":
        """Return the values of some users or items."""
        return Side(self.means[indices], self.deviations[indices])


class RatingNeighbours(RatingModel):
    """Abstract base class of both nearest-neighbour models of ratings.

    A subclass implements `_learn_neighbours`, `_near_means` and `_similar_items`.
    """

    # Whether neighbours are users; otherwise they are items.
    by_user: ClassVar[bool]
    space: ClassVar[Space] = {
        "measure": MEASURES,
        "prediction": PREDICTIONS,
        "neighbours": Range(5, 200, log=True),
        "shrinkage": Range(0.0, 300.0),
    }

    def __init__(self, config: Struct | None = None) -> None:
        super().__init__(config)
        self._deviation = 1.0
        self._item_biases: Doubles = np.zeros(0)
        self._items = Side(np.zeros(0), np.zeros(0))

    @abstractmethod
    def _learn_neighbours(self, rated: Histories) -> None:
        """Learn the neighbours from ratings, one row per user; the baseline is already known."""

    @abstractmethod
    def _near_means(self, known: Histories, wanted: Sets) -> Doubles:
        """Return means over neighbours of each wanted pair: float64 [pairs], NaN without any."""

    @abstractmethod
    def _similar_items(self, items: IntArray, k: int) -> Ranking:
        """Return the `k` most similar items of each of some known items."""

    @property
    def n_items(self) -> int:
        """Number of items that the model can score."""
        return len(self._item_biases)

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

    def similar(self, items: IntArray, k: int) -> Ranking:
        """Return the `k` most similar items of each item, by the measure of the settings."""
        check_k(k)
        asked = np.asarray(items, dtype=np.int32)
        check_indices(asked, self.n_items, "items")
        return self._similar_items(asked, k)

    def score_many(self, histories: Histories) -> FloatArray:
        """Predict the ratings of all items for each history: float32 [n_users, n_items].

        They are not clipped to the range of ratings, since clipping would create ties.

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
        """Return the newest rating of each known item; raise InvalidInput if one is not finite."""
        inside = (histories.items >= 0) & (histories.items < self.n_items)
        known = histories.take(inside & newest(histories.indptr, histories.items))
        if not np.isfinite(known.weights).all():
            raise InvalidInput("a rating is not finite; leave it out", field="histories")
        return known

    def _rate(self, known: Histories, wanted: Sets) -> Doubles:
        """Predict ratings of the wanted items of each history: float64 [len(wanted.items)]."""
        means = self._near_means(known, wanted)
        rows = np.repeat(np.arange(len(known)), np.diff(wanted.indptr))
        baseline = self.mean + self._user_biases(known)[rows] + self._item_biases[wanted.items]
        own = self._users(known).at(rows) if self.by_user else self._items.at(wanted.items)
        offsets, scales = self._frame(own, baseline)
        return np.where(np.isnan(means), baseline, offsets + scales * means)

    def _frame(self, own: Side, baseline: Doubles) -> tuple[Doubles, Doubles]:
        """Return offsets and scales of n ratings for the setting `prediction`: float64 [n] each."""
        ones = np.ones(len(baseline))
        if self.config.prediction == "average":
            return np.zeros(len(baseline)), ones
        if self.config.prediction == "baseline":
            return baseline, ones
        return own.means, own.deviations if self.config.prediction == "zscore" else ones

    def _deviations(self, known: Histories) -> Targets:
        """Return ratings relative to their offsets and scales, over which predictions average."""
        rows = _row_of_each(known)
        own = self._users(known).at(rows) if self.by_user else self._items.at(known.items)
        offsets, scales = self._frame(own, self._baseline(known))
        return Targets(known.indptr, known.items, (known.weights - offsets) / scales)

    def _residuals(self, known: Histories) -> Targets:
        """Return the values that the similarity compares: ratings, centred for the measure."""
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

    def _learn_scale(self, ratings: NDArray[np.floating]) -> None:
        ratings = ratings.astype(np.float64)
        super()._learn_scale(ratings)
        self._deviation = float(ratings.std()) or 1.0

    def _learn(self, rated: Dataset, seed: int, progress: Progress) -> None:
        del seed
        self._learn_baseline(rated.histories, rated.n_items)
        self._learn_neighbours(rated.histories)
        progress(1, 1, "done")

    def _learn_baseline(self, rated: Histories, n_items: int) -> None:
        """Learn the biases, means and standard deviations of the items."""
        ratings = rated.weights.astype(np.float64)
        rows, biases = _row_of_each(rated), np.zeros(len(rated))
        for _ in range(self.config.sweeps):
            left = ratings - self.mean - biases[rows]
            self._item_biases = _shrunken_mean(rated.items, left, n_items, self.config.item_l2)
            biases = self._user_biases(rated)
        self._items = _side(rated.items, ratings, n_items, self.mean, self._deviation)

    def arrays(self) -> Arrays:
        """Return the mean, bounds and deviation of ratings, and the statistics of each item."""
        return {
            "item_biases": self._item_biases,
            "item_means": self._items.means,
            "item_deviations": self._items.deviations,
            "mean_bounds_deviation": np.array([self.mean, *self.bounds, self._deviation]),
        }

    def _load(self, arrays: Arrays) -> None:
        self._item_biases = arrays["item_biases"]
        self._items = Side(arrays["item_means"], arrays["item_deviations"])
        mean, low, high, deviation = arrays["mean_bounds_deviation"].tolist()
        self.mean, self.bounds, self._deviation = mean, (low, high), deviation


def _row_of_each(histories: Histories) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(histories), dtype=np.int64), np.diff(histories.indptr))


def _shrunken_mean(keys: NDArray[Any], values: Doubles, n: int, l2: float) -> Doubles:
    """Return the sum of the values of each of n keys, divided by their number plus `l2`.

    The result is 0 for a key without values.
    """
    sums = np.bincount(keys, values, minlength=n)
    weights = np.bincount(keys, minlength=n) + l2
    return np.asarray(sums / np.where(weights > 0, weights, 1.0), dtype=np.float64)


def _side(keys: NDArray[Any], ratings: Any, n: int, mean: float, deviation: float) -> Side:
    """Compute the mean and standard deviation of the ratings of each of n keys.

    The defaults are `mean` for a key without ratings, and `deviation` for equal ratings.
    """
    counts = np.bincount(keys, minlength=n)
    means = np.full(n, mean)
    np.divide(np.bincount(keys, ratings, minlength=n), counts, out=means, where=counts > 0)
    squares = np.bincount(keys, (ratings - means[keys]) ** 2, minlength=n)
    spread = np.sqrt(squares / np.maximum(counts, 1))
    return Side(means, np.where(spread > 0, spread, deviation))


def first_of_rows(rows: Rows, chosen: IntArray, k: int) -> Ranking:
    """Return the first `k` entries of some rows as a ranking."""
    items = np.full((len(chosen), k), -1, dtype=np.int32)
    scores = np.zeros((len(chosen), k), dtype=np.float32)
    for at, row in enumerate(chosen):
        first = rows.indptr[row]
        size = min(k, int(rows.indptr[row + 1] - first))
        items[at, :size] = rows.items[first : first + size]
        scores[at, :size] = rows.weights[first : first + size]
    return Ranking(items, scores)
