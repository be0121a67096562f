"""Interest tags: what the history of a user says about categories and attributes of items.

A tag is a category, or ``name=value`` of an attribute of items. A user can delete a tag: earlier
events with items that have it then do not count for the user's lists, as if the user had not had
them; later events count again.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nearline.data import Histories
from nearline.recommend.lists import View
from nearline.schema import InterestTag, Item, check_id
from nearline.state import State

# Tags that are listed, and values of an attribute of an item that are tags.
MAX_LISTED, MAX_VALUES = 50, 20
Hidden = tuple[frozenset[int], ...] | None


def tags_of(item: Item) -> set[str]:
    """Return the tags of an item: its categories, and its attributes that are texts or truths."""
    found = set(item.categories)
    for name, value in item.attributes.items():
        values = value if isinstance(value, list) else [value]
        for entry in values[:MAX_VALUES]:
            if isinstance(entry, bool):
                found.add(f"{name}={str(entry).lower()}")
            elif isinstance(entry, str):
                found.add(f"{name}={entry}")
    return found


def interest_tags(user_id: str, view: View) -> list[InterestTag]:
    """Return the tags of a user's profile, the strongest first: at most 50.

    The weight of a tag is the sum of the positive weights of the events whose items have it,
    divided by the sum for all tags.
    """
    state = view.state
    person = view.person(check_id(user_id, "user_id"), None)
    history = state.history(person)
    if history is None:
        return []
    one = Histories(np.array([0, len(history.items)]), *history[:3])
    used = without_tags(one.without_superseded(), [person], exclude_seen=False, view=view)[0]
    sums: dict[str, float] = defaultdict(float)
    items: dict[str, set[int]] = defaultdict(set)
    for index, weight in zip(used.items.tolist(), used.weights.tolist(), strict=True):
        entry = state.catalogue.get(index) if weight > 0 else None
        for tag in () if entry is None else tags_of(entry):
            sums[tag] += weight
            items[tag].add(index)
    total = sum(sums.values())
    order = sorted(sums, key=lambda tag: (-sums[tag], tag))[:MAX_LISTED]
    return [InterestTag(tag=tag, weight=sums[tag] / total, items=len(items[tag])) for tag in order]


def without_tags(
    histories: Histories, user_ids: Sequence[str | None] | None, *, exclude_seen: bool, view: View
) -> tuple[Histories, Hidden]:
    """Remove the events of deleted tags from the histories of a block of users.

    Dislikes stay. Items of removed events are hidden from lists without seen items.
    """
    profiles = view.state.profiles
    if not profiles.some_tags or user_ids is None or not len(histories.items):
        return histories, None
    keep = np.ones(len(histories.items), dtype=np.bool_)
    hidden = []
    for user, user_id in enumerate(user_ids):
        deleted = {} if user_id is None else profiles.tags(user_id)
        row = slice(int(histories.indptr[user]), int(histories.indptr[user + 1]))
        if deleted:
            keep[row] = _kept(histories, row, deleted, view.state)
        gone = histories.items[row][~keep[row]].tolist() if exclude_seen else ()
        hidden.append(frozenset(gone))
    return (histories, None) if keep.all() else (histories.take(keep), tuple(hidden))


def joined(first: Hidden, second: Hidden) -> Hidden:
    """Return the items that are hidden for either reason, for each user."""
    if first is None or second is None:
        return first if second is None else second
    return tuple(one | other for one, other in zip(first, second, strict=True))


def _kept(
    histories: Histories, row: slice, deleted: dict[str, float], state: State
) -> NDArray[np.bool_]:
    keep = np.ones(row.stop - row.start, dtype=np.bool_)
    rows = zip(
        *(part[row].tolist() for part in (histories.items, histories.weights, histories.times)),
        strict=True,
    )
    for at, (item, weight, time) in enumerate(rows):
        entry = state.catalogue.get(item) if weight > 0 else None
        if entry is not None:
            keep[at] = all(time > deleted.get(tag, -np.inf) for tag in tags_of(entry))
    return keep
