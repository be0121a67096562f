"""Fallback tiers: personal → session → stated → trending → popular, until the list is full.

Every tier's scores lie below those of the tier before, so a list's scores fall from top to bottom:

- a personal or session score comes from the model and is above `PERSONAL_FLOOR`;
- one by stated preferences is 1e-7, and 9e-7 times how near the item's words are to theirs;
- a trending score is the item's share of the largest decayed count, times 1e-7;
- a popular score is the item's share of the largest all-time count, times 1e-9; 0 for an item that
  nobody has touched yet.

Where a request has a context and one of its values was seen before, both of the last are ordered by
what is wanted there (`contexts`), and their lines are of the tier "context": scores are then shares
of the largest score given the context.
"""

from collections.abc import Collection, Iterator
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.recommend.contexts import orders_given
from nearline.state import State, Top
from nearline.state.contexts import Context

PERSONAL_FLOOR = 1e-6
TRENDING_SCALE = 1e-7
POPULAR_SCALE = 1e-9
# Below one event's worth of decayed weight nothing is trending; what was popular takes over.
TRENDING_MINIMUM = 1.0


class Line(NamedTuple):
    """An item index, its score and the tier it came from."""

    item: int
    score: float
    tier: str


def stated_lines(items: NDArray[np.int32], cosines: NDArray[np.float32]) -> list[Line]:
    """Lines of items whose words are near to what a user says to like, in the order given."""
    rest = PERSONAL_FLOOR - TRENDING_SCALE
    return [
        Line(item, TRENDING_SCALE + rest * min(cosine, 1.0), "stated")
        for item, cosine in zip(items.tolist(), cosines.tolist(), strict=True)
    ]


def fill(
    lines: list[Line],
    k: int,
    state: State,
    *,
    now: float,
    allowed: NDArray[np.bool_],
    excluded: Collection[int] = (),
    context: Context | None = None,
) -> list[Line]:
    """Add trending, popular and finally untouched items, until there are `k` or none is left.

    Where a value of `context` was seen before, the first two are what they are given the context.

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
    n, counters = k - len(lines) + len(taken), state.counters
    with state.lock:
        given = orders_given(
            context or {}, n, state, now=now, allowed=allowed, trending_from=TRENDING_MINIMUM
        )
        trending = counters.trending(n, now, allowed)
        popular = counters.popular(n, allowed)
        top_trend, top_count = _tops(state, now)
    if given is not None:
        found = chain(
            _lines(_floored(given.trending), 1.0, TRENDING_SCALE, "context"),
            _lines(given.popular, 1.0, POPULAR_SCALE, "context"),
        )
    else:
        rising = int(np.count_nonzero(trending.scores >= TRENDING_MINIMUM))
        found = chain(islice(_lines(trending, top_trend, TRENDING_SCALE, "trending"), rising))
    for line in chain(found, _lines(popular, top_count, POPULAR_SCALE, "popular")):
        if len(lines) == k:
            break
        if line.item not in taken:
            lines.append(line)
            taken.add(line.item)
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


def _floored(top: Top) -> Top:
    """Keep shares so large that those of the next tier lie below."""
    return Top(top.items, np.maximum(top.scores, POPULAR_SCALE / TRENDING_SCALE))


def _lines(top: Top, largest: float, scale: float, tier: str) -> Iterator[Line]:
    for item, score in zip(top.items.tolist(), top.scores.tolist(), strict=True):
        yield Line(item, score / largest * scale, tier)


def _tops(state: State, now: float) -> tuple[float, float]:
    """Return the largest score of either order, 1 at least."""
    trending, popular = state.counters.trending(1, now), state.counters.popular(1)
    return (
        float(trending.scores.max(initial=TRENDING_MINIMUM)),
        float(popular.scores.max(initial=1.0)),
    )
