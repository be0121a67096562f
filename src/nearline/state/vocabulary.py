"""Mapping between IDs and indices from 0."""

from collections.abc import Iterable
from typing import Self

import numpy as np
from numpy.typing import NDArray

from nearline.state.sorted_names import SortedNames


class Vocabulary:
    """Two-way mapping between IDs and indices.

    Indices are assigned in the order in which IDs are added; the index of a removed ID is assigned
    to the next new ID. One thread writes; single look-ups are atomic and need no lock.
    """

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._indices: dict[str, int] = {}
        self._free: list[int] = []
        self._order = SortedNames()

    @classmethod
    def from_table(cls, table: Iterable[str]) -> Self:
        """Create a vocabulary from the result of the method `table`."""
        vocabulary = cls()
        vocabulary._ids = list(table)
        vocabulary._indices = {name: index for index, name in enumerate(vocabulary._ids) if name}
        vocabulary._free = [index for index, name in enumerate(vocabulary._ids) if not name]
        return vocabulary

    def __len__(self) -> int:
        """Return the number of IDs."""
        return len(self._indices)

    def __contains__(self, name: str) -> bool:
        return name in self._indices

    def __getitem__(self, name: str) -> int:
        """Return the index of an ID; raise `KeyError` if it is unknown."""
        return self._indices[name]

    @property
    def slots(self) -> int:
        """Length of an array over all indices, including freed ones."""
        return len(self._ids)

    def get(self, name: str) -> int | None:
        """Return the index of an ID, or None if it is unknown."""
        return self._indices.get(name)

    def after(self, name: str, n: int) -> list[str]:
        """Return the `n` IDs that come first after `name` in alphabetical order."""
        return self._order.after(name, n, self._indices)

    def id_of(self, index: int) -> str:
        """Return the ID with an index; "" if it was removed."""
        return self._ids[index]

    def ids_of(self, indices: NDArray[np.integer]) -> list[str]:
        """Return the IDs with some indices."""
        ids = self._ids
        return [ids[index] for index in indices.tolist()]

    def indices_of(self, names: Iterable[str]) -> NDArray[np.int32]:
        """Return the indices of several IDs: int32 [n]; -1 for an unknown ID."""
        get = self._indices.get
        return np.fromiter((get(name, -1) for name in names), dtype=np.int32)

    def table(self) -> list[str]:
        """Return a copy of the list of IDs by index; "" for an ID that was removed."""
        return self._ids.copy()

    def add(self, name: str) -> int:
        """Return the index of an ID; assign one if it is new."""
        index = self._indices.get(name)
        if index is not None:
            return index
        if self._free:
            index = self._free.pop()
            self._ids[index] = name
        else:
            index = len(self._ids)
            self._ids.append(name)
        self._indices[name] = index
        self._order.added(name)
        return index

    def remove(self, name: str) -> int:
        """Remove an ID and return its index; raise `KeyError` if it is unknown."""
        index = self._indices.pop(name)
        self._ids[index] = ""
        self._free.append(index)
        return index
