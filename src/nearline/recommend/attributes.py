"""Attributes of users in the pipeline: features of histories, and lines of new users."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from nearline.data import Histories
from nearline.models.capabilities import UsesAttributes, explain
from nearline.recommend.fill import ATTRIBUTES_SCALE, TRENDING_SCALE, add, depth
from nearline.recommend.lists import ATTRIBUTES, Lists, Query, View
from nearline.recommend.selection import Order, first_boosted


def with_features(histories: Histories, user_ids: Sequence[str], view: View) -> Histories:
    """Add the features of users to their histories, if the model uses attributes."""
    state = view.state
    if not state.profiles.with_attributes or not isinstance(view.model, UsesAttributes):
        return histories
    users = [state.user_attributes(user_id) for user_id in user_ids]
    features = view.model.user_features(users) if any(users) else None
    return histories if features is None else replace(histories, features=features)


def by_attributes(lists: Lists, query: Query) -> Lists:
    """Add what people with the same attributes take to short lists."""
    features = query.histories.features
    if features is None:
        return lists
    found: dict[bytes, Lists] = {}
    for row in lists.short():
        mine = features[row : row + 1]
        if not mine.any():
            continue
        key = mine.tobytes()
        if key not in found:  # users with equal attributes have the same order
            order = partial(_order, _nobody(mine), query)
            top = first_boosted(order, depth(lists, lists.short(), query), query.factors)
            tiers = np.full(len(top.items), ATTRIBUTES, dtype=np.int8)
            found[key] = Lists(top.items, top.scores, tiers)
        add(lists, [row], found[key], query)
    return lists


def score_by_attributes(
    items: NDArray[np.int32], features: NDArray[np.float32] | None, view: View
) -> NDArray[np.float64]:
    """Return the scores that `by_attributes` gives to items: float64 [n], 0 for those without."""
    if features is None or not features.any():
        return np.zeros(len(items))
    raw = view.model.score(_nobody(features), items).astype(np.float64)
    return np.where(raw > 0, _scaled(raw), 0.0)


def attribute_parts(
    item: int, score: float, history: Histories, view: View
) -> list[tuple[str, float]]:
    """Return the parts of a score of this tier by name, which sum to it."""
    if history.features is None:
        return []
    parts = explain(view.model, _nobody(history.features), item)
    total = sum(part.amount for part in parts)
    return [(part.relation, score * part.amount / total) for part in parts] if total else []


def _order(nobody: Histories, query: Query, n: int) -> Order:
    """Return the first `n` items of the model's order for attributes without events."""
    model = query.view.model
    n = max(1, min(n, model.n_items))
    ranking = model.recommend_from(
        nobody, n, exclude_seen=False, allowed=query.allowed[: model.n_items]
    )
    listed = ranking.items[0] >= 0
    scores = _scaled(ranking.scores[0][listed].astype(np.float64))
    complete = n == model.n_items or not listed.all()
    return Order(ranking.items[0][listed], scores, -np.inf if complete else float(scores[-1]))


def _scaled(raw: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map scores of any size to the range of the tier, in the same order."""
    share = 0.5 + 0.5 * raw / (1.0 + np.abs(raw))
    return TRENDING_SCALE + (ATTRIBUTES_SCALE - TRENDING_SCALE) * share


def _nobody(features: NDArray[np.float32]) -> Histories:
    return replace(Histories.from_rows([[]]), features=features)
