"""Critiques: what a user said about lists changes the query of the next ones.

- ``more_like``: the item counts as the newest event of the history.
- ``not``: the item is not allowed.
- ``less_of``: of the items with the value that the list would contain, the better half remains, and
  all others with the value are not allowed. So the list contains at most half as many, whatever
  their scores are, and other items take their places.

The other stages of the pipeline run on the changed query, so filters, rules and explanations apply
to such lists as to all others.
"""

import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from nearline.data import Histories
from nearline.errors import InvalidInput
from nearline.expressions.columns import FIELDS
from nearline.recommend.lists import Lists, Query, View
from nearline.schema import Critique, CritiqueOut, Part, Scalar
from nearline.state import State

# Seconds for which a critique of a session holds at least.
SESSION_SECONDS = 3_600.0
# Weight of an item of which a user wants more, as an event: that of an explicit opinion.
LIKED_WEIGHT = 2.0
MORE_LIKE = "more_like"
# Names by which the categories of items are meant.
CATEGORIES = ("category", "categories")
# Names that expressions can use.
_NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")

Mask = NDArray[np.bool_]


def active_critiques(user_id: str | None, view: View) -> list[Critique]:
    """Return the critiques of a user that hold at the time of the view, oldest first.

    A critique of a session holds for an hour, and then until the user's next event.
    """
    state = view.state
    if user_id is None or not state.profiles.some_critiques:
        return []
    said = state.profiles.critiques(user_id)
    if not said:
        return []
    known = state.history(user_id)
    last = float(known.times[-1]) if known is not None and len(known.times) else -np.inf
    return [one for one in said if holds(one, last, view.now)]


def holds(critique: Critique, last_event: float, now: float) -> bool:
    """Return whether a critique holds, given the time of the user's last event (Unix seconds)."""
    since = critique.timestamp
    return critique.lasting or now < since + SESSION_SECONDS or last_event <= since


def criticised(query: Query, said: Sequence[Critique]) -> Query:
    """Return the query of one user with the items that are wanted more, and without others."""
    items = query.view.state.items
    liked = [items.get(one.more_like) for one in said if one.more_like is not None]
    unwanted = [items.get(one.not_item) for one in said if one.not_item is not None]
    query = replace(
        query, histories=with_liked(query.histories, [i for i in liked if i is not None])
    )
    out = [index for index in unwanted if index is not None and index < len(query.allowed)]
    if not out:
        return query
    allowed = query.allowed.copy()
    allowed[out] = False
    return replace(query, allowed=allowed)


def with_liked(history: Histories, items: Sequence[int]) -> Histories:
    """Return a history of one row with items as its newest events, at the time of the last one."""
    if not items:
        return history
    last = history.times[-1] if len(history.times) else 0.0
    n = len(history.items) + len(items)
    return Histories(
        np.array([0, n], dtype=np.int64),
        np.concatenate((history.items, np.array(items, dtype=np.int32))),
        np.concatenate((history.weights, np.full(len(items), LIKED_WEIGHT, dtype=np.float32))),
        np.concatenate((history.times, np.full(len(items), last))),
        history.features,
    )


def with_fewer(lists: Lists, query: Query, said: Sequence[Critique]) -> Query | None:
    """Return a query whose list has at most half of the items of which the user wants less.

    None if the list, that of the query without these critiques, has none of them.
    """
    listed = lists.items[0][lists.items[0] >= 0]
    allowed: Mask | None = None
    for one in said:
        if one.less_of is None:
            continue
        ((name, value),) = one.less_of.items()
        among = having(name, value, query.view.state, len(query.allowed))
        found = [item for item in listed.tolist() if item < len(among) and among[item]]
        if not found:
            continue
        among[found[: len(found) // 2]] = False
        allowed = (query.allowed if allowed is None else allowed) & ~among
    return None if allowed is None else replace(query, allowed=allowed)


def run_criticised(query: Query, said: Sequence[Critique], run: Callable[[Query], Lists]) -> Lists:
    """Return the list of one user, whose query is `criticised`."""
    lists = run(query)
    fewer = with_fewer(lists, query, said) if any(one.less_of for one in said) else None
    return lists if fewer is None else run(fewer)


def having(name: str, value: Scalar, state: State, n_items: int) -> Mask:
    """Return which items have a value of an attribute or category: bool [n_items].

    A list of values contains the value. Categories are compared as the request option ``category``
    compares them, and ``brand=Acme`` is a category of the attribute ``brand``, too.
    """
    mask = np.zeros(n_items, dtype=np.bool_)
    label = str(value) if name in CATEGORIES else f"{name}={value}"
    _mark(mask, state.catalogue.members(label))
    if name in CATEGORIES:
        return mask
    if not _NAME.fullmatch(name) or name in FIELDS:
        _mark(mask, state.catalogue.with_attribute(name, value))
        return mask
    literal = json.dumps(value, ensure_ascii=False)
    # The masks of expressions are kept and follow changes of items.
    for expression in (f"{name} == {literal}", f"{literal} in {name}"):
        with suppress(InvalidInput):  # no item has such a value, or such a list
            found = state.catalogue.expressions.mask(expression)[:n_items]
            mask[: len(found)] |= found
    return mask


def named_parts(
    parts: Sequence[Part], said: Sequence[Critique], own: frozenset[str]
) -> tuple[Part, ...]:
    """Return parts of a score in which those of items that are wanted more say so.

    `own` are the items of the user's history, whose parts come from there.
    """
    liked = {one.more_like for one in said} - own
    return tuple(
        Part(source=part.source, relation=MORE_LIKE, amount=part.amount)
        if part.source in liked
        else part
        for part in parts
    )


def concerning(item: int, said: Sequence[Critique], view: View) -> tuple[CritiqueOut, ...]:
    """Return the critiques that are about an item."""
    item_id, n_items = view.state.items.id_of(item), view.state.items.slots
    return tuple(
        CritiqueOut.of(one)
        for one in said
        if item_id in (one.more_like, one.not_item)
        or (one.less_of and having(*next(iter(one.less_of.items())), view.state, n_items)[item])
    )


def _mark(mask: Mask, items: NDArray[np.int32]) -> None:
    mask[items[items < len(mask)]] = True
