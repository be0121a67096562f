"""Cascade hybrid: one model selects candidates, another ranks them."""

from collections.abc import Callable
from typing import ClassVar

import numpy as np
from msgspec import Struct

from nearline.data.dataset import FloatArray, Histories
from nearline.errors import InvalidInput
from nearline.models.base import Mask, ModelPart, Range, Space, check_single
from nearline.models.capabilities import explain
from nearline.models.hybrids.hybrid import (
    GRAPH_BY_EVENTS,
    GRAPH_BY_TEXT,
    Hybrid,
    HybridPart,
    widened,
)
from nearline.models.settings import require


class HybridCascadeConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `HybridCascade`.

    Attributes
    ----------
    parts : (HybridPart, HybridPart)
        The model that selects candidates, and the model that ranks them.
    candidates : int
        Number of candidates, which limits the length of lists.
    """

    parts: tuple[HybridPart, HybridPart] = (GRAPH_BY_EVENTS, GRAPH_BY_TEXT)
    candidates: int = 50

    def __post_init__(self) -> None:
        require(self, "candidates", 1, 10_000)
        if len(self.parts) != 2:
            raise InvalidInput(
                f"hybrid_cascade has {len(self.parts)} parts; it takes two", field="parts"
            )


class HybridCascade(Hybrid):
    """Candidates from one model, ranked by another.

        C(u) = top-n of the first part;   score(u, i) = s_2(u, i) for i in C(u)

    For example, collaborative filtering selects candidates, and a content-based model ranks those
    first that resemble the user's items.

    R. Burke, "Hybrid recommender systems: survey and experiments", UMUAI 12(4), 2002, section 3.5.

    Use it if the second model ranks a small selection well, but is inaccurate or too expensive for
    the whole catalogue. Do not use it if the first model misses relevant items: they are lost.

    Notes
    -----
    Scoring costs the sum of both parts. Items that are not candidates score 1 below the worst
    candidate and are never listed. Ties are broken by the lower index.
    """

    name: ClassVar[str] = "hybrid_cascade"
    config_type: ClassVar[type[Struct]] = HybridCascadeConfig
    space: ClassVar[Space] = {"candidates": Range(10, 500, log=True)}

    def score_many(self, histories: Histories) -> FloatArray:
        """Return the scores of all items for each history: float32 [n_users, n_items].

        Items of the history can be candidates here.
        """
        scores = self._scorer(self.n_items, exclude_seen=False, allowed=None)(histories)
        out = np.isneginf(scores)
        worst = np.where(out, np.inf, scores).min(axis=1, initial=np.inf, keepdims=True)
        worst = np.where(np.isinf(worst), 1.0, worst)
        return np.where(out, worst - 1.0, scores).astype(np.float32)

    def explain(self, history: Histories, item: int) -> list[ModelPart]:
        """Return parts of the score of a candidate by the second model; none for other items."""
        check_single(history)
        proposed = self.parts[0].recommend_from(history, self.config.candidates, exclude_seen=False)
        return explain(self.parts[1], history, item) if item in proposed.items else []

    def _scorer(
        self, k: int, *, exclude_seen: bool, allowed: Mask | None
    ) -> Callable[[Histories], FloatArray]:
        del k
        first, second = self.parts

        def score(histories: Histories) -> FloatArray:
            proposed = first.recommend_from(
                histories, self.config.candidates, exclude_seen=exclude_seen, allowed=allowed
            ).items
            rows, places = np.nonzero(proposed >= 0)
            columns = proposed[rows, places]
            scores = widened(second.score_many(histories), self.n_items)
            only = np.full_like(scores, -np.inf)
            only[rows, columns] = scores[rows, columns]
            return only

        return score
