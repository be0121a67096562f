"""Reciprocal rank fusion: one order of items from several, whose scores are not comparable.

    score(i) = sum over the orders o that contain i:  1 / (60 + rank_o(i))

Source: G. Cormack, C. Clarke and S. Büttcher, "Reciprocal rank fusion outperforms Condorcet and
individual rank learning methods", SIGIR 2009.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nearline.recommend.lists import PERSONAL, View
from nearline.recommend.lookups import rank_history, score_items
from nearline.state import Top

RANK_OFFSET = 60
# Items of each order that are fused, at least.
CANDIDATES = 200


def fused(
    orders: Sequence[NDArray[np.int32]],
    k: int,
    user: str | None,
    view: View,
    factors: NDArray[np.float64] | None,
) -> Top:
    """Return the `k` items of several orders with the largest fused scores, best first.

    Parameters
    ----------
    orders : sequence of int32 [n]
        Items of each order, best first.
    user : str or None
        With a user, the items that the model ranks for the user are one more order.
    factors : float64 [n_items] or None
        Factors by which the fused scores are multiplied.
    """
    items = np.unique(np.concatenate(orders)).astype(np.int32)
    if user is not None and len(items):
        orders = [*orders, _personal(items, user, view)]
    scores = np.zeros(len(items))
    for order in orders:
        places = np.searchsorted(items, order)
        scores[places] += 1.0 / (RANK_OFFSET + np.arange(1, len(order) + 1))
    if factors is not None:
        scores *= factors[items]
    best = np.lexsort((items, -scores))[:k]
    return Top(items[best], scores[best])


def _personal(items: NDArray[np.int32], user: str, view: View) -> NDArray[np.int32]:
    """Return those of the items that the model ranks for a user, best first."""
    lines = score_items(items, rank_history(user, view), view)
    ranked = lines.tiers == PERSONAL
    items, scores = lines.items[ranked], lines.scores[ranked]
    order: NDArray[np.int32] = items[np.lexsort((items, -scores))]
    return order
