"""Edges of the relations of an item graph: immutable rows from training, and later edges.

A later edge is inserted at the head of the linked list of its item, in constant time; `rows` merges
rows and lists for a snapshot. One thread can write while others score with a `view`: an edge is
complete before a list refers to it, and arrays that are too small are replaced by larger ones.

The first relations may be *counted*: their edges contain counts, which are divided when they are
read (see `kernels.scoring`), so that an event changes only a few edges. Edges of the other
relations are multiplied by the gain of the target item when they are read.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.kernels.counted_edges import Edges
from nearline.kernels.edges import Rows, pack
from nearline.kernels.scoring import Graph
from nearline.kernels.symmetric_edges import connect, connect_rows, disconnect_added, incoming
from nearline.models.array_checks import check_array, check_indices, check_starts
from nearline.models.item_graph.config import NO_DECAY, array_key

Ints = NDArray[np.int32]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

# Items and edges for which there is always room, and the factor by which the arrays of added edges
# grow: a large one, since copying costs more than memory that is not touched yet.
ROOM = 1_024
EDGES_GROWTH = 3


class Divisors(NamedTuple):
    """Divisors of the counts of one relation: ``source[i] * target[j] + offset``.

    Attributes
    ----------
    source, target : float64 [n]
        Factors for the source and the target of an edge.
    offset : float
        Summand.
    """

    source: Doubles
    target: Doubles
    offset: float


class GraphStore:
    """Edges of several relations between `n_items` items.

    Parameters
    ----------
    relations : dict of str to Rows
        Edges of each relation, one row per item; may be read-only. Items must ascend in the rows of
        a counted relation.
    n_items : int
        Number of items.
    divisors : dict of str to Divisors
        Divisors of the counted relations, which are the first of `relations`.
    items : int32 [m] or None
        Concatenated items of all relations, if available; they are not copied and may be
        memory-mapped.
    """

    def __init__(
        self,
        relations: dict[str, Rows],
        n_items: int,
        divisors: Mapping[str, Divisors] = {},
        items: Ints | None = None,
    ) -> None:
        self.names = tuple(relations)
        self.n_items = n_items
        self._n_base = n_items
        starts = np.cumsum([0] + [len(rows.items) for rows in relations.values()])
        self._indptr = np.stack(
            [rows.indptr + start for rows, start in zip(relations.values(), starts, strict=False)]
        ).astype(np.int64)
        if items is None:
            items = np.concatenate([rows.items for rows in relations.values()])
        # Always read-only, memory-mapped or not, so that kernels are compiled for one array type.
        self._items = items.view()
        self._items.flags.writeable = False
        # A copy, since edges change in place and the rows may be memory-mapped.
        self._values = np.concatenate([rows.weights for rows in relations.values()])
        self._n_added = 0
        # Positions of each item in the rows from training, by relation.
        self._incoming: dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
        self._heads = np.full((len(relations), n_items), -1, dtype=np.int64)
        self._following = np.zeros(0, dtype=np.int64)
        self._added_items = np.zeros(0, dtype=np.int32)
        self._added_values = np.zeros(0, dtype=np.float32)
        self._sources = np.ones((len(divisors), n_items))
        self._targets = np.ones((len(divisors), n_items))
        self._gains = np.ones(n_items)
        self._offsets = np.array([d.offset for d in divisors.values()], dtype=np.float64)
        for name, divisor in divisors.items():
            self.set_divisors(name, np.arange(n_items), divisor)

    @property
    def added_bytes(self) -> int:
        """Bytes of the added edges: a link, an item and a value each."""
        return 16 * self._n_added

    @property
    def room(self) -> int:
        """Number of items that fit into the allocated arrays."""
        return self._heads.shape[1]

    def view(self, weights: Doubles, ratios: Doubles, max_history: int) -> Graph:
        """Return the current graph for the scoring kernels.

        Parameters
        ----------
        weights, ratios : float64 [R]
            Weight of each relation, and the factor by which it decays with each event.
        max_history : int
            Number of most recent events that are used.
        """
        return Graph(
            self._indptr,
            self._items,
            self._values,
            self._heads,
            self._following,
            self._added_items,
            self._added_values,
            weights,
            ratios,
            self._sources,
            self._targets,
            self._offsets,
            self._gains,
            self.n_items,
            max_history,
        )

    def grow(self, n_items: int) -> None:
        """Extend the graph to `n_items` items; the new ones have no edges."""
        if n_items > self.room:
            self._extend_items(n_items + n_items // 4 + ROOM)
        self.n_items = max(self.n_items, n_items)

    def set_divisors(self, relation: str, items: NDArray[np.integer], divisors: Divisors) -> None:
        """Set the divisors of some items, int [n], in a counted relation, except the offset."""
        r = self.names.index(relation)
        self._sources[r, items], self._targets[r, items] = divisors.source, divisors.target

    def set_gains(self, items: NDArray[np.integer], gains: Doubles) -> None:
        """Set the gains, float64 [n], of edges to some items in relations that are not counted."""
        self._gains[items] = gains

    def edges(self, room: int) -> Edges:
        """Return the arrays to which a kernel writes edges, with capacity for `room` more.

        Afterwards, `set_edge_count` must be called with the new number of edges.
        """
        needed = self._n_added + room
        if needed > len(self._following):
            self._extend_edges(EDGES_GROWTH * needed + ROOM)
        return Edges(
            self._indptr,
            self._items,
            self._values,
            self._heads,
            self._following,
            self._added_items,
            self._added_values,
            self._n_added,
        )

    def preallocate(self, room: int) -> None:
        """Allocate memory for `room` more edges, so that writing them does not wait for it."""
        edges = self.edges(room)
        for array in (edges.following, edges.added_items, edges.added_values):
            array[edges.n_added : edges.n_added + room] = 0

    def set_edge_count(self, n_added: int) -> None:
        """Set the number of added edges after a kernel has written edges."""
        self._n_added = n_added

    def connect(self, relation: str, item: int, others: Ints, values: Floats) -> None:
        """Add the edges item -> other and other -> item, both with the same value."""
        edges = self.edges(2 * len(others))
        self._n_added = connect(edges, self.names.index(relation), item, others, values)

    def connect_rows(self, relation: str, items: NDArray[np.int64], rows: Rows) -> None:
        """Add the edges of several items, one row each, in both directions."""
        edges = self.edges(2 * len(rows.items))
        self._n_added = connect_rows(edges, self.names.index(relation), items, rows)

    def disconnect(self, relation: str, item: int) -> None:
        """Set all edges from and to an item in one relation to zero.

        Notes
        -----
        O(edges of the item and its neighbours) time, plus one pass over all edges from training
        when the first item of those changes.
        """
        r = self.names.index(relation)
        if item < self._n_base:
            first, last = self._indptr[r, 0], self._indptr[r, -1]
            if r not in self._incoming:
                self._incoming[r] = incoming(self._items[first:last], self._n_base)
            indptr, places = self._incoming[r]
            self._values[self._indptr[r, item] : self._indptr[r, item + 1]] = 0.0
            self._values[first:last][places[indptr[item] : indptr[item + 1]]] = 0.0
        disconnect_added(self.edges(0), r, item)

    def rows(self, relation: str) -> Rows:
        """Return the rows of one relation: edges from training, then added ones, without zeros."""
        r = self.names.index(relation)
        sizes = np.zeros(self.n_items, dtype=np.int64)
        first, last = self._indptr[r, 0], self._indptr[r, -1]
        kept = self._values[first:last] != 0.0
        if self._n_added == 0 and kept.all():
            indptr = np.append(self._indptr[r], np.full(self.n_items - self._n_base, last)) - first
            return Rows(indptr, self._items[first:last].copy(), self._values[first:last].copy())
        items: list[Ints] = []
        values: list[Floats] = []
        for item in range(self.n_items):
            row_items, row_values = self._row(r, item)
            sizes[item] = len(row_items)
            items.append(row_items)
            values.append(row_values)
        return pack([(sizes, np.concatenate(items), np.concatenate(values))])

    def row(self, relation: str, item: int) -> tuple[Ints, Floats]:
        """Return the targets and values of the edges of an item in one relation."""
        return self._row(self.names.index(relation), item)

    def _row(self, r: int, item: int) -> tuple[Ints, Floats]:
        items, values = np.zeros(0, np.int32), np.zeros(0, np.float32)
        if item < self._n_base:
            row = slice(self._indptr[r, item], self._indptr[r, item + 1])
            items, values = self._items[row], self._values[row]
        chain = []
        edge = int(self._heads[r, item])
        while edge >= 0:
            chain.append(edge)
            edge = int(self._following[edge])
        if chain:
            items = np.concatenate((items, self._added_items[chain]))
            values = np.concatenate((values, self._added_values[chain]))
        return items[values != 0.0], values[values != 0.0]

    def _extend_items(self, room: int) -> None:
        """Copy the arrays over items to larger ones; views that were taken before keep the old."""
        heads = np.full((len(self.names), room), -1, dtype=np.int64)
        sources = np.ones((len(self._offsets), room))
        targets = np.ones((len(self._offsets), room))
        gains = np.ones(room)
        heads[:, : self.room] = self._heads
        sources[:, : self.room] = self._sources
        targets[:, : self.room] = self._targets
        gains[: self.room] = self._gains
        self._heads, self._gains = heads, gains
        self._sources, self._targets = sources, targets

    def _extend_edges(self, room: int) -> None:
        """Copy the added edges to larger arrays.

        The heads are copied too, so that those of a view that was taken before do not refer to
        edges behind the end of its arrays.
        """
        n = self._n_added
        # Not filled: no list refers to an edge before it is written, and memory that was never
        # touched takes no room.
        following = np.empty(room, dtype=np.int64)
        added_items = np.empty(room, dtype=np.int32)
        added_values = np.empty(room, dtype=np.float32)
        following[:n] = self._following[:n]
        added_items[:n] = self._added_items[:n]
        added_values[:n] = self._added_values[:n]
        self._following, self._added_items = following, added_items
        self._added_values, self._heads = added_values, self._heads.copy()


def rows_from(
    arrays: Mapping[str, NDArray[Any]], names: Sequence[str], items: Ints, n_items: int
) -> dict[str, Rows]:
    """Return the edges of some relations from the arrays of a snapshot.

    Parameters
    ----------
    arrays : dict of str to array
        Arrays of the snapshot.
    names : sequence of str
        Relations, in the order of their items.
    items : int32 [n]
        Concatenated items of all relations.
    n_items : int
        Number of items.

    Raises
    ------
    Damaged, ValueError
        The arrays do not fit together.
    """
    check_indices("items", items, n_items)
    relations, first = {}, 0
    for name in names:
        key = array_key(name)
        indptr = check_array(arrays, f"{key}/indptr", "int64", n_items + 1)
        values = check_array(arrays, f"{key}/values", "float32", None)
        check_starts(f"{key}/indptr", indptr, len(values))
        relations[name] = Rows(indptr, items[first : first + len(values)], values)
        first += len(values)
    if first != len(items):
        raise ValueError(f"there are {len(items)} items of {first} edges")
    return relations


def decay_ratios(half_lives: Doubles) -> Doubles:
    """Return the factors by which weights decay with each event; 1 where there is no decay."""
    return np.where(half_lives < NO_DECAY, 0.5 ** (1.0 / half_lives), 1.0)
