"""One column: a value of any type for each item."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.expressions.operands import Operand
from nearline.expressions.packed_lists import TYPES, PackedLists, bits
from nearline.expressions.strings import StringTable
from nearline.expressions.tokens import LIST, MISSING, STRING
from nearline.kernels.arrays import grown


class ValueColumn:
    """Values of one attribute or field: numbers, strings, booleans and lists.

    Parameters
    ----------
    strings : StringTable
        Table of the strings of all columns.
    size : int
        Number of items; none has a value at first.

    Attributes
    ----------
    complete : bool
        Whether the column has the values of all items.
    """

    def __init__(self, strings: StringTable, size: int) -> None:
        self.complete = True
        self._strings = strings
        self._values = np.full(size, np.nan)
        self._kinds = np.zeros(size, dtype=np.uint8)
        self._counts = [0] * (LIST + 1)
        self._types = 0  # the types that occur, as bits
        self._lists: PackedLists | None = None

    @staticmethod
    def bytes_of(size: int) -> int:
        """Return the memory in bytes of a column of `size` items without lists."""
        return 9 * size

    @property
    def bytes(self) -> int:
        """Memory in bytes."""
        packed = 0 if self._lists is None else self._lists.bytes
        return self._values.nbytes + self._kinds.nbytes + packed

    def grow(self, size: int) -> None:
        """Extend the column; the new items have no value."""
        self._values = grown(self._values, size, np.nan)
        self._kinds = grown(self._kinds, size)
        if self._lists is not None:
            self._lists.grow(size)

    def missing(self, first: int, last: int) -> list[int]:
        """Return the items from `first` to `last` - 1 that have no value."""
        return (np.flatnonzero(self._kinds[first:last] == MISSING) + first).tolist()

    def load(self, indices: Sequence[int], values: Sequence[Any]) -> None:
        """Set the values of items that have none."""
        found = set(map(type, values))
        kind = TYPES[found.pop()] if len(found) == 1 else LIST
        if kind == LIST:
            for index, value in zip(indices, values, strict=True):
                self.set(index, value)
            return
        if kind == STRING:
            values = self._strings.take_all(values).tolist()
        at = np.asarray(indices)
        self._values[at] = values
        self._kinds[at] = kind
        self._counts[kind] += len(values)
        self._types = bits(self._counts)

    def set(self, index: int, value: Any) -> bool:
        """Set the value of an item, None for a missing one; return whether the types changed."""
        kind = MISSING if value is None else TYPES[type(value)]
        before = int(self._kinds[index])
        if before == MISSING == kind:
            return False
        number = np.nan
        if kind == STRING:
            number = self._strings.take(value)
        elif kind not in (MISSING, LIST):
            number = value
        if before == STRING:
            self._strings.drop(int(self._values[index]))
        changed = False
        if LIST in (before, kind):
            if self._lists is None:
                self._lists = PackedLists(self._strings, len(self._values))
            changed = self._lists.set(index, value if kind == LIST else None)
        self._values[index] = number
        if kind != before:
            counts = self._counts
            self._kinds[index] = kind
            counts[before] -= 1
            counts[kind] += 1
            if counts[kind] == 1 or not counts[before]:
                self._types = bits(counts)
                changed = True
        return changed

    def types(self) -> tuple[int, int]:
        """Return the types that occur, and those of the entries of lists, as bits."""
        return self._types, 0 if self._lists is None else self._lists.types

    def operand(self, n: int, rows: NDArray[np.int64] | None) -> Operand:
        """Return the values of the first `n` items, or of some; most arrays are views."""
        types, lists, kinds = self._types, None, None
        if types & 1 << LIST and self._lists is not None:
            lists = self._lists.operand(n, rows)
            types &= ~(1 << LIST)
        if types & (types - 1):  # several
            kinds = self._kinds[:n] if rows is None else self._kinds[rows]
        values = self._values[:n] if rows is None else self._values[rows]
        return Operand(values, types, kinds, lists)

    def release(self) -> None:
        """Give back the references to strings; the column must not be used any more."""
        self._strings.drop_all(self._values[self._kinds == STRING].astype(np.int64))
        if self._lists is not None:
            self._lists.release()
