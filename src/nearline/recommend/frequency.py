"""What earlier showings of items mean for a list: frequency caps, and rotation."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nearline.recommend.lists import View
from nearline.schema import DAY, ListOptions
from nearline.schema.list_rules import DEFAULT_DAYS
from nearline.state.showings import NOTHING, Rows

# Seconds after which the effect of a showing on rotation is halved.
ROTATION_HALF_LIFE = DAY


def uses_showings(options: ListOptions) -> bool:
    """Return whether lists with these options depend on what was shown before."""
    return bool(options.max_shown or options.rotation)


def showings_of(
    user_ids: Sequence[str | None] | None, options: ListOptions, view: View
) -> tuple[Rows, ...] | None:
    """Return the showings of each user of a block; None if the options do not depend on them."""
    if user_ids is None or not uses_showings(options):
        return None
    return tuple(NOTHING if user_id is None else view.showings_of(user_id) for user_id in user_ids)


def hidden_items(
    showings: Sequence[Rows] | None, options: ListOptions, now: float
) -> tuple[frozenset[int], ...] | None:
    """Return the items that each user has been shown as often as the request allows."""
    if showings is None or not options.max_shown:
        return None
    times = options.max_shown["times"]
    since = now - DAY * options.max_shown.get("days", DEFAULT_DAYS)
    hidden = []
    for rows in showings:
        items, counts = np.unique(rows["item"][rows["time"] > since], return_counts=True)
        hidden.append(frozenset(items[counts >= times].tolist()))
    return tuple(hidden)


def rotation_factors(
    items: NDArray[np.int32], rows: Rows, rotation: float, now: float
) -> NDArray[np.float64]:
    """Return the factor of each item's score: ``(1 - rotation) ** n``, float64 [n_items].

    n is the number of showings, each of which counts half after every day.
    """
    if not len(rows):
        return np.ones(len(items))
    ages = np.maximum(now - rows["time"], 0.0)
    order = np.argsort(rows["item"], kind="stable")
    known, first = np.unique(rows["item"][order], return_index=True)
    counts = np.add.reduceat(0.5 ** (ages[order] / ROTATION_HALF_LIFE), first)
    places = np.minimum(np.searchsorted(known, items), len(known) - 1)
    shown = np.where(known[places] == items, counts[places], 0.0)
    factors: NDArray[np.float64] = (1.0 - rotation) ** shown
    return factors
