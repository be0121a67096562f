"""Relations of the item graph that count pairs of events and are updated online."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.kernels.counted_edges import apply_changes, make_table, merged, rehash
from nearline.kernels.edges import Rows
from nearline.kernels.pair_counts import Changes, Counts, strongest
from nearline.models.array_checks import check_array, check_indices, check_starts
from nearline.models.item_graph.graph_store import Divisors, GraphStore

SMALLEST_TABLE = 1_024
# Bytes of changes from which on they are packed into the fixed counts.
COMPACTION_BYTES = 100_000_000
# Changes for which room is made at a time; many of them are of pairs that have changed before.
CHANGES_AT_ONCE = 262_144
# Parts in which the quotients of all edges are computed.
PARTS = 64


def no_counts(n_items: int) -> Counts:
    """Return counts of `n_items` items without any pair."""
    return Counts(np.zeros(n_items + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int64))


def counts_from(arrays: dict[str, NDArray[Any]], name: str, n_items: int) -> Counts:
    """Return the counts of a relation; raise Damaged if they do not fit together."""
    indptr = check_array(arrays, f"{name}/counts/indptr", "int64", n_items + 1)
    items = check_array(arrays, f"{name}/counts/items", "int32", None)
    units = check_array(arrays, f"{name}/counts/units", "int64", len(items))
    check_starts(f"{name}/counts/indptr", indptr, len(items))
    check_indices(f"{name}/counts/items", items, n_items)
    return Counts(indptr, items, units)


class CountedRelation:
    """Counts of pairs of items: fixed counts from training, and later changes.

    Parameters
    ----------
    counts : Counts
        Fixed counts, which are not changed.
    scale : float
        Factor of the divided counts, so that all relations have the same sum of edges.

    Attributes
    ----------
    n_changed : int
        Number of pairs that have changed since training.
    """

    def __init__(self, counts: Counts, scale: float) -> None:
        # Always read-only, memory-mapped or not, so that kernels are compiled for one array type.
        self._counts = Counts(counts.indptr.view(), counts.items.view(), counts.units.view())
        for array in self._counts:
            array.flags.writeable = False
        self.scale = scale
        self.n_changed = 0
        self._table = make_table(SMALLEST_TABLE)

    @property
    def changed_bytes(self) -> int:
        """Bytes of the table of changed pairs that are needed for their number."""
        return 32 * self.n_changed

    @property
    def counts(self) -> Counts:
        """The fixed counts."""
        return self._counts

    @property
    def fixed_bytes(self) -> int:
        """Bytes of the fixed counts."""
        return self._counts.items.nbytes + self._counts.units.nbytes

    def apply(self, changes: Changes, store: GraphStore, relation: int) -> None:
        """Add changes to the counts, and set the edges of the relation in `store`.

        Notes
        -----
        A changed pair takes 24 bytes in a table of which at least a quarter is empty, and a new
        edge takes 16 bytes.
        """
        for first in range(0, len(changes.units), CHANGES_AT_ONCE):
            own = slice(first, first + CHANGES_AT_ONCE)
            some = Changes(changes.sources[own], changes.targets[own], changes.units[own])
            self.preallocate(len(some.units))
            edges = store.edges(len(some.units))
            n_pairs, n_added = apply_changes(some, self._counts, self._table, edges, relation)
            self.n_changed += n_pairs
            store.set_edge_count(n_added)

    def merged(self, n_items: int) -> Counts:
        """Return the sums of fixed counts and changes over `n_items` items."""
        if self.n_changed == 0 and len(self._counts.indptr) == n_items + 1:
            return self._counts
        return merged(self._counts, self._table, n_items)

    def preallocate(self, pairs: int) -> None:
        """Allocate memory for `pairs` more changed pairs."""
        needed = 4 * (self.n_changed + pairs) // 3
        if needed > len(self._table):
            wider = make_table(1 << needed.bit_length())
            rehash(self._table, wider)
            self._table = wider


def is_worth_packing(learned: int, counted: Mapping[str, CountedRelation]) -> bool:
    """Return whether `learned` bytes of changes are many, also compared with the fixed counts."""
    fixed = sum(relation.fixed_bytes for relation in counted.values())
    return learned >= max(COMPACTION_BYTES, fixed // 2)


def packed(counted: Mapping[str, CountedRelation], n_items: int) -> dict[str, CountedRelation]:
    """Return relations whose fixed counts include the changes."""
    return {
        name: CountedRelation(relation.merged(n_items), relation.scale)
        for name, relation in counted.items()
    }


def edges_of(counts: Counts, divisors: Divisors, top_k: int) -> tuple[Rows, float]:
    """Return the edges of a counted relation, and its scale.

    Parameters
    ----------
    counts : Counts
        Counts of pairs.
    divisors : Divisors
        Divisors of the counts.
    top_k : int
        Maximum number of edges of an item.

    Returns
    -------
    Rows, float
        Counts of the pairs with the largest quotients, and the factor by which the mean over items
        of the sum of their quotients is one.
    """
    edges = strongest(
        counts, divisors.source, divisors.target, divisors.offset, top_k=max(1, top_k)
    )
    divided = np.empty(len(edges.items))
    step = max(1, (len(edges.indptr) - 1) // PARTS)  # limits the memory of intermediate results
    for first in range(0, len(edges.indptr) - 1, step):
        indptr = edges.indptr[first : first + step + 1]
        own = slice(indptr[0], indptr[-1])
        source = np.repeat(divisors.source[first : first + step], np.diff(indptr))
        target = divisors.target[edges.items[own]]
        divided[own] = edges.weights[own] / (source * target + divisors.offset)
    total = float(divided.sum())
    return edges, (len(edges.indptr) - 1) / total if total > 0 else 1.0
