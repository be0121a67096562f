"""Fallback tiers: personal → session → trending → popular, until the list is full.

Every tier's scores lie below those of the tier before, so a list's scores fall from top to bottom:

- a personal or session score comes from the model and is above `PERSONAL_FLOOR`;
- a trending score is the item's share of the largest decayed count, times 1e-6;
- a popular score is the item's share of the largest all-time count, times 1e-9; 0 for an item that
  nobody has touched yet.
"""

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
    lines: list[Line], k: int, allowed: NDArray[np.bool_], state: State, *, now: float
) -> list[Line]:
    """Add trending, popular and finally untouched items, until there are `k` or none is left.

    `allowed` [n_items] says which items may be added; those in `lines` are never added again.
    """
    lines = lines[:k]
    if len(lines) == k:
        return lines
    allowed = allowed.copy()
    allowed[[line.item for line in lines]] = False
    return lines + fallback_lines(k - len(lines), allowed, state, now=now)


def fallback_lines(n: int, allowed: NDArray[np.bool_], state: State, *, now: float) -> list[Line]:
    """Up to `n` of the allowed items: what is trending first, then what is popular."""
    counters = state.counters
    with state.lock:
        trending, popular = counters.trending(n, now, allowed), counters.popular(n, allowed)
        top_trend = float(counters.trending(1, now).scores.max(initial=TRENDING_MINIMUM))
        top_count = float(counters.popular(1).scores.max(initial=1.0))
    hot = trending.scores >= TRENDING_MINIMUM
    lines = [
        Line(item, score / top_trend * TRENDING_SCALE, "trending")
        for item, score in zip(
            trending.items[hot].tolist(), trending.scores[hot].tolist(), strict=True
        )
    ]
    taken = {line.item for line in lines}
    lines += [
        Line(item, score / top_count * POPULAR_SCALE, "popular")
        for item, score in zip(popular.items.tolist(), popular.scores.tolist(), strict=True)
        if item not in taken
    ]
    return lines[:n]
