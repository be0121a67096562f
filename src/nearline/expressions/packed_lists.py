"""Lists of scalars by item, in arrays."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.expressions.entry_index import EntryIndex
from nearline.expressions.operands import Kinds, ListOperand, Operand
from nearline.expressions.strings import StringTable
from nearline.expressions.tokens import BOOL, DOUBLE, INT, LIST, STRING
from nearline.kernels.arrays import grown

# Types of values by their class in Python.
TYPES = {bool: BOOL, int: INT, float: DOUBLE, str: STRING, list: LIST}
# Lists are packed again once this number of entries, and half of all, belong to no list.
FEWEST_DEAD = 1_024


class PackedLists:
    """Lists of scalars by item, in arrays: entries of a changed list stay behind as NaN.

    Attributes
    ----------
    types : int
        Types of entries that occur, as bits.
    """

    def __init__(self, strings: StringTable, size: int) -> None:
        self.types = 0
        self._counts = [0] * (LIST + 1)
        self._strings = strings
        self._starts = np.zeros(size, dtype=np.int64)
        self._sizes = np.full(size, np.nan)
        self._used = 0
        self._dead = 0
        self._newest = -1  # largest index of an item that has had a list
        self._owners = np.zeros(0, dtype=np.int32)
        self._entries = np.zeros(0)
        self._kinds: Kinds = np.zeros(0, dtype=np.uint8)
        self._index = EntryIndex()

    @property
    def bytes(self) -> int:
        """Memory in bytes."""
        return 16 * len(self._starts) + 13 * len(self._entries) + self._index.bytes

    def grow(self, size: int) -> None:
        """Extend the lists to `size` items; the new items have no list."""
        self._starts = grown(self._starts, size)
        self._sizes = grown(self._sizes, size, np.nan)

    def set(self, index: int, values: Sequence[Any] | None) -> bool:
        """Replace the list of an item, None for no list; return whether the types changed.

        O(entries), amortised.
        """
        before = self.types
        self._remove(index)
        if values is not None:
            self._append(index, values)
        self.types = bits(self._counts)
        return self.types != before

    def _append(self, index: int, values: Sequence[Any]) -> None:
        start, end = self._used, self._used + len(values)
        self._owners = grown(self._owners, end)
        self._entries = grown(self._entries, end)
        self._kinds = grown(self._kinds, end)
        kinds = [TYPES[type(value)] for value in values]
        self._entries[start:end] = [
            self._strings.take(value) if isinstance(value, str) else float(value)
            for value in values
        ]
        self._kinds[start:end] = kinds
        self._owners[start:end] = index
        self._newest = max(self._newest, index)
        for kind in kinds:
            self._counts[kind] += 1
        self._starts[index], self._sizes[index], self._used = start, len(values), end

    def operand(self, n: int, rows: NDArray[np.int64] | None) -> ListOperand:
        """Return the lists of the first `n` items, or of some of them."""
        index = None
        if rows is None:
            index = self._index
            owners, entries = self._owners[: self._used], self._entries[: self._used]
            kinds, sizes = self._kinds[: self._used], self._sizes[:n]
            if self._newest >= n:  # items that are newer than the rest
                old, index = owners < n, None
                owners, entries, kinds = owners[old], entries[old], kinds[old]
        elif len(rows) == 1:
            sizes, n = self._sizes[rows], 1
            start, length = int(self._starts[rows[0]]), 0 if np.isnan(sizes[0]) else int(sizes[0])
            entries, kinds = (
                self._entries[start : start + length],
                self._kinds[start : start + length],
            )
            owners = np.zeros(length, dtype=np.int32)
        else:
            sizes = self._sizes[rows]
            lengths = np.fmax(sizes, 0.0).astype(np.int64)  # 0 for NaN
            owners = np.repeat(np.arange(len(rows), dtype=np.int32), lengths)
            before = np.cumsum(lengths) - lengths
            at = np.arange(len(owners)) + np.repeat(self._starts[rows] - before, lengths)
            entries, kinds = self._entries[at], self._kinds[at]
            n = len(rows)
        types = self.types
        several = types & (types - 1) != 0
        found = Operand(entries, types, kinds if several else None)
        return ListOperand(n, owners, found, sizes, index)

    def release(self) -> None:
        """Give back the references to strings."""
        live = (self._kinds[: self._used] == STRING) & ~np.isnan(self._entries[: self._used])
        self._strings.drop_all(self._entries[: self._used][live].astype(np.int64))

    def _remove(self, index: int) -> None:
        if np.isnan(self._sizes[index]):
            return
        length = int(self._sizes[index])
        part = slice(int(self._starts[index]), int(self._starts[index]) + length)
        for kind, entry in zip(
            self._kinds[part].tolist(), self._entries[part].tolist(), strict=True
        ):
            self._counts[kind] -= 1
            if kind == STRING:
                self._strings.drop(int(entry))
        self._entries[part] = np.nan
        self._sizes[index] = np.nan
        self._dead += length
        if self._dead >= max(FEWEST_DEAD, self._used // 2):
            self._pack()

    def _pack(self) -> None:
        """Copy the entries that belong to a list to new arrays."""
        live = np.flatnonzero(~np.isnan(self._entries[: self._used]))
        moved = np.cumsum(~np.isnan(self._entries[: self._used])) - 1
        there = np.flatnonzero(np.nan_to_num(self._sizes) > 0)
        self._starts[there] = moved[self._starts[there]]
        self._owners, self._entries = self._owners[live], self._entries[live]
        self._kinds = self._kinds[live]
        self._used, self._dead = len(live), 0
        self._index = EntryIndex()


def bits(counts: Sequence[int]) -> int:
    """Return the types that occur, as bits, from their numbers of occurrences."""
    return sum(1 << kind for kind in range(INT, LIST + 1) if counts[kind])
