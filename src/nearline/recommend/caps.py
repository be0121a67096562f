"""Caps: at most so many items of a list with the same value of an attribute."""

from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from nearline.recommend.lists import Query
from nearline.schema import Item
from nearline.state import Catalogue

CATEGORIES = "categories"
# Name of the attribute, whether the value is a boolean (True equals 1 in Python), and the value.
Label = tuple[str, bool, Any]


def labels_of(item: Item | None, names: Iterable[str]) -> list[Label]:
    """Return the distinct labels of an item: its values of some attributes.

    An item with a list of values has several labels of the same name; one without the attribute
    has none, and is not capped.
    """
    found: dict[Label, None] = {}
    if item is None:
        return []
    for name in names:
        value = item.categories if name == CATEGORIES else item.attributes.get(name)
        if value is None:  # an imported column of names, such as the category "brand=oak"
            prefix = f"{name}="
            value = [label for label in item.categories if label.startswith(prefix)]
        for one in value if isinstance(value, list) else (value,):
            found[name, isinstance(one, bool), one] = None
    return list(found)


class LabelCounts:
    """Number of items of a list by label, and the caps that limit it."""

    def __init__(self, caps: Mapping[str, int], catalogue: Catalogue) -> None:
        self._caps = caps
        self._catalogue = catalogue
        self._counts: dict[Label, int] = {}

    @classmethod
    def of(cls, query: Query, items: NDArray[np.int32]) -> Self | None:
        """Count the labels of the items that a list contains; None if the query has no caps."""
        if not query.options.max_per:
            return None
        counts = cls(query.options.max_per, query.view.state.catalogue)
        for item in items.tolist():
            counts.add(item)
        return counts

    def takes(self, item: int) -> bool:
        """Add an item if no cap forbids it; return whether it was added."""
        labels = labels_of(self._catalogue.entry_of(item), self._caps)
        if any(self._counts.get(label, 0) >= self._caps[label[0]] for label in labels):
            return False
        for label in labels:
            self._counts[label] = self._counts.get(label, 0) + 1
        return True

    def add(self, item: int) -> None:
        """Add an item, whatever the caps are."""
        for label in labels_of(self._catalogue.entry_of(item), self._caps):
            self._counts[label] = self._counts.get(label, 0) + 1
