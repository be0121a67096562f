"""Reciprocal-rank fusion: combines the lists of several models by rank only."""

from collections.abc import Callable
from typing import ClassVar

import numpy as np
from msgspec import Struct

from nearline.data.dataset import FloatArray, Histories
from nearline.models.base import Mask, Range, Space
from nearline.models.hybrids.hybrid import GRAPH_BY_EVENTS, GRAPH_BY_TEXT, Hybrid, HybridPart
from nearline.models.settings import require


class HybridFusionConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `HybridFusion`.

    Attributes
    ----------
    parts : tuple of HybridPart
        Models whose lists are fused, with their weights.
    depth : int
        Length of the lists that are fused.
    smoothing : float
        Number that is added to each rank, 60 in the paper. A larger number reduces the advantage of
        the first ranks.
    """

    parts: tuple[HybridPart, ...] = (GRAPH_BY_EVENTS, GRAPH_BY_TEXT)
    depth: int = 100
    smoothing: float = 60.0

    def __post_init__(self) -> None:
        require(self, "depth", 1, 10_000)
        require(self, "smoothing", 0, 1e9)


class HybridFusion(Hybrid):
    """The sum of reciprocal ranks in the lists of the parts.

        score(u, i) = sum over parts p with i in their list: w_p / (smoothing + rank_p(u, i))

    Ranks start at 1. Excluded items have no rank.

    G. Cormack, C. Clarke, S. Buettcher, "Reciprocal rank fusion outperforms Condorcet and
    individual rank learning methods", SIGIR 2009.

    Use it if the scores of the models are not comparable, and there is no validation data to choose
    weights. With validation data use `hybrid_weighted`, which also uses the differences between
    scores.

    Notes
    -----
    A list costs a list of length `depth` from each part.
    """

    name: ClassVar[str] = "hybrid_fusion"
    config_type: ClassVar[type[Struct]] = HybridFusionConfig
    space: ClassVar[Space] = {
        "depth": Range(10, 500, log=True),
        "smoothing": Range(1.0, 200.0, log=True),
    }

    def score_many(self, histories: Histories) -> FloatArray:
        """Return the scores of all items: float32 [n_users, n_items], 0 for items in no list.

        Items of the history are not excluded.
        """
        scores = self._scorer(self.n_items, exclude_seen=False, allowed=None)(histories)
        return np.where(np.isneginf(scores), np.float32(0.0), scores)

    def _scorer(
        self, k: int, *, exclude_seen: bool, allowed: Mask | None
    ) -> Callable[[Histories], FloatArray]:
        del k
        gains = 1.0 / (self.config.smoothing + np.arange(1, self.config.depth + 1))

        def score(histories: Histories) -> FloatArray:
            total = np.zeros((len(histories), self.n_items), dtype=np.float32)
            for given, part in zip(self.config.parts, self.parts, strict=True):
                lists = part.recommend_from(
                    histories, self.config.depth, exclude_seen=exclude_seen, allowed=allowed
                ).items
                rows, places = np.nonzero(lists >= 0)
                total[rows, lists[rows, places]] += given.weight * gains[places]
            total[total == 0] = -np.inf
            return total

        return score
