"""Columns of the catalogue: the values of each attribute and field, by item."""

import threading
from collections import Counter
from collections.abc import Mapping
from itertools import compress
from operator import attrgetter
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nearline.expressions.column import ValueColumn
from nearline.expressions.operands import Operand
from nearline.expressions.parser import ITEM
from nearline.expressions.strings import StringTable

# Bytes of all columns. Beyond it, new attributes have no column until an expression names them.
MAX_BYTES = 1 << 28
# Changes of items that are remembered: results older than that are computed again.
CHANGES_KEPT = 4_096
# Items whose values are read while the lock is held.
ITEMS_PER_HOLD = 2_000

FIELDS = ("item_id", "title", "categories", "timestamp", "available", "expires_at")
Rows = NDArray[np.int64]
# A column's name, and whether it is an attribute or else one of `FIELDS`.
Key = tuple[bool, str]


class CatalogueEntry(Protocol):
    """Catalogue entry of an item."""

    @property
    def title(self) -> str:
        """Title; may be empty."""
        ...

    @property
    def timestamp(self) -> float:
        """Time of the last change, in Unix seconds."""
        ...

    @property
    def expires_at(self) -> float | None:
        """Time from which the item is hidden, in Unix seconds; None for never."""
        ...

    @property
    def categories(self) -> list[str]:
        """Categories."""
        ...

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Names to strings, numbers, booleans or lists of these."""
        ...


class ColumnSource(Protocol):
    """What columns are built from."""

    def entry_of(self, index: int) -> CatalogueEntry | None:
        """Return the entry of an item, or None if it has none."""
        ...

    def is_available(self, index: int) -> bool:
        """Return whether an item is available."""
        ...

    def id_of(self, index: int) -> str:
        """Return the ID of an item."""
        ...


class ItemColumns:
    """Columns of attributes, which follow every change of an item, and columns of fields.

    The column of an attribute exists from its first value on, as long as all columns take at most
    `MAX_BYTES`. Other columns, such as those of fields, are built when an expression names them,
    and the least recently used one is dropped if there is no room.

    Parameters
    ----------
    lock : RLock
        Held by the caller of `grow`, `load` and `change`, and acquired by the other methods.
    source : Source
        The catalogue.

    Attributes
    ----------
    size : int
        Number of items.
    version : int
        Number of changes of items.
    shape : int
        Changes whenever a name, or a type of its values, appears or disappears.
    strings : StringTable
    """

    def __init__(self, lock: "threading.RLock", source: ColumnSource) -> None:
        self.lock = lock
        self.size = 0
        self.version = 0
        self.shape = 0
        self.strings = StringTable()
        self._source = source
        self._changes = np.zeros(CHANGES_KEPT, dtype=np.int64)
        self._names: Counter[str] = Counter()
        self._columns: dict[Key, ValueColumn] = {}
        self._create((False, "categories"))

    def grow(self, slots: int) -> None:
        """Extend all columns to the item indices below `slots`."""
        before, self.size = self.size, slots
        for key, column in list(self._columns.items()):
            column.grow(slots)
            if key in ((False, "item_id"), (False, "available")):
                for index in range(before, slots):
                    column.set(index, self._value_of(key, index))
        self._make_room(0)

    def load(self, entries: Mapping[int, CatalogueEntry]) -> None:
        """Read all entries of a catalogue, after `grow`, into new columns."""
        found: dict[str, tuple[list[int], list[Any]]] = {}
        for index, entry in entries.items():
            for name, value in entry.attributes.items():
                indices, values = found.setdefault(name, ([], []))
                indices.append(index)
                values.append(value)
        for name, (indices, values) in found.items():
            self._names[name] = len(indices)
            column = self._create_if_room((True, name))
            if column is not None:
                column.load(indices, values)
        for index, entry in entries.items():
            self._set((False, "categories"), index, entry.categories)
        self.shape += 1

    def change(
        self, index: int, before: CatalogueEntry | None, after: CatalogueEntry | None
    ) -> None:
        """Follow a change of the entry of an item. O(attributes of the item)."""
        old: Mapping[str, Any] = before.attributes if before is not None else {}
        new: Mapping[str, Any] = after.attributes if after is not None else {}
        for name in old:
            if name not in new:
                self._count(name, -1)
                self._set((True, name), index, None)
        for name, value in new.items():
            if name not in old:
                self._count(name, 1)
            elif _same(old[name], value):
                continue
            self._set((True, name), index, value)
        for name in FIELDS:
            if (False, name) in self._columns:
                self._set((False, name), index, self._value_of((False, name), index))
        self._changes[self.version % CHANGES_KEPT] = index
        self.version += 1

    def changed_since(self, version: int) -> Rows | None:
        """Return the items that changed after `version`; None if that is too long ago."""
        missed = self.version - version
        if missed > CHANGES_KEPT:
            return None
        if missed == 1:  # nearly always
            at = version % CHANGES_KEPT
            return self._changes[at : at + 1].copy()
        return np.unique(self._changes[np.arange(version, self.version) % CHANGES_KEPT])

    def has_attribute(self, name: str) -> bool:
        """Return whether an item has an attribute of this name."""
        return name in self._names

    def names(self) -> list[str]:
        """Return the fields, and the attributes that items have, most frequent first."""
        with self.lock:
            return [*FIELDS, *(name for name, _ in self._names.most_common())]

    def types(self, scope: str, name: str) -> tuple[int, int] | None:
        """Return the types of the values of a column, and of the entries of its lists, as bits.

        None if no item has the attribute. The column is built if it does not exist.
        """
        key = self._key(scope, name)
        with self.lock:
            if key[0] and not self._names[name]:
                return None
        column = self._complete(key)
        with self.lock:
            return column.types()

    def operand(self, scope: str, name: str, n: int, rows: Rows | None = None) -> Operand:
        """Return the values of the first `n` items, or of some of them.

        The arrays are views: items that change while they are used may have any value.
        """
        key = self._key(scope, name)
        with self.lock:
            column = self._columns.get(key)
            if column is not None and column.complete:
                self._columns[key] = self._columns.pop(key)  # used most recently
                return column.operand(n, rows)
            if key[0] and not self._names[name]:
                size = n if rows is None else len(rows)
                return Operand(np.full(size, np.nan), 0)
        column = self._complete(key)
        with self.lock:
            return column.operand(n, rows)

    def _key(self, scope: str, name: str) -> Key:
        return (scope != ITEM or name not in FIELDS, name)

    def _count(self, name: str, change: int) -> None:
        self._names[name] += change
        if not self._names[name]:
            del self._names[name]
            self._drop((True, name))
            self.shape += 1
        elif change > 0 and self._names[name] == 1:
            self._create_if_room((True, name))
            self.shape += 1

    def _set(self, key: Key, index: int, value: Any) -> None:
        column = self._columns.get(key)
        if column is not None and column.set(index, value):
            self.shape += 1

    def _value_of(self, key: Key, index: int) -> Any:
        return self._values_of(key, [index])[0]

    def _values_of(self, key: Key, indices: list[int]) -> list[Any]:
        """Return the values of a column from the catalogue; None where there is none."""
        (of_attribute, name), source = key, self._source
        if not of_attribute and name == "item_id":
            return list(map(source.id_of, indices))
        if not of_attribute and name == "available":
            return list(map(source.is_available, indices))
        entries = map(source.entry_of, indices)
        if of_attribute:
            return [None if entry is None else entry.attributes.get(name) for entry in entries]
        value_of = attrgetter(name)
        values = [None if entry is None else value_of(entry) for entry in entries]
        return [None if value == "" else value for value in values] if name == "title" else values

    def _complete(self, key: Key) -> ValueColumn:
        """Return a column, which is built first if it does not exist."""
        with self.lock:
            column = self._columns.get(key)
            if column is None:
                column = self._create(key)
                column.complete = False
            elif column.complete:
                self._columns[key] = self._columns.pop(key)  # used most recently
                return column
        # Changes are followed meanwhile; values that are there are newer.
        for start in range(0, self.size, ITEMS_PER_HOLD):
            with self.lock:
                missing = column.missing(start, min(start + ITEMS_PER_HOLD, self.size))
                values = self._values_of(key, missing)
                if None in values:
                    there = [value is not None for value in values]
                    missing, values = list(compress(missing, there)), list(compress(values, there))
                if values:
                    column.load(missing, values)
        with self.lock:
            column.complete = True
            self.shape += 1
        return column

    def _create_if_room(self, key: Key) -> ValueColumn | None:
        """Create a column without values; None if there is no room."""
        room = MAX_BYTES - self._bytes()
        return self._create(key) if ValueColumn.bytes_of(self.size) <= room else None

    def _create(self, key: Key) -> ValueColumn:
        """Create a column without values, for which others are dropped if there is no room."""
        column = ValueColumn(self.strings, self.size)
        self._make_room(column.bytes)
        self._columns[key] = column
        return column

    def _make_room(self, size: int) -> None:
        while self._columns and self._bytes() + size > MAX_BYTES:
            self._drop(next(iter(self._columns)))

    def _drop(self, key: Key) -> None:
        column = self._columns.pop(key, None)
        if column is not None:
            column.release()

    def _bytes(self) -> int:
        return sum(column.bytes for column in self._columns.values())


def _same(old: Any, new: Any) -> bool:
    """Return whether two values of an attribute are surely equal, and of the same type."""
    return old is new or (type(old) is type(new) and not isinstance(new, list) and old == new)
