"""Blend of rating models, weights learned from predictions of ratings left out."""

from collections.abc import Iterable
from typing import Any, ClassVar, Self

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from nearline.common.progress import Progress, no_progress
from nearline.data.dataset import Dataset, FloatArray, Histories, IntArray
from nearline.errors import InvalidInput
from nearline.models.base import Model, Ranking, RatingModel, Space
from nearline.models.dense_scores import DenseModel
from nearline.models.factors.factor_model import Arrays
from nearline.models.hybrids.hybrid import HybridPart, part_arrays, restore_parts, settled
from nearline.models.registry import make_model
from nearline.models.settings import require


class HybridRatingsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `HybridRatings`.

    Attributes
    ----------
    parts : tuple of HybridPart
        Rating models; their weights are replaced by those learned, unless `folds` is 0.
    folds : int
        Parts that the ratings are cut into to learn the weights: each model is fitted that many
        times, and once more on all. 0 takes the weights as they stand.
    """

    parts: tuple[HybridPart, ...] = (
        HybridPart(model="als", weight=0.2),
        HybridPart(model="svdpp", weight=0.3),
        HybridPart(model="bpmf", weight=0.5),
    )
    folds: int = 5

    def __post_init__(self) -> None:
        require(self, "folds", 0)
        if not self.parts:
            raise InvalidInput("hybrid_ratings has no parts; give at least one", field="parts")
        if self.folds == 1:
            raise InvalidInput(
                "folds is 1, which leaves nothing to learn from; give 0, or 2 or more",
                field="folds",
            )


class HybridRatings(DenseModel, RatingModel):
    """A linear blend of rating models: stacked regression.

        r^_ui = mean + sum over parts p: w_p (r^p_ui - mean),   w >= 0

    w is the non-negative least squares solution over ratings that no part has seen: the training
    ratings are cut at random into `folds`, and each fold is predicted by models fitted on the
    others. Weights need not sum to 1: below that, the blend shrinks towards the mean.

    L. Breiman, "Stacked regressions", Machine Learning 24, 1996; blends of this kind won the
    Netflix prize: M. Jahrer, A. Toescher, R. Legenstein, "Combining predictions for accurate
    recommender systems", KDD 2010.

    Use it where accuracy of ratings is worth the time of several models. Do not use it where one
    is explained more easily and almost as good: `bpmf` alone.

    Notes
    -----
    Fitting costs `folds` + 1 times that of the parts, predicting the sum of them.
    """

    name: ClassVar[str] = "hybrid_ratings"
    config_type: ClassVar[type[Struct]] = HybridRatingsConfig
    space: ClassVar[Space] = {}

    def __init__(self, config: Struct | None = None) -> None:
        super().__init__(config)
        self.parts = self._fresh()
        self._mean = 0.0
        self._bounds = (0.0, 0.0)

    def fit(
        self,
        data: Dataset,
        *,
        validation: Histories | None = None,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Self:
        """Learn weights on folds of the data, then fit the parts on all; `validation` is not used.

        Raises
        ------
        InvalidInput
            The data has no rating.
        """
        del validation
        rated = data.rated()
        ratings = rated.histories.weights
        if len(ratings) == 0:
            raise InvalidInput(
                "the data has no finite rating; fill the column 'value', or use a model of events",
                field="value",
            )
        self._mean = float(ratings.mean(dtype=np.float64))
        self._bounds = (float(ratings.min()), float(ratings.max()))
        if 2 <= self.config.folds <= len(ratings):
            self._learn_weights(rated, seed, progress)
        self.parts = self._fresh()
        for part in self.parts:
            part.fit(rated, seed=seed)
        self.config = replace(self.config, parts=settled(self.config.parts, self.parts))
        self.fitted_on = rated.histories
        progress(self.config.folds + 1, self.config.folds + 1, "done")
        return self

    def predict(self, users: IntArray, items: IntArray) -> FloatArray:
        """Blend of the clipped predictions of the parts, float32 [n], clipped itself."""
        predictions = np.stack([part.predict(users, items) for part in self.parts], axis=1)
        blend = self._mean + (predictions - self._mean) @ self._weights()
        return np.clip(blend, *self._bounds).astype(np.float32)

    @property
    def n_items(self) -> int:
        """Number of items."""
        return self.parts[0].n_items

    def score_many(self, histories: Histories) -> FloatArray:
        """Blend of the parts' scores, float32 [n_users, n_items]: ratings that are not clipped."""
        total: Any = np.float32(self._mean * (1 - self._weights().sum()))
        for part, weight in zip(self.parts, self._weights(), strict=True):
            total = total + np.float32(weight) * part.score_many(histories)
        return np.asarray(total, dtype=np.float32)

    def similar(self, items: IntArray, k: int) -> Ranking:
        """Neighbours by the part of the largest weight: cosines of parts cannot be blended."""
        return self.parts[int(np.argmax(self._weights()))].similar(items, k)

    def arrays(self) -> Arrays:
        """Return the arrays of all parts, the mean and the bounds."""
        return {
            **part_arrays(self.parts),
            "mean_and_bounds": np.array([self._mean, *self._bounds]),
        }

    def _load(self, arrays: Arrays) -> None:
        self._mean, *bounds = arrays["mean_and_bounds"].tolist()
        self._bounds = (bounds[0], bounds[1])
        self.parts = _rating_models(restore_parts(self.config.parts, arrays))

    def _fresh(self) -> list[RatingModel]:
        parts = (make_model(part.model, part.settings) for part in self.config.parts)
        return _rating_models(parts)

    def _weights(self) -> NDArray[np.float64]:
        return np.array([part.weight for part in self.config.parts], dtype=np.float64)

    def _learn_weights(self, data: Dataset, seed: int, progress: Progress) -> None:
        # Imported here because it is slow to import, and listing the models imports this module.
        from scipy.optimize import nnls

        folds, n = self.config.folds, data.n_interactions
        users, items = data.user_of_each(), data.histories.items
        fold_of = np.random.default_rng(seed).permutation(n) % folds
        predictions = np.empty((n, len(self.parts)))
        for fold in range(folds):
            progress(fold, folds + 1, "fold")
            left_out = fold_of == fold
            rest = data.take(~left_out)
            for place, part in enumerate(self._fresh()):
                part.fit(rest, seed=seed)
                predictions[left_out, place] = part.predict(users[left_out], items[left_out])
        weights, _ = nnls(
            predictions - self._mean, data.histories.weights.astype(np.float64) - self._mean
        )
        learned = (
            replace(part, weight=float(weight))
            for part, weight in zip(self.config.parts, weights, strict=True)
        )
        self.config = replace(self.config, parts=tuple(learned))


def _rating_models(parts: Iterable[Model]) -> list[RatingModel]:
    found = []
    for part in parts:
        if not isinstance(part, RatingModel):
            raise InvalidInput(
                f"{part.name!r} predicts no ratings; hybrid_ratings takes models that do (als, "
                "svdpp, bpmf and others), hybrid_weighted takes it",
                field="parts",
            )
        found.append(part)
    return found
