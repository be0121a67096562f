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
    blocks = _blocks(query)
    width = max((wanted for _, wanted in blocks), default=options.k)
    if width > options.k:
        lists = Lists.empty(len(histories), width)
    lists.tiers[:] = query.tier
    for rows, wanted in blocks:
        found = model.recommend_from(
            histories if isinstance(rows, slice) else histories.select(rows),
            wanted,
            exclude_seen=options.exclude_seen,
            allowed=query.allowed[: model.n_items],
        )
        lists.items[rows, :wanted] = found.items
        lists.scores[rows, :wanted] = found.scores
    return lists


def _blocks(query: Query) -> list[tuple[slice | NDArray[np.int64], int]]:
    """Return the users to ask the model for, in blocks with the same number of items to ask for.

    The number is `k` plus the number of items that the rules may remove: asking for more items is
    cheaper than a mask over the catalogue for each user. Some models search deeper for longer
    lists, so each number has a block of its own: a list must not depend on the other users. Users
    without a history belong to no block. The usual block is a slice of all users, for which NumPy
    copies faster than for an array of rows.
    """
    wanted = query.options.k + len(query.excluded)
    indptr = query.histories.indptr
    known = indptr[1:] > indptr[:-1]  # has a history
    disliking = [] if query.options.exclude_seen else query.disliking()
    if not disliking and known.all():
        return [(slice(None), wanted)]
    widths = np.where(known, wanted, 0)
    for user in disliking:
        widths[user] = query.options.k + len(query.ruled_out(user))
    different = sorted(set(widths.tolist()) - {0})
    return [(np.flatnonzero(widths == width), width) for width in different]
