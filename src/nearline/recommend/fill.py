"""Stages that fill short lists: by preferences, then by context or trend, then by popularity.

Each line carries its tier. Within a tier, scores decrease:

- stated: text similarity between the item and the preferences (0 to 1), scaled to 2e-7 to 1e-6;
- attributes: what people with the same attributes take, scaled to 1e-7 to 2e-7;
- trending: the item's decayed count relative to the largest one, times 1e-7;
- popular: the item's all-time count relative to the largest one, times 1e-9; 0 without events.

If events with a value of the request's context are known, the tier "context" takes the place of
"trending": trending, then popular items given the context (see `contexts`), with scores relative to
the largest score given the context.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from nearline.models.capabilities import SearchesText
from nearline.recommend.caps import LabelCounts
from nearline.recommend.contexts import Orders, orders_given
from nearline.recommend.lists import CONTEXT, POPULAR, PREFERENCES, TRENDING, Lists, Query
from nearline.recommend.selection import Order, first_boosted
from nearline.state import State, Top
from nearline.state.contexts import Context

PREFERENCES_SCALE = 1e-6
ATTRIBUTES_SCALE = 2e-7
TRENDING_SCALE = 1e-7
POPULAR_SCALE = 1e-9
# An item is trending from one event's worth of decayed weight on.
TRENDING_MINIMUM = 1.0
LEAST_TRENDING = POPULAR_SCALE / TRENDING_SCALE
EMPTY = (np.zeros(0, dtype=np.int32), np.zeros(0))


def preferences(lists: Lists, query: Query) -> Lists:
    """Add items whose text is similar to the preferences of the request, if it has any."""
    model = query.view.model
    rows = lists.short() if query.options.preferences else []
    if not rows or not isinstance(model, SearchesText):
        return lists
    allowed, text = query.allowed[: model.n_items], query.options.preferences or ""

    def order(n: int) -> Order:
        found = model.search_text(text, n, allowed=allowed)
        similarities = np.minimum(found.scores[0].astype(np.float64), 1.0)
        scores = ATTRIBUTES_SCALE + (PREFERENCES_SCALE - ATTRIBUTES_SCALE) * similarities
        return _order(Top(found.items[0], scores), n)

    found = first_boosted(order, depth(lists, rows, query), query.factors)
    tiers = np.full(len(found.items), PREFERENCES, dtype=np.int8)
    return add(lists, rows, Lists(found.items, found.scores, tiers), query)


def fill(lists: Lists, query: Query) -> Lists:
    """Add items by context or trend, then by popularity, until each list is full.

    A list stays short only if no allowed item is left.
    """
    rows = lists.short()
    n = depth(lists, rows, query) if rows else 0
    while rows:
        parts = orders(
            n,
            query.view.state,
            now=query.view.now,
            allowed=query.allowed,
            context=query.options.context,
            factors=query.factors,
        )
        for part in parts:
            lists = add(lists, rows, part, query)
            # Caps can leave out so many items that `n` of a tier are too few.
            if query.options.max_per and len(part.items) >= n:
                break
        if not query.options.max_per or n >= len(query.allowed):
            break
        rows, n = lists.short(), 4 * n
    return lists


def fallback(
    n: int,
    state: State,
    *,
    now: float,
    allowed: NDArray[np.bool_],
    context: Context | None = None,
    factors: NDArray[np.float64] | None = None,
) -> Lists:
    """Return the order of items for users without a history: arrays [m]; see `orders`."""
    parts = orders(n, state, now=now, allowed=allowed, context=context, factors=factors)
    return Lists(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def orders(
    n: int,
    state: State,
    *,
    now: float,
    allowed: NDArray[np.bool_],
    context: Context | None = None,
    factors: NDArray[np.float64] | None = None,
) -> list[Lists]:
    """Return the orders of items for users without a history, one after the other: arrays [m].

    Each has its first `n` items, or all of them. An item occurs again in a later order if it
    belongs to both.

    Parameters
    ----------
    allowed : bool [n_items]
        Mask of the items that may be listed.
    factors : float64 [n_items] or None
        Factors by which scores are multiplied within each tier.
    """
    counters = state.counters

    def given(m: int) -> Orders | None:
        return orders_given(
            context or {}, m, state, now=now, allowed=allowed, trending_from=TRENDING_MINIMUM
        )

    with state.lock:
        top_trend, top_count = _tops(state, now)
        known = given(n)
        if known is None:
            rising = first_boosted(
                lambda m: _rising(counters.trending(m, now, allowed), m), n, factors
            )
            parts = [_scaled(rising, top_trend, TRENDING_SCALE, TRENDING)]
        else:
            trending, liked = known if factors is None else _boosted_given(given, n, factors)
            # Within the tier, items trending in the context score higher than those popular in it.
            trending = Top(trending.items, np.maximum(trending.scores, LEAST_TRENDING))
            parts = [
                _scaled(trending, 1.0, TRENDING_SCALE, CONTEXT),
                _scaled(liked, 1.0, POPULAR_SCALE, CONTEXT),
            ]
        popular = first_boosted(lambda m: _order(counters.popular(m, allowed), m), n, factors)
    return [*parts, _scaled(popular, top_count, POPULAR_SCALE, POPULAR)]


def _boosted_given(
    given: Callable[[int], Orders | None], n: int, factors: NDArray[np.float64]
) -> Orders:
    """Return the top items given a context, by scores times factors."""

    def order(which: int, m: int) -> Order:
        found = given(m)
        return _order(Top(*EMPTY) if found is None else found[which], m)

    return Orders(*(first_boosted(partial(order, which), n, factors) for which in (0, 1)))


def _order(top: Top, n: int) -> Order:
    complete = len(top.items) < n
    return Order(top.items, top.scores, -np.inf if complete else float(top.scores[-1]))


def _rising(top: Top, n: int) -> Order:
    """Return the trending items among the first `n` items by decayed counts."""
    rising = int(np.count_nonzero(top.scores >= TRENDING_MINIMUM))
    found = _order(top, n)
    if rising < len(top.items):
        return Order(top.items[:rising], top.scores[:rising], -np.inf)
    return found


def score_fallback(items: NDArray[np.int32], state: State, *, now: float) -> Lists:
    """Score the given items as `fallback` does without a context: arrays [n] in the given order."""
    with state.lock:
        counts, trends = state.counters.of(items, now)
        top_trend, top_count = _tops(state, now)
    rising = trends >= TRENDING_MINIMUM
    scores = np.where(
        rising, trends / top_trend * TRENDING_SCALE, counts / top_count * POPULAR_SCALE
    )
    return Lists(items, scores, np.where(rising, TRENDING, POPULAR).astype(np.int8))


def depth(lists: Lists, rows: Sequence[int], query: Query) -> int:
    """Return how many items of an order are enough to fill these rows, after all exclusions."""
    return int(lists.items.shape[1]) + max(len(query.ruled_out(row)) for row in rows)


def add(lists: Lists, rows: Sequence[int], order: Lists, query: Query) -> Lists:
    """Append items of one order [m] to short lists in place, without repeating items."""
    found = list(
        zip(order.items.tolist(), order.scores.tolist(), order.tiers.tolist(), strict=True)
    )
    if query.options.min_score is not None:
        found = [line for line in found if line[1] >= query.options.min_score]
    width = lists.items.shape[1]
    for row in rows:
        start = int(np.count_nonzero(lists.items[row] >= 0))
        taken = set(query.ruled_out(row)).union(lists.items[row, :start].tolist())
        counts = LabelCounts.of(query, lists.items[row, :start])
        added: list[tuple[int, float, int]] = []
        for line in found:
            if start + len(added) == width:
                break
            if line[0] not in taken:
                if counts is not None and not counts.takes(line[0]):
                    continue
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
    """Return the largest trending and the largest popular score, each at least 1."""
    trending, popular = state.counters.trending(1, now), state.counters.popular(1)
    return (
        float(trending.scores.max(initial=TRENDING_MINIMUM)),
        float(popular.scores.max(initial=1.0)),
    )
