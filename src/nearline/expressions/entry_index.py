"""An index of the entries of lists: the positions of equal entries."""

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]
# The index is built again when more entries were added than this, and than half of those it has.
FEWEST_NEW = 4_096


class EntryIndex:
    """Finds the entries that equal a number, without a comparison of all of them.

    It belongs to an array that grows at its end, and whose entries change to NaN only. It is built
    by the first search, and again after many entries were added; any thread may search.
    """

    def __init__(self) -> None:
        self._sorted = Sorted(np.zeros(0))

    @property
    def bytes(self) -> int:
        """Memory in bytes."""
        return self._sorted.bytes

    def positions(self, entries: NDArray[np.float64], number: float) -> Positions:
        """Return the positions of the entries that equal a number, in ascending order.

        O(found + new entries + log distinct entries), apart from building the index.

        Parameters
        ----------
        entries : float64 [n]
            All entries of the array.
        number : float
            NaN is equal to nothing.
        """
        found = self._sorted
        if len(entries) - found.size > max(FEWEST_NEW, found.size // 2):
            found = self._sorted = Sorted(entries.copy())  # others may change it meanwhile
        old = found.of(number)
        if found.size > len(entries):  # built by a later search
            old = old[: np.searchsorted(old, len(entries))]
        old = old[entries[old] == number]
        new = np.flatnonzero(entries[found.size :] == number)
        return np.concatenate([old, new + found.size]) if len(new) else old


class Sorted:
    """Positions of the numbers of an array, grouped by number."""

    def __init__(self, numbers: NDArray[np.float64]) -> None:
        order = np.argsort(numbers, kind="stable")
        ordered = numbers[order]
        known = len(ordered) - int(np.count_nonzero(np.isnan(ordered)))  # NaN comes last
        self.size = len(numbers)
        self._order = order[:known]
        self._numbers, starts = np.unique(ordered[:known], return_index=True)
        self._starts = np.append(starts, known)

    @property
    def bytes(self) -> int:
        """Memory in bytes."""
        return self._order.nbytes + self._numbers.nbytes + self._starts.nbytes

    def of(self, number: float) -> Positions:
        """Return the positions of a number, in ascending order."""
        at = int(np.searchsorted(self._numbers, number))
        if at == len(self._numbers) or self._numbers[at] != number:
            return self._order[:0]
        return self._order[self._starts[at] : self._starts[at + 1]]
