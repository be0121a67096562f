"""Items similar to an item."""

from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from nearline.models.base import Ranking
from nearline.models.capabilities import related
from nearline.recommend.caps import LabelCounts
from nearline.recommend.diversity import diverse
from nearline.recommend.fusion import CANDIDATES, fused
from nearline.recommend.lists import View
from nearline.recommend.lookups import known_item, known_to_few, lines_of, seen_items
from nearline.recommend.pages import Pages
from nearline.recommend.placement import Placement
from nearline.recommend.policies import with_model
from nearline.recommend.scenarios import resolved
from nearline.recommend.selection import Order, choose, first_boosted, without
from nearline.schema import DEFAULT_K, ScoredList, SimilarOptions
from nearline.schema.questions import RELATIONS, check_similar
from nearline.state import Top


def similar(item_id: str, options: SimilarOptions, view: View, least_users: int = 1) -> ScoredList:
    """Return the available items most similar to an item according to the model, best first.

    An item that occurs in the histories of fewer than `least_users` users, but of at least one, has
    no list and is in no list. Otherwise, the list of an item that only one person knows shows what
    else this person has looked at. Items without any event are compared by their content only.

    With a user, the most similar items, at least 200, are ordered by their similarity and for the
    user; see `nearline.recommend.fusion`.
    """
    index = known_item(item_id, view.state)
    options, view = resolved(options, view.state), with_model(options, view)
    check_similar(options)
    pages = Pages(msgspec.structs.replace(options, cursor=None, k=DEFAULT_K), (item_id,), view)
    before = pages.before(options.cursor)
    user = None if options.user is None else view.person(options.user, options.profiling)
    choice = choose(options, view, user)
    placement = Placement.of(options, view, choice, first=len(before))
    if index >= view.model.n_items or known_to_few(_one(index), view.state, least_users)[0]:
        return ScoredList(())
    factors = placement.factors

    def make(allowed: NDArray[np.bool_]) -> Top:
        order = _order(index, options.relation, allowed, view, least_users)

        def first(n: int) -> Top:
            if user is None:
                return first_boosted(order, n, factors)
            return fused([order(max(CANDIDATES, 2 * n)).items], n, user, view, factors)

        return diverse(first, options, view)

    counts = LabelCounts(options.max_per or {}, view.state.catalogue)
    allowed = without(choice.allowed, {*before, *seen_items(user, options, view)})
    best = placement.place(make, allowed, options.k, counts)
    lines = lines_of(best, options, view)
    following = pages.after(before, best.items) if len(lines) == options.k else None
    return ScoredList(lines, placement.fired(best.items), following)


def _order(
    index: int, relation: str | None, available: NDArray[np.bool_], view: View, least_users: int
) -> Callable[[int], Order]:
    """Return the order of the allowed items by their similarity with an item."""
    n_items = view.model.n_items
    allowed = np.zeros(n_items, dtype=np.bool_)
    n_known = min(n_items, len(available))
    allowed[:n_known] = available[:n_known]

    def nearest(n: int) -> Ranking:
        if relation is None:
            return view.model.similar(_one(index), n)
        return related(view.model, _one(index), n, RELATIONS[relation])

    def order(n: int) -> Order:
        # More than n, because most are usually allowed, and the others are removed.
        wide = min(2 * n + 50, n_items)
        found = nearest(wide)
        items, scores = found.items[0], found.scores[0].astype(np.float64)
        # The model may have learned of more items since they were counted.
        listed = (items >= 0) & (items < n_items)
        complete = wide >= n_items or items[-1] < 0
        least = -np.inf if complete else float(scores[-1])
        items, scores = items[listed], scores[listed]
        kept = allowed[items] & ~known_to_few(items, view.state, least_users)
        return Order(items[kept], scores[kept], least)

    return order


def _one(index: int) -> NDArray[np.int32]:
    return np.array([index], dtype=np.int32)
