"""Search of items by a text: by its words, by its meaning, and for a user."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nearline.encoders.search_index import SearchIndex
from nearline.recommend.caps import LabelCounts
from nearline.recommend.fusion import CANDIDATES, fused
from nearline.recommend.lists import View
from nearline.recommend.lookups import lines_of
from nearline.recommend.placement import Placement
from nearline.recommend.rules import allowed_items
from nearline.recommend.scenarios import resolved
from nearline.recommend.selection import Order, choose, first_boosted
from nearline.schema import ScoredList
from nearline.schema.questions import SearchRequest, check_search
from nearline.state import Top


def search(
    request: SearchRequest,
    view: View,
    index: SearchIndex,
    encode: Callable[[str], NDArray[np.float32] | None] | None,
) -> ScoredList:
    """Return the available items that match a text, best first.

    By words alone, the scores are those of BM25. With an encoder or a user, the best items by
    words, by the cosine of the texts' vectors, and for the user are fused (`nearline.recommend.
    fusion`): at least 200 of each.

    Parameters
    ----------
    index : SearchIndex
        Index of the items of the state.
    encode : callable or None
        Returns the vector of a text, or None if the encoder fails.
    """
    request = resolved(request, view.state)
    check_search(request)
    user = None if request.user is None else view.person(request.user, None)
    choice = choose(request, view, user, allowed_items(view.state, request.category))
    placement = Placement.of(request, view, choice)
    factors = placement.factors
    vector = None if encode is None else encode(request.q)

    def make(allowed: NDArray[np.bool_]) -> Top:
        if vector is None and user is None:
            return first_boosted(_by_words(index, request.q, allowed), request.k, factors)
        depth = max(CANDIDATES, 2 * request.k)
        orders = [index.search(request.q, depth, allowed).items]
        if vector is not None:
            orders.append(index.nearest(vector, depth, allowed).items)
        return fused(orders, request.k, user, view, factors)

    uncapped = LabelCounts({}, view.state.catalogue)
    best = placement.place(make, choice.allowed, request.k, uncapped)
    return ScoredList(lines_of(best, request, view), placement.fired(best.items))


def _by_words(index: SearchIndex, text: str, allowed: NDArray[np.bool_]) -> Callable[[int], Order]:
    def order(n: int) -> Order:
        found = index.search(text, n, allowed)
        complete = len(found.items) < n
        scores = found.scores.astype(np.float64)
        return Order(found.items, scores, -np.inf if complete else float(scores[-1]))

    return order
