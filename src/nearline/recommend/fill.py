"""Fill lists that are short: by preferences, then by context or trending, then by popularity.

A line carries its tier. Within a tier, scores fall from top to bottom:

- by preferences, the similarity of the item's text to theirs, from 0 to 1, between 1e-7 and 1e-6;
- trending: the item's share of the largest decayed count, times 1e-7;
- popular: the item's share of the largest all-time count, times 1e-9; 0 for an item without events.

Where a request has a context and one of its values was seen before, the last two are ordered by
what is popular there (`contexts`), and their lines are of the tier "context": scores are then
shares of the largest score given the context.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nearline.models.capabilities import SearchesText
from nearline.recommend.contexts import orders_given
from nearline.recommend.lists import CONTEXT, POPULAR, PREFERENCES, TRENDING, Lists, Query
from nearline.state import State, Top
from nearline.state.contexts import Context

PREFERENCES_SCALE = 1e-6
TRENDING_SCALE = 1e-7
POPULAR_SCALE = 1e-9
# Below one event's worth of decayed weight nothing is trending.
TRENDING_MINIMUM = 1.0


def preferences(lists: Lists, query: Query) -> Lists:
    """Add items whose text is similar to the preferences of the request, where it has any."""
    model = query.view.model
    rows = lists.short() if query.options.preferences else []
    if not rows or not isinstance(model, SearchesText):
        return lists
    found = model.search_text(
        query.options.preferences or "",
        _depth(lists, rows, query),
        allowed=query.allowed[: model.n_items],
    )
    similarities = np.minimum(found.scores[0].astype(np.float64), 1.0)
    scores = TRENDING_SCALE + (PREFERENCES_SCALE - TRENDING_SCALE) * similarities
    tiers = np.full(len(scores), PREFERENCES, dtype=np.int8)
    return _add(lists, rows, Lists(found.items[0], scores, tiers), query)


def fill(lists: Lists, query: Query) -> Lists:
    """Add what is popular in the context or trending, then popular, until no list is short.

    A list stays short only where no allowed item is left.
    """
    rows = lists.short()
    if not rows:
        return lists
    order = fallback(
        _depth(lists, rows, query),
        query.view.state,
        now=query.view.now,
        allowed=query.allowed,
        context=query.options.context,
    )
    return _add(lists, rows, order, query)


def fallback(
    n: int,
    state: State,
    *,
    now: float,
    allowed: NDArray[np.bool_],
    context: Context | None = None,
) -> Lists:
    """Order items for a user without a history: arrays [m], at least the first `n` items.

    An item may stand in it more than once, in a later tier again.

    Parameters
    ----------
    allowed : bool [n_items]
        Which items may stand in it.
    """
    counters = state.counters
    with state.lock:
        given = orders_given(
            context or {}, n, state, now=now, allowed=allowed, trending_from=TRENDING_MINIMUM
        )
        trending = counters.trending(n, now, allowed) if given is None else None
        popular = counters.popular(n, allowed)
        top_trend, top_count = _tops(state, now)
    if trending is not None:
        rising = int(np.count_nonzero(trending.scores >= TRENDING_MINIMUM))
        trending = Top(trending.items[:rising], trending.scores[:rising])
        parts = [_scaled(trending, top_trend, TRENDING_SCALE, TRENDING)]
    elif given is not None:
        # Scores of what is trending in the context stay above those of what is popular in it.
        floored = np.maximum(given.trending.scores, POPULAR_SCALE / TRENDING_SCALE)
        parts = [
            _scaled(Top(given.trending.items, floored), 1.0, TRENDING_SCALE, CONTEXT),
            _scaled(given.popular, 1.0, POPULAR_SCALE, CONTEXT),
        ]
    parts.append(_scaled(popular, top_count, POPULAR_SCALE, POPULAR))
    return Lists(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def score_fallback(items: NDArray[np.int32], state: State, *, now: float) -> Lists:
    """Score given items as `fallback` does without a context, in the order given: arrays [n]."""
    with state.lock:
        counts, trends = state.counters.of(items, now)
        top_trend, top_count = _tops(state, now)
    rising = trends >= TRENDING_MINIMUM
    scores = np.where(
        rising, trends / top_trend * TRENDING_SCALE, counts / top_count * POPULAR_SCALE
    )
    return Lists(items, scores, np.where(rising, TRENDING, POPULAR).astype(np.int8))


def _depth(lists: Lists, rows: Sequence[int], query: Query) -> int:
    """How many items of an order suffice to fill these rows, whatever is taken of it."""
    return int(lists.items.shape[1]) + max(len(query.ruled_out(row)) for row in rows)


def _add(lists: Lists, rows: Sequence[int], order: Lists, query: Query) -> Lists:
    """Append the items of one order [m] to short lists, each item once; the lists are changed."""
    found = list(
        zip(order.items.tolist(), order.scores.tolist(), order.tiers.tolist(), strict=True)
    )
    width = lists.items.shape[1]
    for row in rows:
        start = int(np.count_nonzero(lists.items[row] >= 0))
        taken = set(query.ruled_out(row)).union(lists.items[row, :start].tolist())
        added: list[tuple[int, float, int]] = []
        for line in found:
            if start + len(added) == width:
                break
            if line[0] not in taken:
                taken.add(line[0])
                added.append(line)
        if added:
            place = slice(start, start + len(added))
            items, scores, tiers = zip(*added, strict=True)
            lists.items[row, place] = items
            lists.scores[row, place] = scores
            lists.tiers[row, place] = tiers
    return lists


def _scaled(top: Top, largest: float, scale: float, tier: int) -> Lists:
    tiers = np.full(len(top.items), tier, dtype=np.int8)
    return Lists(top.items, top.scores / largest * scale, tiers)


def _tops(state: State, now: float) -> tuple[float, float]:
    """Return the largest score of either order, 1 at least."""
    trending, popular = state.counters.trending(1, now), state.counters.popular(1)
    return (
        float(trending.scores.max(initial=TRENDING_MINIMUM)),
        float(popular.scores.max(initial=1.0)),
    )
