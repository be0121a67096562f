"""Baselines that recommend popular items, by counts over all time and by counts that decay.

The lists of all users are equal, except that items of their own histories are left out.
"""

from abc import abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nearline.common.progress import Progress, no_progress
from nearline.data.dataset import Dataset, FloatArray, Histories, IntArray
from nearline.models.array_checks import check_array
from nearline.models.base import Model, Ranking, check_k, check_weights
from nearline.models.settings import require

Doubles = NDArray[np.float64]


class PopularityConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `Popularity`, which has none."""


class TrendingConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `Trending`.

    Attributes
    ----------
    half_life : float
        Time after which the weight of an event is halved, in the unit of the timestamps (seconds by
        default).
    """

    half_life: float = 7 * 86_400.0

    def __post_init__(self) -> None:
        require(self, "half_life", 0, 1e12, above=True)


class _Counting(Model):
    """Abstract base class of models in which an item has the same score for all users.

    Items with score 0 are not recommended.
    """

    def __init__(self, config: Struct | None = None) -> None:
        super().__init__(config)
        self._set(np.zeros(0))

    @abstractmethod
    def _amounts(self, histories: Histories) -> Doubles:
        """Return the amount that each event adds to its item: float64 [n], at least 0."""

    def fit(
        self,
        data: Dataset,
        *,
        validation: Histories | None = None,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Self:
        """Sum the events of each item that count, except dislikes.

        `seed` and `validation` are not used.

        Raises
        ------
        InvalidInput
            The weight of an event is not finite.
        """
        del validation, seed
        check_weights(data.histories)
        counted = data.counted_histories
        known = counted.items >= 0
        amounts = self._amounts(counted)[known]
        sums = np.bincount(counted.items[known], amounts, minlength=data.n_items)
        self._set(sums.astype(np.float64))
        self.fitted_on = data.histories
        progress(1, 1, "done")
        return self

    def score_many(self, histories: Histories) -> FloatArray:
        """Return the scores of all items: float32 [n_users, n_items], with equal rows."""
        return np.tile(self._scores.astype(np.float32), (len(histories), 1))

    def recommend_from(
        self,
        histories: Histories,
        k: int,
        *,
        exclude_seen: bool = True,
        allowed: NDArray[np.bool_] | None = None,
    ) -> Ranking:
        """Return the `k` most popular items for each history; see `Model.recommend_from`."""
        check_k(k)
        order = self._order
        if allowed is not None:
            order = order[order < len(allowed)]
            order = order[allowed[order]]
        items = np.full((len(histories), k), -1, dtype=np.int32)
        scores = np.zeros((len(histories), k), dtype=np.float32)
        for user in range(len(histories)):
            best = order[:k]
            if exclude_seen:
                seen = histories.row(user)
                best = order[: k + len(seen)]
                best = best[~np.isin(best, seen)][:k]
            items[user, : len(best)] = best
            scores[user, : len(best)] = self._scores[best]
        return Ranking(items, scores)

    def similar(self, items: IntArray, k: int) -> Ranking:
        """Return the `k` most popular items except the item itself: there is no similarity."""
        return self.recommend_from(Histories.from_rows([[int(item)] for item in items]), k)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the scores of the items: float64 [n_items]."""
        return {"scores": self._scores}

    def _load(self, arrays: dict[str, NDArray[Any]]) -> None:
        self._set(check_array(arrays, "scores", "float64", None))

    def _set(self, scores: Doubles) -> None:
        self._scores = scores
        order = np.argsort(-scores, kind="stable")
        self._order = order[scores[order] > 0].astype(np.int32)


class Popularity(_Counting):
    """Rank items by the sum of their event weights over all time."""

    name: ClassVar[str] = "popularity"
    config_type: ClassVar[type[Struct]] = PopularityConfig

    def _amounts(self, histories: Histories) -> Doubles:
        return np.maximum(histories.weights, 0.0).astype(np.float64)


class Trending(_Counting):
    """Rank items by decayed event weights: halved for each half-life before the newest event."""

    name: ClassVar[str] = "trending"
    config_type: ClassVar[type[Struct]] = TrendingConfig

    def _amounts(self, histories: Histories) -> Doubles:
        weights = np.maximum(histories.weights, 0.0).astype(np.float64)
        age = histories.times.max(initial=-np.inf) - histories.times
        decay: Doubles = np.exp2(-age / self.config.half_life)
        return weights * decay
