"""Switching hybrid: chooses a model by the length of the user's history."""

from typing import ClassVar

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nearline.data.dataset import FloatArray, Histories
from nearline.errors import InvalidInput
from nearline.models.base import Mask, ModelPart, Ranking, Space, check_k, check_single
from nearline.models.capabilities import explain
from nearline.models.hybrids.hybrid import (
    GRAPH_BY_EVENTS,
    MAX_PARTS,
    Hybrid,
    HybridPart,
    widened,
)
from nearline.models.settings import require_each


class HybridSwitchingConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `HybridSwitching`.

    Attributes
    ----------
    parts : tuple of HybridPart
        Models for increasingly long histories.
    at_least : tuple of int
        Minimum number of known events in a history for each part, ascending from 0.
    """

    parts: tuple[HybridPart, ...] = (HybridPart(model="popularity"), GRAPH_BY_EVENTS)
    at_least: tuple[int, ...] = (0, 1)

    def __post_init__(self) -> None:
        require_each(self, "at_least", 0, 1e9, most=MAX_PARTS)
        if len(self.at_least) != len(self.parts) or self.at_least[:1] != (0,):
            raise InvalidInput(
                f"at_least is {self.at_least} for {len(self.parts)} parts; give one number for "
                "each part, the first 0",
                field="at_least",
            )
        if any(np.diff(self.at_least) <= 0):
            raise InvalidInput(
                f"at_least is {self.at_least}; it must be strictly increasing", field="at_least"
            )


class HybridSwitching(Hybrid):
    """Answer with one of several models, chosen by the length of the history.

        score(u, .) = s_p(u, .),   p the last part with at_least_p <= known items of u

    R. Burke, "Hybrid recommender systems: survey and experiments", UMUAI 12(4), 2002, section 3.2.

    Use it for new users: recommend popular or similar items until the history is long enough for
    another model. If models should be combined for every user, use `hybrid_weighted`. Scores of
    users with different parts are not comparable.

    Notes
    -----
    Scoring a user costs one part only; explanations are those of that part.
    """

    name: ClassVar[str] = "hybrid_switching"
    config_type: ClassVar[type[Struct]] = HybridSwitchingConfig
    space: ClassVar[Space] = {}

    def score_many(self, histories: Histories) -> FloatArray:
        """Return the scores of all items by each user's part: float32 [n_users, n_items]."""
        scores = np.zeros((len(histories), self.n_items), dtype=np.float32)
        turns = self._turns(histories)
        for turn in np.unique(turns):
            rows = np.flatnonzero(turns == turn)
            some = self.parts[turn].score_many(histories.select(rows))
            scores[rows] = widened(some, self.n_items)
        return scores

    def recommend_from(
        self,
        histories: Histories,
        k: int,
        *,
        exclude_seen: bool = True,
        allowed: Mask | None = None,
    ) -> Ranking:
        """Return the `k` best items for each history by the user's part."""
        check_k(k)
        items = np.full((len(histories), k), -1, dtype=np.int32)
        scores = np.zeros((len(histories), k), dtype=np.float32)
        turns = self._turns(histories)
        for turn in np.unique(turns):
            rows = np.flatnonzero(turns == turn)
            items[rows], scores[rows] = self.parts[turn].recommend_from(
                histories.select(rows), k, exclude_seen=exclude_seen, allowed=allowed
            )
        return Ranking(items, scores)

    def explain(self, history: Histories, item: int) -> list[ModelPart]:
        """Return parts of the score of `item` by the user's part."""
        check_single(history)
        return explain(self.parts[int(self._turns(history)[0])], history, item)

    def _turns(self, histories: Histories) -> NDArray[np.int64]:
        """Return the position of each user's part: int64 [n_users]."""
        known = (histories.items >= 0) & (histories.items < self.n_items)
        before = np.concatenate(([0], np.cumsum(known)))
        lengths = np.diff(before[histories.indptr])
        return np.searchsorted(self.config.at_least, lengths, side="right") - 1
