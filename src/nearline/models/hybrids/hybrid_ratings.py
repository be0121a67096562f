"""Stacking of rating models: weights are learned from predictions of held-out ratings."""

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from nearline.common.progress import Progress
from nearline.common.scipy import scipy_module
from nearline.data.dataset import Dataset, FloatArray, Histories, IntArray
from nearline.errors import InvalidInput
from nearline.models.base import Arrays, Model, Ranking, Space
from nearline.models.capabilities import PredictsRatings, predict
from nearline.models.hybrids.hybrid import (
    HybridPart,
    check_number_of_parts,
    part_arrays,
    restore_parts,
    settled,
)
from nearline.models.rating_model import Doubles, RatingModel
from nearline.models.registry import make_model
from nearline.models.settings import require


class HybridRatingsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `HybridRatings`.

    Attributes
    ----------
    parts : tuple of HybridPart
        Rating models. Learned weights replace theirs, unless `folds` is 0.
    folds : int
        Number of cross-validation folds by which weights are learned. Each model is trained once
        for each fold, and once on all ratings. 0 keeps the given weights.
    """

    parts: tuple[HybridPart, ...] = (
        HybridPart(model="als", weight=0.2),
        HybridPart(model="svdpp", weight=0.3),
        HybridPart(model="bpmf", weight=0.5),
    )
    folds: int = 5

    def __post_init__(self) -> None:
        require(self, "folds", 0, 100)
        if not self.parts:
            raise InvalidInput("hybrid_ratings has no parts; give at least one", field="parts")
        check_number_of_parts(self.parts)
        if self.folds == 1:
            raise InvalidInput(
                "folds is 1, which leaves no training data; give 0, or 2 or more",
                field="folds",
            )


class HybridRatings(RatingModel):
    """A linear blend of rating models: stacked regression.

        r^_ui = mean + sum over parts p: w_p (r^p_ui - mean),   w >= 0

    w is the non-negative least squares solution over cross-validated predictions: the training
    ratings are split at random into `folds`, and each fold is predicted by models trained on the
    others. Weights need not sum to 1: with a smaller sum, predictions shrink towards the mean.

    L. Breiman, "Stacked regressions", Machine Learning 24, 1996; such blends won the Netflix prize:
    M. Jahrer, A. Toescher, R. Legenstein, "Combining predictions for accurate recommender systems",
    KDD 2010.

    Use it if the accuracy of ratings is worth the time of several models. `bpmf` alone is almost as
    accurate and easier to understand.

    Notes
    -----
    Training costs `folds` + 1 times that of the parts; predicting costs the sum of the parts.
    """

    name: ClassVar[str] = "hybrid_ratings"
    config_type: ClassVar[type[Struct]] = HybridRatingsConfig
    space: ClassVar[Space] = {}

    def __init__(self, config: Struct | None = None) -> None:
        super().__init__(config)
        self.parts = self._make_parts()

    def predict(self, users: IntArray, items: IntArray) -> FloatArray:
        """Predict the ratings of n pairs from the clipped predictions of the parts: float32 [n]."""
        predictions = np.stack([predict(part, users, items) for part in self.parts], axis=1)
        blend = self.mean + (predictions - self.mean) @ self._weights()
        return np.clip(blend, *self.bounds).astype(np.float32)

    @property
    def n_items(self) -> int:
        """Number of items that the model can score."""
        return self.parts[0].n_items

    def score_many(self, histories: Histories) -> FloatArray:
        """Return predicted ratings of all items, float32 [n_users, n_items], not clipped."""
        total: Any = np.float32(self.mean * (1 - self._weights().sum()))
        for part, weight in zip(self.parts, self._weights(), strict=True):
            total = total + np.float32(weight) * part.score_many(histories)
        return np.asarray(total, dtype=np.float32)

    def similar(self, items: IntArray, k: int) -> Ranking:
        """Return similar items by the part with the largest weight."""
        return self.parts[int(np.argmax(self._weights()))].similar(items, k)

    def arrays(self) -> Arrays:
        """Return the arrays of all parts, the mean and the bounds of ratings."""
        return {
            **part_arrays(self.parts),
            "mean_and_bounds": np.array([self.mean, *self.bounds]),
        }

    def _load(self, arrays: Arrays) -> None:
        self.mean, *bounds = arrays["mean_and_bounds"].tolist()
        self.bounds = (bounds[0], bounds[1])
        self.parts = _rating_models(restore_parts(self.config.parts, arrays))

    def _make_parts(self) -> list[Model]:
        parts = (make_model(part.model, part.settings) for part in self.config.parts)
        return _rating_models(parts)

    def _learn(self, rated: Dataset, seed: int, progress: Progress) -> None:
        """Learn weights by cross-validation, then train the parts on all ratings."""
        if 2 <= self.config.folds <= rated.n_interactions:
            self._learn_weights(rated, seed, progress)
        self.parts = self._make_parts()
        for part in self.parts:
            part.fit(rated, seed=seed)
        self.config = replace(self.config, parts=settled(self.config.parts, self.parts))
        progress(self.config.folds + 1, self.config.folds + 1, "done")

    def _weights(self) -> Doubles:
        return np.array([part.weight for part in self.config.parts], dtype=np.float64)

    def _learn_weights(self, data: Dataset, seed: int, progress: Progress) -> None:
        nnls = scipy_module("scipy.optimize", "learning the weights of hybrid_ratings").nnls
        folds, n = self.config.folds, data.n_interactions
        users, items = data.user_of_each(), data.histories.items
        fold_of = np.random.default_rng(seed).permutation(n) % folds
        predictions = np.empty((n, len(self.parts)))
        for fold in range(folds):
            progress(fold, folds + 1, "fold")
            left_out = fold_of == fold
            rest = data.take(~left_out)
            for place, part in enumerate(self._make_parts()):
                part.fit(rest, seed=seed)
                predictions[left_out, place] = predict(part, users[left_out], items[left_out])
        weights, _ = nnls(
            predictions - self.mean, data.histories.weights.astype(np.float64) - self.mean
        )
        learned = (
            replace(part, weight=float(weight))
            for part, weight in zip(self.config.parts, weights, strict=True)
        )
        self.config = replace(self.config, parts=tuple(learned))


def _rating_models(parts: Iterable[Model]) -> list[Model]:
    """Return the models as a list; raise InvalidInput if one does not predict ratings."""
    found = list(parts)
    for part in found:
        if not isinstance(part, PredictsRatings):
            raise InvalidInput(
                f"{part.name!r} predicts no ratings; hybrid_ratings takes models that do (als, "
                "svdpp, bpmf and others), hybrid_weighted takes it",
                field="parts",
            )
    return found
