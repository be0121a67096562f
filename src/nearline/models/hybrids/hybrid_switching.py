"""Switching hybrid: which model answers depends on how much is known of the user."""

from typing import ClassVar

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nearline.data.dataset import FloatArray, Histories
from nearline.errors import InvalidInput
from nearline.models.base import Mask, ModelPart, Ranking, Space, check_k
from nearline.models.capabilities import explain
from nearline.models.hybrids.hybrid import GRAPH_BY_EVENTS, Hybrid, HybridPart, widened


class HybridSwitchingConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `HybridSwitching`.

    Attributes
    ----------
    parts : tuple of HybridPart
        Models, for ever longer histories.
    at_least : tuple of int
        Known items of a history from which on each part answers, rising; the first is 0.
    """

    parts: tuple[HybridPart, ...] = (HybridPart(model="popularity"), GRAPH_BY_EVENTS)
    at_least: tuple[int, ...] = (0, 1)

    def __post_init__(self) -> None:
        if len(self.at_least) != len(self.parts) or self.at_least[:1] != (0,):
            raise InvalidInput(
                f"at_least is {self.at_least} for {len(self.parts)} parts; give one number for "
                "each part, the first 0",
                field="at_least",
            )
        if any(np.diff(self.at_least) <= 0):
            raise InvalidInput(f"at_least is {self.at_least}; it must rise", field="at_least")


class HybridSwitching(Hybrid):
    """The model whose turn it is at the length of the history.

        score(u, .) = s_p(u, .),   p the last part with at_least_p <= known items of u

    R. Burke, "Hybrid recommender systems: survey and experiments", UMUAI 12(4), 2002, section 3.2.

    Use it for users who are new: what is popular or fits by content until there is enough to go
    by. Do not use it where models are good at once and together: `hybrid_weighted`. Scores of users
    with different parts cannot be compared.

    Notes
    -----
    Scoring costs that of the one part; an explanation is the part's own.
    """

    name: ClassVar[str] = "hybrid_switching"
    config_type: ClassVar[type[Struct]] = HybridSwitchingConfig
    space: ClassVar[Space] = {}

    def score_many(self, histories: Histories) -> FloatArray:
        """Scores of each user's part, float32 [n_users, n_items]."""
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
        """Ask each user's part for the list, as that part would make it."""
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
        """Parts of the score, as the user's part gives them."""
        if len(history) != 1:
            raise InvalidInput(f"history has {len(history)} rows; explain takes one")
        return explain(self.parts[int(self._turns(history)[0])], history, item)

    def _turns(self, histories: Histories) -> NDArray[np.int64]:
        """Place of each user's part: int64 [n_users]."""
        known = (histories.items >= 0) & (histories.items < self.n_items)
        before = np.concatenate(([0], np.cumsum(known)))
        lengths = np.diff(before[histories.indptr])
        return np.searchsorted(self.config.at_least, lengths, side="right") - 1
