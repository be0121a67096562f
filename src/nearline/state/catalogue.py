"""The catalogue: the current entry of each item."""

import threading
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from nearline.expressions import ATTRIBUTES, FIELDS, Expressions, ItemColumns
from nearline.kernels.arrays import grown
from nearline.schema import Item, ItemPatched, Scalar
from nearline.state.expiry import Expiries

Vectors = dict[str, NDArray[np.float64]]
# Number of cached masks of categories, each of which takes one byte per item.
MASKS_KEPT = 16


class CatalogueCopy(NamedTuple):
    """A consistent copy of a catalogue.

    Attributes
    ----------
    entries : dict of int to Item
        Entries by item index, without their vectors.
    vectors : dict of int to dict of str to float64 [d]
        Vectors by item index and name.
    available : bool [n_items]
        Whether each item is available, also if it has expired.
    """

    entries: dict[int, Item]
    vectors: dict[int, Vectors]
    available: NDArray[np.bool_]


class Catalogue:
    """Current entries of items, their availability, and the items of each category.

    An item without an entry, which is known only from events, is available until it is deleted. A
    deleted item has no entry and remains unavailable, even if there are new events, until an entry
    is stored again. An item is not available from its `expires_at` on; `advance` compares this with
    the time. Methods that read acquire the lock and can be called by any thread.

    Parameters
    ----------
    lock : RLock
        The lock of the state.
    id_of : callable
        Returns the ID of an item by its index.

    Attributes
    ----------
    expressions : Expressions
        Evaluates filters and boosts for all items.
    """

    def __init__(self, lock: "threading.RLock", id_of: Callable[[int], str] = str) -> None:
        self._lock = lock
        self.id_of = id_of
        self._size = 0
        # Vectors are stored separately as arrays, which take a quarter of the memory of lists.
        self._entries: dict[int, Item] = {}
        self._vectors: dict[int, Vectors] = {}
        self._available = np.ones(0, dtype=np.bool_)  # without expired items
        self._expiries = Expiries()
        # Items by each name of their categories, and number of items by label.
        self._members: dict[str, set[int]] = {}
        self._labels: Counter[str] = Counter()
        self._sorted: dict[str, NDArray[np.int32]] = {}
        self._masks: dict[str, NDArray[np.bool_]] = {}
        self._columns = ItemColumns(lock, self)
        self.expressions = Expressions(self._columns)

    @classmethod
    def from_copy(
        cls, lock: "threading.RLock", parts: CatalogueCopy, id_of: Callable[[int], str] = str
    ) -> Self:
        """Create a catalogue from a copy, whose parts are used and modified."""
        catalogue = cls(lock, id_of)
        catalogue._size = len(parts.available)
        catalogue._entries, catalogue._vectors, catalogue._available = parts
        for index, item in parts.entries.items():
            catalogue._join(index, item)
            if item.expires_at is not None and item.available:
                catalogue._expiries.put(index, item.expires_at)
        catalogue._columns.grow(catalogue._size)
        catalogue._columns.load(parts.entries)
        return catalogue

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._entries)

    def grow(self, slots: int) -> None:
        """Extend the catalogue to the item indices below `slots`; new items are available."""
        if slots > self._size:
            self._available = grown(self._available, slots, fill=True)
            self._size = slots
            self._masks.clear()
            self._columns.grow(slots)

    def put(self, index: int, item: Item) -> None:
        """Store an entry, which replaces the previous one; `grow` must be called before."""
        before = self._leave(index)
        if item.vectors:
            self._vectors[index] = {
                name: np.array(vector, dtype=np.float64) for name, vector in item.vectors.items()
            }
            item = msgspec.structs.replace(item, vectors={})
        self._entries[index] = item
        gone = item.available and self._expiries.put(index, item.expires_at)
        self._available[index] = item.available and not gone
        self._masks.clear()
        self._join(index, item)
        self._columns.change(index, before, item)

    def patch(self, index: int, patch: ItemPatched) -> Item | None:
        """Apply changes to an entry and return the new entry; None if there is none."""
        found = self.get(index)
        if found is None:
            return None
        item = patch.applied_to(found)
        self.put(index, item)
        return item

    def delete(self, index: int) -> None:
        """Remove the entry and make the item unavailable; `grow` must be called before."""
        before = self._leave(index)
        self._available[index] = False
        self._masks.clear()
        self._columns.change(index, before, None)

    def is_available(self, index: int) -> bool:
        """Return whether an item is available; the caller must hold the lock."""
        return bool(self._available[index])

    def entry_of(self, index: int) -> Item | None:
        """Return the entry of an item, without its vectors; the caller must hold the lock."""
        return self._entries.get(index)

    def get(self, index: int) -> Item | None:
        """Return the entry of an item, or None if it has none."""
        with self._lock:
            item = self._entries.get(index)
            vectors = self._vectors.get(index)
        if item is None or vectors is None:
            return item
        lists = {name: vector.tolist() for name, vector in vectors.items()}
        return msgspec.structs.replace(item, vectors=lists)

    def entry(self, index: int) -> Item | None:
        """Return the entry of an item without its vectors, or None if it has none."""
        return self._entries.get(index)

    def entries(self) -> list[tuple[int, Item]]:
        """Return all entries by ascending item index, without their vectors (see `vectors_of`)."""
        with self._lock:
            return sorted(self._entries.items(), key=lambda entry: entry[0])

    def vectors_of(self, index: int) -> Vectors:
        """Return the vectors of an item by name, float64 [d] each; they must not be modified."""
        return self._vectors.get(index, {})

    @property
    def expiring(self) -> bool:
        """Whether an item has a time at which it expires."""
        return self._expiries.in_use

    def advance(self, now: float) -> int:
        """Hide the items that have expired at `now`, in Unix seconds; return their number.

        The time does not depend on the number of items unless some expire.
        """
        if not self._expiries.in_use:
            return 0
        if not self._expiries.is_current(now):
            with self._lock:
                hidden, shown = self._expiries.advance(now)
                self._available[hidden], self._available[shown] = False, True
                self._masks.clear()
                for index in (*hidden, *shown):
                    self._columns.change(index, self._entries.get(index), self._entries.get(index))
        return len(self._expiries.passed)

    def available(self) -> NDArray[np.bool_]:
        """Return whether each item is available: bool [n_items], read-only.

        The array is a view, which changes with the catalogue but does not include new items.
        """
        with self._lock:
            return _read_only(self._available[: self._size])

    def categories(self) -> list[str]:
        """Return the categories of all entries, sorted."""
        with self._lock:
            return sorted(self._labels)

    def members(self, category: str) -> NDArray[np.int32]:
        """Return the items of a category, available or not: ascending indices, read-only.

        A category is a label in any case, with or without the column in front of it: ``Acme``,
        ``acme`` and ``brand=acme`` all match ``brand=Acme``.
        """
        category = _folded(category)
        with self._lock:
            members = self._sorted.get(category)
            if members is None:
                found = self._members.get(category, set())
                # Sorted as an array: a category can contain most of a large catalogue.
                members = np.fromiter(found, dtype=np.int32, count=len(found))
                members.sort()
                members.flags.writeable = False
                if found:  # requests for unknown categories must not take memory
                    self._sorted[category] = members
            return members

    def with_attribute(self, name: str, value: Scalar) -> NDArray[np.int32]:
        """Return the items whose attribute is a value, or a list that contains it: ascending.

        Booleans differ from numbers. O(entries).
        """
        with self._lock:
            entries = list(self._entries.items())
        found = [
            index
            for index, item in entries
            if (given := item.attributes.get(name)) is not None
            and any(
                one == value and isinstance(one, bool) == isinstance(value, bool)
                for one in (given if isinstance(given, list) else [given])
            )
        ]
        return np.array(sorted(found), dtype=np.int32)

    def available_in(self, category: str) -> NDArray[np.bool_]:
        """Return whether each item is available and in `category`: bool [n_items], read-only.

        The masks of recently requested categories are cached until the catalogue changes.
        """
        category = _folded(category)
        with self._lock:
            mask = self._masks.get(category)
            if mask is None:
                mask = np.zeros(self._size, dtype=np.bool_)
                members = self.members(category)
                mask[members] = self._available[members]
                if len(self._masks) == MASKS_KEPT:
                    self._masks.pop(next(iter(self._masks)))
                self._masks[category] = mask
            return _read_only(mask)

    def has_attribute(self, name: str) -> bool:
        """Return whether an entry has an attribute of this name."""
        return self._columns.has_attribute(name)

    def attribute_names(self) -> list[str]:
        """Return the names of all attributes of entries, most frequent first."""
        return self._columns.names()[len(FIELDS) :]

    def attribute_types(self, name: str) -> tuple[int, int]:
        """Return the types of an attribute's values and of the entries of its lists, as bits."""
        return self._columns.types(ATTRIBUTES, name) or (0, 0)

    def copy(self) -> CatalogueCopy:
        """Return a copy of the tables; the caller must hold the lock."""
        available = self._available[: self._size].copy()
        available[list(self._expiries.passed)] = True
        return CatalogueCopy(self._entries.copy(), self._vectors.copy(), available)

    def _join(self, index: int, item: Item) -> None:
        self._labels.update(set(item.categories))
        for name in _names(item):
            self._members.setdefault(name, set()).add(index)
            self._sorted.pop(name, None)

    def _leave(self, index: int) -> Item | None:
        """Remove an entry from all tables, and return it."""
        item = self._entries.pop(index, None)
        self._vectors.pop(index, None)
        if item is None:
            return None
        if item.expires_at is not None:
            self._expiries.put(index, None)
        for label in set(item.categories):
            self._labels[label] -= 1
            if not self._labels[label]:
                del self._labels[label]
        for name in _names(item):
            members = self._members[name]
            members.remove(index)
            if not members:
                del self._members[name]
            self._sorted.pop(name, None)
        return item


def _names(item: Item) -> set[str]:
    """Return all names under which requests can ask for the categories of `item`."""
    names = {_folded(label) for label in item.categories}
    return names | {label for name in names if (label := name.partition("=")[2])}


def _folded(label: str) -> str:
    """Return a label with folded case, without spaces around it."""
    return label.strip().casefold()


def _read_only(array: NDArray[np.bool_]) -> NDArray[np.bool_]:
    view = array.view()
    view.flags.writeable = False
    return view
