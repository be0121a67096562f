"""Which items may stand in a list: available, of the category, not excluded, seen or disliked."""

import numpy as np
from numpy.typing import NDArray

from nearline.recommend.lists import Lists, Query
from nearline.state import State


def allowed_items(state: State, category: str | None = None) -> NDArray[np.bool_]:
    """Mask [n_items] of the items that are available and of the category; read-only.

    An unknown category allows nothing. Nothing that grows with the catalogue is copied, except once
    for each category.
    """
    if not category:
        return state.catalogue.available()
    return state.catalogue.available_in(category)


def rules(lists: Lists, query: Query) -> Lists:
    """Remove what is excluded or disliked, and cut the lists to `k`.

    Models leave out what is not allowed, and seen items where they are asked to.
    """
    k, items = query.options.k, lists.items
    out = np.zeros(items.shape, dtype=np.bool_)
    if query.excluded:
        out |= np.isin(items, list(query.excluded))
    if not query.options.exclude_seen:
        for user in query.disliking():
            out[user] |= np.isin(items[user], list(query.disliked(user)))
    if not out.any():
        return Lists(items[:, :k], lists.scores[:, :k], lists.tiers[:, :k])
    order = np.argsort(out | (items < 0), axis=1, kind="stable")
    items = np.take_along_axis(np.where(out, np.int32(-1), items), order, axis=1)
    scores = np.take_along_axis(np.where(out, 0.0, lists.scores), order, axis=1)
    tiers = np.take_along_axis(lists.tiers, order, axis=1)
    return Lists(items[:, :k], scores[:, :k], tiers[:, :k])
