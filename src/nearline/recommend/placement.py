"""Merchandising rules in lists without a pipeline: similar items, searches and given items.

Rules to scale and to bury work as in `nearline.recommend.merchandising`. A pin holds in these lists
only if its rule names the scenario of the request, since a position in recommendations says nothing
about the lists around an item.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.recommend.caps import LabelCounts
from nearline.recommend.lists import Merchandise, View
from nearline.recommend.merchandising import merchandise
from nearline.recommend.selection import Choice
from nearline.schema import ItemOptions
from nearline.state import Top

Mask = NDArray[np.bool_]
Factors = NDArray[np.float64]


class Placement(NamedTuple):
    """What the rules of a request do to its list.

    Attributes
    ----------
    factors : float64 [n_items] or None
        Factors of the scores, by the boost of the request and by rules.
    plan : Merchandise or None
        The rules; None if there are none.
    """

    factors: Factors | None
    plan: Merchandise | None = None

    @classmethod
    def of(cls, options: ItemOptions, view: View, choice: Choice, *, first: int = 0) -> "Placement":
        """Evaluate the rules that apply to a request; `first` items were on earlier pages."""
        rules = view.state.definitions.active(options.scenario, view.now)
        rules = {name: one for name, one in rules.items() if one.pin is None or one.scenario}
        if not rules:
            return cls(choice.factors)
        plan, factors = merchandise(rules, view, choice, first=first)
        return cls(factors, plan)

    def buried(self, n_items: int) -> Mask | None:
        """Return which of the items 0 to n_items - 1 are listed last: bool [n_items] or None."""
        if self.plan is None or self.plan.buried is None:
            return None
        mask = np.zeros(n_items, dtype=np.bool_)
        known = self.plan.buried[:n_items]
        mask[: len(known)] = known
        return mask

    def place(self, make: Callable[[Mask], Top], allowed: Mask, k: int, counts: LabelCounts) -> Top:
        """Return the `k` items that a list shows.

        Parameters
        ----------
        make : callable
            Returns the list of the items that a mask allows, without regard to rules.
        allowed : bool [n]
            Items that the list may contain.
        counts : LabelCounts
            The caps of the request, for the items that follow those of `make`.
        """
        plan = self.plan
        if plan is None:
            return make(allowed)
        pins = [pin for pin in plan.pins if pin.item < len(allowed) and allowed[pin.item]]
        if pins:
            allowed = allowed.copy()
            allowed[[pin.item for pin in pins]] = False
        mask = self.buried(len(allowed))
        best = make(allowed if mask is None else allowed & ~mask)
        items, scores = best.items.tolist(), best.scores.tolist()
        if mask is not None and len(items) < k:
            for item in items:
                counts.add(item)
            rest = make(allowed & mask)
            for item, score in zip(rest.items.tolist(), rest.scores.tolist(), strict=True):
                if len(items) < k and counts.takes(item):
                    items.append(item)
                    scores.append(score)
        for pin in pins:
            if pin.position < k:
                items.insert(pin.position, pin.item)
                scores.insert(pin.position, 0.0)
        return Top(np.array(items[:k], dtype=np.int32), np.array(scores[:k], dtype=np.float64))

    def fired(self, items: NDArray[np.int32]) -> tuple[str, ...]:
        """Return the names of the rules that fired in a list, in alphabetical order."""
        if self.plan is None:
            return ()
        listed = set(items.tolist())
        pins = [pin.name for pin in self.plan.pins if pin.item in listed]
        return tuple(sorted((*self.plan.matching, *pins)))
