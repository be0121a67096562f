"""Ids to dense indices and back."""

from collections.abc import Iterable
from typing import Self

import numpy as np
from numpy.typing import NDArray


class Vocabulary:
    """A two-way table of ids and indices.

    Indices are given in order of first appearance; that of a removed id goes to the next new one.
    One thread writes; single look-ups are atomic and need no lock.
    """

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._indices: dict[str, int] = {}
        self._free: list[int] = []

    @classmethod
    def from_table(cls, table: Iterable[str]) -> Self:
        """Rebuild from what `table` gave."""
        vocabulary = cls()
        vocabulary._ids = list(table)
        vocabulary._indices = {name: index for index, name in enumerate(vocabulary._ids) if name}
        vocabulary._free = [index for index, name in enumerate(vocabulary._ids) if not name]
        return vocabulary

    def __len__(self) -> int:
        """Count the known ids."""
        return len(self._indices)

    def __contains__(self, name: str) -> bool:
        return name in self._indices

    def __getitem__(self, name: str) -> int:
        """Index of a known id; KeyError where it is unknown."""
        return self._indices[name]

    @property
    def slots(self) -> int:
        """Length that an array over the indices must have (freed indices included)."""
        return len(self._ids)

    def get(self, name: str) -> int | None:
        """Index of an id, or None."""
        return self._indices.get(name)

    def id_of(self, index: int) -> str:
        """Id at an index; "" where its id was removed."""
        return self._ids[index]

    def ids_of(self, indices: NDArray[np.integer]) -> list[str]:
        """Ids at `indices`."""
        ids = self._ids
        return [ids[index] for index in indices.tolist()]

    def indices_of(self, names: Iterable[str]) -> NDArray[np.int32]:
        """Look up many ids: int32 [n]; -1 where one is unknown."""
        get = self._indices.get
        return np.fromiter((get(name, -1) for name in names), dtype=np.int32)

    def table(self) -> list[str]:
        """Id of each index, a copy; "" where its id was removed."""
        return self._ids.copy()

    def add(self, name: str) -> int:
        """Index of an id, which is given one if it has none."""
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
        return index

    def remove(self, name: str) -> int:
        """Forget an id and return the index that it frees; KeyError where it is unknown."""
        index = self._indices.pop(name)
        self._ids[index] = ""
        self._free.append(index)
        return index
