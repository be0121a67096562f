"""What items led to: how often each was shown and opened, for exploration."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.served.attribution import CLICKS, Attributed

# Showings and click-through of the prior that all items share.
PRIOR_SHOWN = 20.0
DEFAULT_RATE = 0.05


class ItemOutcomes(NamedTuple):
    """Showings of items and how many led to a click, up to a time.

    Attributes
    ----------
    at : float
        Time in Unix seconds up to which lists count.
    shown, clicked : float64 [n_items]
        By index of the item.
    rate : float
        Click-through of all items.
    """

    at: float
    shown: NDArray[np.float64]
    clicked: NDArray[np.float64]
    rate: float

    def of(self, items: NDArray[np.int32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the parameters of the Beta posterior of the click-through of items."""
        known = items < len(self.shown)
        shown, clicked = np.zeros(len(items)), np.zeros(len(items))
        shown[known], clicked[known] = self.shown[items[known]], self.clicked[items[known]]
        prior = PRIOR_SHOWN * self.rate
        return clicked + prior, shown - clicked + PRIOR_SHOWN - prior


def outcomes_of(
    attributed: Iterable[Attributed],
    n_items: int,
    index_of: Callable[[str], int | None],
    at: float,
) -> ItemOutcomes:
    """Count what items led to in lists that were served before a time (Unix seconds)."""
    shown, clicked = np.zeros(n_items), np.zeros(n_items)
    for one in attributed:
        if one.served.timestamp >= at:
            continue
        hits = {led.item_id for led in one.outcomes if led.kind in CLICKS and led.timestamp < at}
        for _, item_id in one.shown:
            index = index_of(item_id)
            if index is not None and index < n_items:
                shown[index] += 1.0
                clicked[index] += item_id in hits
    total = float(shown.sum())
    # As if the default rate had been seen a hundred times.
    rate = (float(clicked.sum()) + 100.0 * DEFAULT_RATE) / (total + 100.0)
    return ItemOutcomes(at, shown, clicked, min(max(rate, 1e-4), 0.9))
