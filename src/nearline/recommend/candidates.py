"""First stage of the pipeline: the items that the model ranks for each user with a history."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from nearline.data import Histories
from nearline.models.base import Ranking
from nearline.recommend.lists import Lists, Query
from nearline.recommend.selection import Order, first_boosted


def candidates(_: Lists, query: Query) -> Lists:
    """Return the model's ranking for each user; the list of a user without a history is empty.

    The later stages fill empty lists from current counts, which are fresher than what a model
    returns for an empty history.

    The model is asked for `depth` items plus the number of items that the rules may remove: this is
    cheaper than a mask over the catalogue for each user.
    """
    wanted = query.depth + len(query.excluded)
    indptr = query.histories.indptr
    known = indptr[1:] > indptr[:-1]  # has a history
    disliking = [] if query.options.exclude_seen else query.disliking()
    plain = query.factors is None and query.hidden is None
    if plain and not disliking and known.all():  # nearly always, and without copies
        found = _ranking(query)(query.histories, wanted)
        tiers = np.empty(found.items.shape, dtype=np.int8)
        tiers.fill(query.tier)
        return Lists(found.items, found.scores.astype(np.float64), tiers)
    widths = np.where(known, wanted, 0)
    for user, hidden in enumerate(query.hidden or ()):
        widths[user] += known[user] * _rounded(len(hidden))
    for user in disliking:
        widths[user] = query.depth + _rounded(len(query.ruled_out(user)))
    return _by_width(query, widths)


def _by_width(query: Query, widths: NDArray[np.int64]) -> Lists:
    """Ask the model for lists of different lengths; a user with length 0 gets an empty list.

    Some models search deeper for longer lists, so each length has a block of its own: a list must
    not depend on the other users.
    """
    lists = Lists.empty(len(widths), max(query.depth, int(widths.max(initial=0))))
    lists.tiers[:] = query.tier
    rank = _ranking(query)
    if query.factors is not None:
        for row in np.flatnonzero(widths).tolist():
            top = first_boosted(_order_of(query, row, rank), int(widths[row]), query.factors)
            lists.items[row, : len(top.items)] = top.items
            lists.scores[row, : len(top.items)] = top.scores
        return lists
    for width in sorted(set(widths.tolist()) - {0}):
        rows = np.flatnonzero(widths == width)
        found = rank(query.histories.select(rows), width)
        lists.items[rows, :width] = found.items
        lists.scores[rows, :width] = found.scores
    return lists


def _order_of(
    query: Query, row: int, rank: Callable[[Histories, int], Ranking]
) -> Callable[[int], Order]:
    """Return a function that returns the first n items of the model's order for one user."""
    history, n_items = query.histories.select(np.array([row])), query.view.model.n_items

    def order(n: int) -> Order:
        found = rank(history, max(1, min(n, n_items)))
        items, scores = found.items[0], found.scores[0].astype(np.float64)
        listed = items >= 0
        complete = n >= n_items or not listed.all()
        return Order(items[listed], scores[listed], -np.inf if complete else scores[-1])

    return order


def _rounded(n: int) -> int:
    """Return the next power of two, so that there are few different lengths; 0 for 0."""
    return 1 << (n - 1).bit_length() if n else 0


def _ranking(query: Query) -> Callable[[Histories, int], Ranking]:
    """Return the model's method that ranks items, with the options of the query."""
    model = query.view.model
    return partial(
        model.recommend_from,
        exclude_seen=bool(query.options.exclude_seen),
        allowed=query.allowed[: model.n_items],
    )
