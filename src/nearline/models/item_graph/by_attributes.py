"""Scores of an item graph for users with attributes."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from msgspec.structs import replace as changed
from numpy.typing import NDArray

from nearline.data.attributes import Attributes
from nearline.data.dataset import Dataset, FloatArray, Histories
from nearline.models.base import ModelPart, Ranking
from nearline.models.item_graph.attribute_counts import AttributeCounts
from nearline.models.item_graph.attribute_search import choose_attributes, choose_weight
from nearline.models.item_graph.scores import ScoresByGraph

ATTRIBUTE = "attribute:"
# Scores that are computed at a time: 64 MB.
SCORES_AT_ONCE = 8_000_000


class ScoresByAttributes(ScoresByGraph):
    """Abstract base class of the item graph: adds what people with the same attributes take.

    A user with attributes, which are passed as `Histories.features`, has the score of
    `ScoresByGraph` plus `AttributeSettings.weight` times that of `AttributeCounts`; without a
    history, only the latter.
    """

    _by_attributes: AttributeCounts

    def user_features(self, users: Sequence[Attributes]) -> FloatArray | None:
        """Return the features of users: float32 [n_users, n_tokens]; None if they are not used."""
        counts = self._by_attributes
        return counts.encode(list(users)) if counts.active else None

    def learn_users(self, before: Histories, after: Histories) -> None:
        """Replace what was counted for some users, given complete histories with features."""
        self._by_attributes.add(before, -1)
        self._by_attributes.add(after)

    def recount_users(self, histories: Histories) -> None:
        """Count all users with attributes again, given complete histories with features."""
        self._by_attributes = AttributeCounts(self.config.attributes, self.n_items)
        self._by_attributes.add(histories)

    def score_many(self, histories: Histories) -> FloatArray:
        """Return the scores of all items, with attributes if the histories have features."""
        scores = super().score_many(replace(histories, features=None))
        features = histories.features
        if features is None or not self._by_attributes.active:
            return scores
        weights = self._weights_of(histories)
        for row in np.flatnonzero(weights).tolist():
            more = self._by_attributes.scores(features[row : row + 1], self.n_items)[0]
            scores[row] += (weights[row] * more).astype(np.float32)
        return scores

    def _recommend_with_features(
        self,
        histories: Histories,
        k: int,
        *,
        exclude_seen: bool,
        allowed: NDArray[np.bool_] | None,
    ) -> Ranking:
        plain = replace(histories, features=None)
        with_them = np.flatnonzero(self._weights_of(histories))
        found = self.recommend_from(plain, k, exclude_seen=exclude_seen, allowed=allowed)
        items, scores = found.items.copy(), found.scores.copy()
        at_once = max(1, SCORES_AT_ONCE // max(1, self.n_items))
        for first in range(0, len(with_them), at_once):
            rows = with_them[first : first + at_once]
            some = histories.select(rows)
            dense = self.score_many(some)
            if allowed is not None:
                dense[:, len(allowed) :] = 0.0
                dense[:, : len(allowed)][:, ~allowed] = 0.0
            if exclude_seen:
                users = np.repeat(np.arange(len(some)), np.diff(some.indptr))
                known = (some.items >= 0) & (some.items < self.n_items)
                dense[users[known], some.items[known]] = 0.0
            items[rows], scores[rows] = top_positive(dense, k)
        return Ranking(items, scores)

    def explain(self, history: Histories, item: int) -> list[ModelPart]:
        """Return the parts of a score; those of attributes are ``attribute:NAME=VALUE``."""
        parts = super().explain(replace(history, features=None), item)
        if history.features is None or item >= self.n_items:
            return parts
        weight = float(self._weights_of(history)[0])
        if weight:
            terms = self._by_attributes.parts(history.features[0], item)
            parts += [ModelPart(-1, f"{ATTRIBUTE}{name}", weight * term) for name, term in terms]
        return parts

    def _weights_of(self, histories: Histories) -> NDArray[np.float64]:
        """Return the weight of the attributes in the score of each user: float64 [n]."""
        features = histories.features
        if features is None or not self._by_attributes.active:
            return np.zeros(len(histories))
        empty = np.diff(histories.indptr) == 0
        return np.where(empty, 1.0, self.config.attributes.weight) * features.any(axis=1)

    def _fit_attributes(self, data: Dataset, validation: Histories | None, seed: int) -> None:
        """Count the users with attributes; with `validation`, first choose the settings."""
        users = data.user_attributes
        if users is None:
            self._by_attributes = AttributeCounts(self.config.attributes, data.n_items)
            return
        histories, search = data.counted_histories, self.config.search.evaluations > 0
        if validation is not None and search:
            settings = choose_attributes(users, histories, data.n_items, seed)
            self.config = changed(self.config, attributes=settings)
        self._by_attributes = counts = AttributeCounts(self.config.attributes, data.n_items)
        if not counts.active:
            return
        features = counts.encode(list(users))
        counts.add(replace(histories, features=features))
        if validation is not None and search:
            asked = replace(data.histories, features=None)
            weight = choose_weight(super().score_many, counts, asked, features, validation, seed)
            settings = changed(self.config.attributes, weight=weight)
            self.config = changed(self.config, attributes=settings)
            counts.settings = settings


def top_positive(scores: FloatArray, k: int) -> tuple[NDArray[np.int32], FloatArray]:
    """Return the `k` items with the highest scores above zero, ties by index: [n, k] each."""
    n, width = scores.shape
    items, best = np.full((n, k), -1, dtype=np.int32), np.zeros((n, k), dtype=np.float32)
    for row in range(n):
        mine = scores[row]
        least = np.partition(mine, width - k)[width - k] if k < width else 0.0
        some = np.flatnonzero((mine >= least) & (mine > 0))
        order = some[np.argsort(-mine[some], kind="stable")][:k]
        items[row, : len(order)], best[row, : len(order)] = order, mine[order]
    return items, best
