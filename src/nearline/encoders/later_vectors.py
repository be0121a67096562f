"""Sparse vectors that were set after an index was fitted, in arrays that grow."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.kernels.edges import Rows
from nearline.kernels.text_search import Later, SearchScratch, add_vectors, make_scratch

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Floats = NDArray[np.float32]

ROOM = 1_024


class LaterVectors:
    """Vectors by item that override those of the fit.

    One thread sets vectors; others may search meanwhile, each in the arrays that it took: arrays
    that outgrow their room are replaced, never moved under a reader.

    Parameters
    ----------
    n_items, n_columns : int
        Of the base vectors.

    Attributes
    ----------
    arrays : Later
    n_items : int
        One more than the largest item whose vector was set; 0 if there is none.
    scratches : list of SearchScratch
        Memory of searches that is not in use.
    """

    def __init__(self, n_items: int, n_columns: int) -> None:
        self.n_items = 0
        self._n_entries = 0
        self.arrays = Later(
            np.full(n_items, -1, dtype=np.int64),
            np.zeros(n_items, dtype=np.int32),
            np.zeros(0, dtype=np.int32),
            np.zeros(0, dtype=np.float32),
            np.zeros(0, dtype=np.int32),
            np.zeros(0, dtype=np.int64),
            np.full(n_columns, -1, dtype=np.int64),
        )
        self.scratches: list[SearchScratch] = []

    def get(self, item: int) -> tuple[Ints, Floats] | None:
        """Return the columns and values of an item's vector; None where it was not set."""
        later = self.arrays
        if item >= len(later.starts) or later.starts[item] < 0:
            return None
        own = slice(later.starts[item], later.starts[item] + later.sizes[item])
        return later.columns[own], later.values[own]

    def set(self, items: Longs, vectors: Rows, n_columns: int) -> None:
        """Set the vectors of items, at least one; columns are below `n_columns`."""
        n, n_items = len(vectors.items), int(items.max()) + 1
        self._make_room(n_items, self._n_entries + n, n_columns)
        add_vectors(self.arrays, self._n_entries, items, *vectors)
        self._n_entries += n
        self.n_items = max(self.n_items, n_items)

    def chains(self, columns: Ints) -> Longs:
        """Return the newest entry of each column: int64 [n], -1 for none."""
        heads = self.arrays.heads
        found = np.full(len(columns), -1, dtype=np.int64)
        known = columns < len(heads)
        found[known] = heads[columns[known]]
        return found

    def _make_room(self, n_items: int, n_entries: int, n_columns: int) -> None:
        """Move to larger arrays where these are too small, all at once: chains join them."""
        old: tuple[Any, ...] = self.arrays
        sizes = [n_items] * 2 + [n_entries] * 4 + [n_columns]
        if all(size <= len(array) for size, array in zip(sizes, old, strict=True)):
            return
        fills = (-1, 0, 0, 0, 0, -1, -1)
        grown: list[Any] = []
        for array, size, fill in zip(old, sizes, fills, strict=True):
            room = len(array) if size <= len(array) else size + size // 2 + ROOM
            grown.append(np.full(room, fill, dtype=array.dtype))
            grown[-1][: len(array)] = array
        self.arrays = Later(*grown)

    def scratch(self) -> SearchScratch:
        """Return memory for a search by the thread that sets vectors, the same for every call."""
        if not self.scratches or len(self.scratches[0].totals) < len(self.arrays.starts):
            self.scratches[:] = [make_scratch(len(self.arrays.starts))]
        return self.scratches[0]
