"""Popular and trending items, without a user."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nearline.kernels.counted_events import LIMITS
from nearline.recommend.contexts import orders_given
from nearline.recommend.fill import TRENDING_MINIMUM
from nearline.recommend.lists import CONTEXT, POPULAR, TIERS, TRENDING, View
from nearline.recommend.lookups import known_to_few
from nearline.recommend.rules import allowed_items
from nearline.recommend.scenarios import resolved
from nearline.recommend.selection import Order, choose, first_boosted, shown
from nearline.schema import Recommendation
from nearline.schema.questions import CountedRequest, check_counted
from nearline.state import Top
from nearline.state.kinds import STANDARD_WEIGHTS


def counted(
    request: CountedRequest, view: View, *, trending: bool, least_users: int = 1
) -> list[Recommendation]:
    """Return trending items and then popular ones, or popular ones only.

    Items that are trending or popular in the context of the request come first. Scores are numbers
    of events; those of trending items decay with the age of the events. In a context they are
    relative to the largest one; see `nearline.recommend.contexts`. Items in the histories of fewer
    than `least_users` users, but of at least one, are left out.
    """
    request = resolved(request, view.state)
    check_counted(request)
    choice = choose(request, view, None, allowed_items(view.state, request.category))
    least = -np.inf if request.min_score is None else request.min_score
    lines: dict[int, Recommendation] = {}
    for tier, plain in _orders(request, choice.allowed, view, trending=trending):
        order = _of_enough(plain, view, least_users, exact=tier == CONTEXT)
        # Items of earlier tiers may come again.
        for item, score in zip(
            *(a.tolist() for a in first_boosted(order, request.k + len(lines), choice.factors)),
            strict=True,
        ):
            if len(lines) < request.k and item not in lines and score >= least:
                lines[item] = Recommendation(
                    item_id=view.state.items.id_of(item),
                    score=score,
                    tier=TIERS[tier],
                    fields=shown(item, request.fields, view.state),
                )
        if len(lines) == request.k:
            break
    return list(lines.values())


def _orders(
    request: CountedRequest, allowed: NDArray[np.bool_], view: View, *, trending: bool
) -> list[tuple[int, Callable[[int], Order]]]:
    """Return the tiers of a list in turn, each with its order of items."""
    counters = view.state.counters

    def in_context(n: int) -> Order:
        given = orders_given(
            request.context or {},
            n,
            view.state,
            now=view.now,
            allowed=allowed,
            trending_from=TRENDING_MINIMUM,
        )
        if given is None:
            return _as_order(Top(np.zeros(0, dtype=np.int32), np.zeros(0)), n)
        return _as_order(given.trending if trending else given.popular, n)

    def rising(n: int) -> Order:
        found = counters.trending(n, view.now, allowed)
        many = int(np.count_nonzero(found.scores >= TRENDING_MINIMUM))
        return _as_order(Top(found.items[:many], found.scores[:many]), n)

    def popular(n: int) -> Order:
        return _as_order(counters.popular(n, allowed), n)

    orders: list[tuple[int, Callable[[int], Order]]] = []
    if request.context:
        orders.append((CONTEXT, in_context))
    if trending:
        orders.append((TRENDING, rising))
    return [*orders, (POPULAR, popular)]


def _of_enough(
    order: Callable[[int], Order], view: View, least: int, *, exact: bool
) -> Callable[[int], Order]:
    """Return an order without items of few users.

    At most five events of a user with an item count, so an item with many events has enough users,
    and histories, which takes longer, are read for the others only. In a context (`exact`), scores
    are no numbers of events.
    """
    if least <= 1:
        return order
    config = view.state.config
    weights = (*STANDARD_WEIGHTS.values(), *config.event_weights.values())
    heaviest = max(config.default_event_weight, *weights)
    enough = np.inf if exact else (least - 1) * LIMITS.repeats * heaviest

    def shown_order(n: int) -> Order:
        found = order(n)
        kept = found.scores > enough
        kept[~kept] = ~known_to_few(found.items[~kept], view.state, least)
        return Order(found.items[kept], found.scores[kept], found.least)

    return shown_order


def _as_order(top: Top, n: int) -> Order:
    complete = len(top.items) < n
    return Order(top.items, top.scores, -np.inf if complete else float(top.scores[-1]))
