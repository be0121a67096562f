"""Fallback tiers: personal → session → trending → popular, until the list is full.

Every tier's scores lie below those of the tier before, so a list's scores fall from top to bottom:

- a personal or session score comes from the model and is above `PERSONAL_FLOOR`;
- a trending score is the item's share of the largest decayed count, times 1e-6;
- a popular score is the item's share of the largest all-time count, times 1e-9; 0 for an item that
  nobody has touched yet.
"""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.state import State

PERSONAL_FLOOR = 1e-6
TRENDING_SCALE = 1e-6
POPULAR_SCALE = 1e-9
# Below one event's worth of decayed weight nothing is trending; what was popular takes over.
TRENDING_MINIMUM = 1.0


class Line(NamedTuple):
    """An item index, its score and the tier it came from."""

    item: int
    score: float
    tier: str


def fill(
    lines: list[Line],
    k: int,
    state: State,
    *,
    now: float,
    allowed: NDArray[np.bool_],
    excluded: Collection[int] = (),
) -> list[Line]:
    """Add trending, popular and finally untouched items, until there are `k` or none is left.

    Parameters
    ----------
    allowed : bool [n_items]
        Which items may be added.
    excluded : collection of int
        Items that may not, whatever `allowed` says; those in `lines` are never added again.
    """
    lines = lines[:k]
    if len(lines) == k:
        return lines
    taken = {line.item for line in lines}.union(excluded)
    n, counters = k - len(lines), state.counters
    with state.lock:
        trending = counters.trending(n + len(taken), now, allowed)
        popular = counters.popular(n + len(taken), allowed)
        top_trend, top_count = _tops(state, now)
    for item, score in zip(trending.items.tolist(), trending.scores.tolist(), strict=True):
        if score >= TRENDING_MINIMUM and item not in taken and len(lines) < k:
            lines.append(Line(item, score / top_trend * TRENDING_SCALE, "trending"))
            taken.add(item)
    for item, score in zip(popular.items.tolist(), popular.scores.tolist(), strict=True):
        if item not in taken and len(lines) < k:
            lines.append(Line(item, score / top_count * POPULAR_SCALE, "popular"))
    return lines


def fallback_lines(items: NDArray[np.int32], state: State, *, now: float) -> list[Line]:
    """Score some items as `fill` would, in the order given."""
    with state.lock:
        counts, trends = state.counters.of(items, now)
        top_trend, top_count = _tops(state, now)
    return [
        Line(item, trend / top_trend * TRENDING_SCALE, "trending")
        if trend >= TRENDING_MINIMUM
        else Line(item, count / top_count * POPULAR_SCALE, "popular")
        for item, count, trend in zip(items.tolist(), counts.tolist(), trends.tolist(), strict=True)
    ]


def _tops(state: State, now: float) -> tuple[float, float]:
    """Return the largest score of either order, 1 at least."""
    trending, popular = state.counters.trending(1, now), state.counters.popular(1)
    return (
        float(trending.scores.max(initial=TRENDING_MINIMUM)),
        float(popular.scores.max(initial=1.0)),
    )
