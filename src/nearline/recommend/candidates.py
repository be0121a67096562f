"""First stage of the pipeline: the items that the model ranks for each user with a history."""

import numpy as np
from numpy.typing import NDArray

from nearline.recommend.lists import Lists, Query


def candidates(lists: Lists, query: Query) -> Lists:
    """Return the model's ranking for each user; the list of a user without a history is empty.

    The later stages fill empty lists from current counts, which are fresher than what a model
    returns for an empty history.
    """
    histories, options, model = query.histories, query.options, query.view.model
    widths = _widths(query)
    width = int(widths.max(initial=options.k))
    if width > options.k:
        lists = Lists.empty(len(histories), width)
    lists.tiers[:] = query.tier
    # One call for each width: some models search deeper for longer lists, and a list must not
    # depend on the other users of the block.
    for wanted in sorted(set(widths.tolist()) - {0}):
        same = widths == wanted
        everyone = bool(same.all())
        found = model.recommend_from(
            histories if everyone else histories.select(np.flatnonzero(same)),
            wanted,
            exclude_seen=options.exclude_seen,
            allowed=query.allowed[: model.n_items],
        )
        # A mask as index copies more slowly than a slice, which is the usual case.
        rows = slice(None) if everyone else same
        lists.items[rows, :wanted] = found.items
        lists.scores[rows, :wanted] = found.scores
    return lists


def _widths(query: Query) -> NDArray[np.int64]:
    """Return the number of items to ask the model for, int64 [n]; 0 for an empty history.

    It is `k` plus the number of items that the rules may remove. Asking for more items is cheaper
    than a mask over the catalogue for each user.
    """
    histories = query.histories
    asked = query.options.k + len(query.excluded)
    widths = np.where(histories.indptr[1:] > histories.indptr[:-1], asked, 0)
    if not query.options.exclude_seen:
        for user in query.disliking():
            widths[user] = query.options.k + len(query.ruled_out(user))
    return widths
