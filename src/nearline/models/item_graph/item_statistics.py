"""Numbers that an item graph counts for each item: popularity and support.

Both are sums of integers, so new events change them exactly, and erased events can be subtracted.
"""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from nearline.errors import Damaged
from nearline.kernels import support as supports
from nearline.kernels.edges import Rows
from nearline.models.array_checks import check_array
from nearline.models.item_graph.config import ItemGraphConfig
from nearline.models.item_graph.graph_store import Divisors, Doubles
from nearline.models.item_graph.relations import (
    newcomer_gains,
    pair_divisors,
    popularity_of,
    squared_weights,
    support_of,
)

Longs = NDArray[np.int64]
Items = NDArray[np.integer] | slice

POPULARITY, SUPPORT = "popularity", "support"
ALL = slice(None)
# Support of the items of a snapshot that does not contain it: that of many users.
MANY = 2**40


class ItemStatistics:
    """Popularity and support of items, with room for later ones.

    Parameters
    ----------
    popularity, support : int64 [n]
        Sum of the squared event weights of each item in units, and its support, see
        `kernels.support`. The arrays are changed.

    Attributes
    ----------
    popularity : int64 [n]
    total : int
        Sum of `popularity`.
    """

    def __init__(self, popularity: Longs, support: Longs) -> None:
        self.popularity, self._support = popularity, support
        self.total = int(popularity.sum())
        self._marks, self._mark = np.zeros(len(popularity), dtype=np.int64), 0

    @classmethod
    def of(cls, rows: Rows, n_items: int) -> Self:
        """Count the events of all users."""
        return cls(popularity_of(rows, n_items), support_of(rows, n_items))

    @classmethod
    def restore(cls, arrays: dict[str, NDArray[Any]], n_items: int) -> Self:
        """Return the counts from the result of `arrays`; raise Damaged if they are invalid."""
        popularity = check_array(arrays, POPULARITY, "int64", n_items)
        support = np.full(n_items, MANY)
        if SUPPORT in arrays:
            support = check_array(arrays, SUPPORT, "int64", n_items)
        if (popularity < 0).any() or (support < 0).any():
            raise Damaged("a popularity or a support is negative; fit again")
        return cls(popularity.copy(), support.copy())

    def arrays(self, n_items: int) -> dict[str, NDArray[Any]]:
        """Return the counts of the first items for a snapshot."""
        return {
            POPULARITY: self.popularity[:n_items].copy(),
            SUPPORT: self._support[:n_items].copy(),
        }

    def cut(self, n_items: int) -> "ItemStatistics":
        """Return a copy for the first items, without room for later ones."""
        return ItemStatistics(self.popularity[:n_items].copy(), self._support[:n_items].copy())

    def grow(self, room: int) -> NDArray[np.int64]:
        """Extend the counts to `room` items, and return the indices of the new ones."""
        before = len(self.popularity)
        more = np.zeros(room - before, dtype=np.int64)
        self.popularity = np.concatenate((self.popularity, more))
        self._support = np.concatenate((self._support, more))
        self._marks = np.concatenate((self._marks, more))
        return np.arange(before, room)

    def add(self, before: Rows, events: Rows, sign: int) -> NDArray[np.int32]:
        """Count new events of users, or subtract all events of users.

        Parameters
        ----------
        before, events : Rows
            All earlier events and the new events of the users; weights are not negative.
        sign : int
            1 or -1.

        Returns
        -------
        int32 [n]
            Distinct items whose counts may have changed.
        """
        known = events.items >= 0
        items = events.items[known]
        amounts = sign * squared_weights(events)[known]
        np.add.at(self.popularity, items, amounts)
        self.total += int(amounts.sum())
        changed, self._mark = supports.add_support(
            *(before, events, sign, supports.VERY_ACTIVE),
            *(self._support, self._marks, self._mark),
        )
        return np.unique(np.concatenate((items, changed)))

    def some_weak(self, items: Items = ALL) -> bool:
        """Return whether any of these items is weak, see `relations.pair_divisors`."""
        return bool((self._support[items] == supports.SMALL).any())

    def divisors(
        self, name: str, config: ItemGraphConfig, items: Items = ALL, *, weak: bool = True
    ) -> Divisors:
        """Return the divisors of a counted relation for some items; `weak`: with weak items."""
        small = self._support[items] == supports.SMALL if weak else None
        return pair_divisors(name, config, self.popularity[items], small)

    def gains(
        self, relations: Sequence[str], config: ItemGraphConfig, items: Items = ALL
    ) -> Doubles:
        """Return the gains of content edges to some items, see `newcomer_gains`."""
        return newcomer_gains(relations, config, self.popularity[items])
