"""First stage: what the model ranks for each user with a history, in the model's order."""

import numpy as np
from numpy.typing import NDArray

from nearline.recommend.lists import Lists, Query


def candidates(lists: Lists, query: Query) -> Lists:
    """Replace the lists by what the model ranks; a user without a history gets an empty list.

    What a model makes of an empty history is the same for everybody: the later stages, whose counts
    are up to date, say it better.
    """
    histories, options, model = query.histories, query.options, query.view.model
    widths = _widths(query)
    width = int(widths.max(initial=options.k))
    if width > options.k:
        lists = Lists.empty(len(histories), width)
    lists.tiers[:] = query.tier
    # One call for each width, so that a list does not depend on who else is in the block: how deep
    # some models look depends on the length they are asked for.
    for wanted in np.unique(widths[widths > 0]).tolist():
        rows = np.flatnonzero(widths == wanted)
        some = histories if len(rows) == len(histories) else histories.select(rows)
        found = model.recommend_from(
            some,
            wanted,
            exclude_seen=options.exclude_seen,
            allowed=query.allowed[: model.n_items],
        )
        lists.items[rows, :wanted] = found.items
        lists.scores[rows, :wanted] = found.scores
    return lists


def _widths(query: Query) -> NDArray[np.int64]:
    """How many items to ask for, int64 [n]: `k` and those that the rules take out again.

    0 for an empty history. Asking for more is cheaper than a mask of all items.
    """
    histories = query.histories
    widths = np.full(len(histories), query.options.k + len(query.excluded), dtype=np.int64)
    widths[np.diff(histories.indptr) == 0] = 0
    if not query.options.exclude_seen:
        for user in query.disliking():
            widths[user] = query.options.k + len(query.ruled_out(user))
    return widths
