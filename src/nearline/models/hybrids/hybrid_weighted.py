"""Weighted hybrid: a weighted average of the scores of several models."""

from typing import ClassVar, Self

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from nearline.common.progress import Progress, no_progress
from nearline.data.dataset import Dataset, FloatArray, Histories
from nearline.errors import InvalidInput
from nearline.kernels.topk import top_k_rows
from nearline.models.base import Model, ModelPart, Space, check_single
from nearline.models.hybrids.hybrid import (
    GRAPH_BY_EVENTS,
    GRAPH_BY_TEXT,
    Hybrid,
    HybridPart,
    widened,
)
from nearline.models.settings import require, require_one_of
from nearline.models.validation import mean_ndcg

NORMALISATIONS = ("minmax", "zscore", "softmax")
K = 10
# Minimum number of users; with fewer, the choice would mostly depend on chance.
FEWEST_USERS = 100
ROUNDS = 4
# Candidate weights of a part; the other parts keep their proportions.
SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


class HybridWeightedConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `HybridWeighted`.

    Attributes
    ----------
    parts : tuple of HybridPart
        Models and weights; with validation data, the search begins with these weights.
    normalisation : str
        Normalisation of the scores of a part for a user: ``minmax`` (from 0 to 1), ``zscore`` (mean
        0, standard deviation 1) or ``softmax`` (positive numbers that sum to 1).
    sample : int
        Maximum number of users, drawn at random, for whom weights are evaluated.
    """

    parts: tuple[HybridPart, ...] = (GRAPH_BY_EVENTS, GRAPH_BY_TEXT)
    normalisation: str = "minmax"
    sample: int = 1_000

    def __post_init__(self) -> None:
        require_one_of(self, "normalisation", NORMALISATIONS)
        require(self, "sample", 1, 1_000_000)
        if not sum(part.weight for part in self.parts) > 0:
            raise InvalidInput("all weights are 0; give a part some weight", field="parts")


class HybridWeighted(Hybrid):
    """A weighted average of normalised scores, with weights chosen on validation data.

        score(u, i) = sum over parts p: w_p * norm(s_p(u, .))_i,   w >= 0, sum of w = 1

    R. Burke, "Hybrid recommender systems: survey and experiments", UMUAI 12(4), 2002, section 3.1;
    normalising before combining is E. Fox, J. Shaw, "Combination of multiple searches", TREC 1994.

    A coordinate search changes one weight at a time while NDCG@10 of the validation targets
    improves.

    Use it if several models make different errors. If only the order of their scores is meaningful,
    use `hybrid_fusion`.

    Notes
    -----
    Scoring costs the sum of the parts. The search takes a few hundred passes over
    sample * n_items * parts scores, which are held in memory at 4 bytes each.
    """

    name: ClassVar[str] = "hybrid_weighted"
    config_type: ClassVar[type[Struct]] = HybridWeightedConfig
    space: ClassVar[Space] = {"normalisation": NORMALISATIONS}

    def fit(
        self,
        data: Dataset,
        *,
        validation: Histories | None = None,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Self:
        """Train the parts, then choose weights if there are at least 100 validation users."""
        super().fit(data, validation=validation, seed=seed, progress=progress)
        if validation is not None:
            users = np.flatnonzero(np.diff(validation.indptr) > 0)
            if len(users) >= FEWEST_USERS:
                rng = np.random.default_rng(seed)
                some = np.sort(rng.permutation(users)[: self.config.sample])
                self._learn_weights(data.histories.select(some), validation.select(some))
        return self

    def score_many(self, histories: Histories) -> FloatArray:
        """Return the scores of all items for each history: float32 [n_users, n_items]."""
        weights = self._weights()
        total = np.zeros((len(histories), self.n_items), dtype=np.float32)
        for part, weight in zip(self.parts, weights, strict=True):
            if weight > 0:
                total += np.float32(weight) * self._normalised(part, histories)
        return total

    def explain(self, history: Histories, item: int) -> list[ModelPart]:
        """Return a part of the score of `item` for each model."""
        check_single(history)
        if not 0 <= item < self.n_items:
            return []
        return [
            ModelPart(-1, part.name, float(weight * self._normalised(part, history)[0, item]))
            for part, weight in zip(self.parts, self._weights(), strict=True)
        ]

    def _weights(self) -> NDArray[np.float64]:
        weights = np.array([part.weight for part in self.config.parts], dtype=np.float64)
        share: NDArray[np.float64] = weights / weights.sum()
        return share

    def _normalised(self, part: Model, histories: Histories) -> FloatArray:
        return normalise(
            widened(part.score_many(histories), self.n_items), self.config.normalisation
        )

    def _learn_weights(self, histories: Histories, validation: Histories) -> None:
        scores = [self._normalised(part, histories) for part in self.parts]
        known = histories.items >= 0
        rows = np.repeat(np.arange(len(histories)), np.diff(histories.indptr))
        seen = (rows[known], histories.items[known])

        def value(weights: NDArray[np.float64]) -> float:
            blend = np.zeros_like(scores[0])
            for weight, one in zip(weights, scores, strict=True):
                blend += np.float32(weight) * one
            blend[seen] = -np.inf
            return mean_ndcg(top_k_rows(blend, K).items, validation)

        weights, best = self._weights(), value(self._weights())
        for _ in range(ROUNDS):
            before = best
            for place in range(len(weights)):
                for share in SHARES:
                    tried = with_share(weights, place, share)
                    if (reached := value(tried)) > best:
                        weights, best = tried, reached
            if best == before:
                break
        learned = (
            replace(part, weight=float(weight))
            for part, weight in zip(self.config.parts, weights, strict=True)
        )
        self.config = replace(self.config, parts=tuple(learned))


def with_share(weights: NDArray[np.float64], place: int, share: float) -> NDArray[np.float64]:
    """Return weights in which one is `share`, and the others are scaled so that all sum to one.

    If all others are 0, they share the rest equally.
    """
    others = np.delete(weights, place)
    if others.sum() == 0:
        others = np.ones_like(others)
    return np.insert(others / others.sum() * (1 - share), place, share) if len(others) else weights


def normalise(scores: FloatArray, how: str) -> FloatArray:
    """Normalise each row of scores, float32 [n, items].

    The parameter `how` is described in `HybridWeightedConfig.normalisation`. A row of equal scores
    becomes zeros, or equal shares for ``softmax``.
    """
    if scores.shape[1] == 0:
        return scores
    if how == "softmax":
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)
    if how == "minmax":
        offset = scores.min(axis=1, keepdims=True)
        scale = scores.max(axis=1, keepdims=True) - offset
    else:
        offset, scale = scores.mean(axis=1, keepdims=True), scores.std(axis=1, keepdims=True)
    # Differences this small are rounding errors of equal scores.
    flat = scale <= 1e-6 * np.abs(offset)
    return np.where(flat, np.float32(0.0), (scores - offset) / np.where(flat, 1.0, scale)).astype(
        np.float32
    )
