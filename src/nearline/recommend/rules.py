"""Rules of the pipeline: availability, category, exclusions, seen, disliked, irrelevant items."""

import numpy as np
from numpy.typing import NDArray

from nearline.recommend.lists import Lists, Query
from nearline.state import State


def allowed_items(state: State, category: str | None = None) -> NDArray[np.bool_]:
    """Return a read-only mask [n_items] of the items that are available and of the category.

    Without a category all available items are allowed; an unknown category allows none. The mask of
    a category is built once and cached.
    """
    if not category:
        return state.catalogue.available()
    return state.catalogue.available_in(category)


def rules(lists: Lists, query: Query) -> Lists:
    """Remove excluded and disliked items, and truncate the lists to the depth of the query.

    Models already omit items that are not allowed and, if `exclude_seen` is set, seen items.
    """
    k, items = query.depth, lists.items
    if query.options.exclude_seen and not query.excluded and query.hidden is None:
        return Lists(items[:, :k], lists.scores[:, :k], lists.tiers[:, :k])
    out = np.zeros(items.shape, dtype=np.bool_)
    if query.excluded:
        out |= np.isin(items, list(query.excluded))
    if not query.options.exclude_seen:
        for user in query.disliking():
            out[user] |= np.isin(items[user], list(query.disliked(user)))
    for user, hidden in enumerate(query.hidden or ()):
        out[user] |= np.isin(items[user], list(hidden))
    if not out.any():
        return Lists(items[:, :k], lists.scores[:, :k], lists.tiers[:, :k])
    order = np.argsort(out | (items < 0), axis=1, kind="stable")
    items = np.take_along_axis(np.where(out, np.int32(-1), items), order, axis=1)
    scores = np.take_along_axis(np.where(out, 0.0, lists.scores), order, axis=1)
    tiers = np.take_along_axis(lists.tiers, order, axis=1)
    return Lists(items[:, :k], scores[:, :k], tiers[:, :k])


def relevant(lists: Lists, query: Query) -> Lists:
    """Remove items with a lower score than the request asks for."""
    if query.options.min_score is None:
        return lists
    low = lists.scores < query.options.min_score
    items = np.where(low, np.int32(-1), lists.items)
    return Lists(items, np.where(low, 0.0, lists.scores), lists.tiers)
