"""Merchandising rules: pins, items that are listed last, and factors of scores.

- ``scale``: the scores of the items that the filter selects are multiplied by the factor, together
  with the boost of the request, before anything is chosen.
- ``bury``: the list is made without the items that the filter selects. Only if it is not full, they
  follow, in the order of the other stages.
- ``pin``: after all other stages, the item is inserted at its position, whatever its score, its
  category counts (`max_per`) and the other stages say. A pin does nothing if the list must not
  contain the item: if it is unavailable, excluded, seen or disliked, or not selected by the filter
  of the request.

Of several pins for a position, the others follow the first by name. On later pages, positions are
counted from the first page on.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from nearline.errors import InvalidInput
from nearline.recommend.caps import LabelCounts
from nearline.recommend.lists import PINNED, Lists, Merchandise, PinnedItem, Query, View
from nearline.recommend.selection import Choice
from nearline.schema.definitions import Rule

Mask = NDArray[np.bool_]
Factors = NDArray[np.float64]


def scaling(rule: Rule) -> str:
    """Return the expression of the factors of a rule that scales scores."""
    if rule.scale is None:
        raise ValueError("the rule scales no scores")
    # The line break ends a comment in the filter.
    return f"({rule.scale.filter}\n) ? {float(rule.scale.factor)!r} : 1.0"


def expressions_of(rules: Mapping[str, Rule]) -> list[str]:
    """Return the expressions of rules."""
    texts = [rule.bury.filter for rule in rules.values() if rule.bury is not None]
    return texts + [rule.scale.filter for rule in rules.values() if rule.scale is not None]


def merchandise(
    rules: Mapping[str, Rule], view: View, choice: Choice, *, first: int = 0
) -> tuple[Merchandise, Factors | None]:
    """Evaluate the rules that apply to a query.

    A rule whose filter names an attribute that no item has any more does nothing.

    Parameters
    ----------
    rules : mapping of str to Rule
        By name.
    choice : Choice
        What the expressions of the request choose.
    first : int
        Number of items on earlier pages.

    Returns
    -------
    Merchandise, factors
        The factors (float64 [n_items] or None) include those of the request and of the rules.
    """
    matching: list[str] = []
    buried: Mask | None = None
    factors = choice.factors
    for name, rule in rules.items():
        action = rule.bury or rule.scale
        mask = None if action is None else _selected(action.filter, view, choice)
        if mask is None or not mask.any():
            continue
        matching.append(name)
        if rule.bury is not None:
            n = len(mask) if buried is None else min(len(mask), len(buried))
            buried = mask if buried is None else buried[:n] | mask[:n]
        else:
            own = view.expressions.factors(scaling(rule), choice.bindings)
            n = len(own) if factors is None else min(len(own), len(factors))
            factors = own if factors is None else factors[:n] * own[:n]
    return Merchandise(tuple(rules), tuple(matching), buried, _pins(rules, view, first)), factors


def merchandised(query: Query, make: Callable[[Query], Lists]) -> Lists:
    """Return the lists of a query with rules; `make` returns those of one without."""
    plan = query.merchandise
    if plan is None:
        return make(query)
    plain = replace(query, merchandise=None)
    n = len(query.allowed)
    pinned = [pin.item for pin in plan.pins if pin.item < n]
    allowed = query.allowed
    if pinned:
        allowed = allowed.copy()
        allowed[pinned] = False
    if plan.buried is None:
        lists = make(replace(plain, allowed=allowed))
    else:
        buried = np.zeros(n, dtype=np.bool_)
        buried[: len(plan.buried)] = plan.buried[:n]
        lists = make(replace(plain, allowed=allowed & ~buried))
        rows = lists.short()
        if rows:
            rest = make(replace(plain.select(rows), allowed=allowed & buried))
            _append(lists, rows, rest, query)
    if pinned:
        for row in range(len(lists.items)):
            _insert(lists, row, plan.pins, query)
    return lists


def fired(query: Query, lists: Lists, row: int = 0) -> tuple[str, ...]:
    """Return the names of the rules that fired in a list, in alphabetical order.

    These are the pins that the list shows, and the rules to bury or to scale that select at least
    one of the items that the list may contain.
    """
    plan = query.merchandise
    if plan is None:
        return ()
    shown = set(lists.items[row][lists.tiers[row] == PINNED].tolist())
    pins = [pin.name for pin in plan.pins if pin.item in shown]
    return tuple(sorted((*plan.matching, *pins)))


def names_of_rules(query: Query) -> tuple[str, ...]:
    """Return the names of the rules that apply to a query, whether they fire or not."""
    return () if query.merchandise is None else query.merchandise.names


def _selected(text: str, view: View, choice: Choice) -> Mask | None:
    """Return which of the allowed items a filter selects; None if it cannot be evaluated."""
    try:
        mask = view.expressions.mask(text, choice.bindings)
    except InvalidInput:
        return None
    n = min(len(mask), len(choice.allowed))
    return mask[:n] & choice.allowed[:n]


def _pins(rules: Mapping[str, Rule], view: View, first: int) -> tuple[PinnedItem, ...]:
    """Return the pins of this page and of later ones."""
    found: list[PinnedItem] = []
    for name, rule in rules.items():
        if rule.pin is not None:
            index = view.state.items.get(rule.pin.item_id)
            position = rule.pin.position - 1 - first
            if index is not None and position >= 0:
                found.append(PinnedItem(position, name, index))
    pins: dict[int, PinnedItem] = {}
    for pin in sorted(found):
        pins.setdefault(pin.item, pin)
    return tuple(pins.values())


def _append(lists: Lists, rows: list[int], rest: Lists, query: Query) -> None:
    """Append buried items to short lists in place."""
    for at, row in enumerate(rows):
        start = int(np.count_nonzero(lists.items[row] >= 0))
        counts = LabelCounts.of(query, lists.items[row, :start])
        for place, item in enumerate(rest.items[at].tolist()):
            if item < 0 or start == query.k:
                break
            if counts is None or counts.takes(item):
                lists.items[row, start] = item
                lists.scores[row, start] = rest.scores[at, place]
                lists.tiers[row, start] = rest.tiers[at, place]
                start += 1


def _insert(lists: Lists, row: int, pins: Iterable[PinnedItem], query: Query) -> None:
    """Insert pins into one list in place."""
    size = int(np.count_nonzero(lists.items[row] >= 0))
    lines = list(zip(*(array[row, :size].tolist() for array in lists), strict=True))
    ruled_out = query.ruled_out(row)
    following = 0
    for pin in pins:
        if pin.item >= len(query.allowed) or not query.allowed[pin.item]:
            continue
        at = min(max(pin.position, following), len(lines))
        if pin.item in ruled_out or pin.position >= query.k or at >= query.k:
            continue
        lines.insert(at, (pin.item, 0.0, PINNED))
        following = at + 1
    lines = lines[: query.k]
    for place, (item, score, tier) in enumerate(lines):
        lists.items[row, place], lists.scores[row, place] = item, score
        lists.tiers[row, place] = tier
