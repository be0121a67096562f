"""Online counts of pairs of items: a hash table with differences to the counts from training.

The counts from training are fixed, since they may be memory-mapped. For each pair that changed
later, the table contains the difference to the fixed count and the position of its edge. It uses
open addressing with linear probing (Knuth, TAOCP 3, section 6.4).
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.edges import UNIT
from nearline.kernels.pair_counts import Changes, Counts

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Floats = NDArray[np.float32]

# Columns of a table. The key 0 marks an empty row, since items do not form pairs with themselves.
KEY, UNITS, PLACE = 0, 1, 2
EMPTY = 0
# Position of the edge of a pair: not yet known, or among the fixed edges. A number n > 0 stands for
# the added edge n - 1.
UNKNOWN, FIXED = 0, -1
# Number of pairs whose memory is prefetched before they are counted.
AHEAD = 64

# Differences by pair: int64 [capacity, 3], where the capacity is a power of two. A row holds the
# key ``source << 32 | target``, the difference to the fixed count, and the position of the edge.
Table = NDArray[np.int64]


class Edges(NamedTuple):
    """Arrays of a `scoring.Graph` to which edges are written, and the number of added edges."""

    indptr: Longs
    items: Ints
    values: Floats
    heads: Longs
    following: Longs
    added_items: Ints
    added_values: Floats
    n_added: int


def make_table(capacity: int) -> Table:
    """Create an empty table of `capacity` rows, which must be a power of two."""
    return np.zeros((capacity, 3), dtype=np.int64)


@njit(nogil=True, cache=True)
def _home(table: Table, key: int) -> int:
    """Return the row of a table at which the search for a key begins."""
    # Multiplicative hashing of both halves of 31 bits: the products fit into 63 bits.
    mixed = ((key >> 32) * 0x9E3779B1 ^ (key & 0xFFFFFFFF) * 0x85EBCA6B) >> 15
    return mixed & (len(table) - 1)


@njit(nogil=True, cache=True)
def _slot(table: Table, key: int) -> int:
    """Return the row that contains a key or, if there is none, the row at which to insert it."""
    slot = _home(table, key)
    while table[slot, KEY] not in (EMPTY, key):
        slot = (slot + 1) & (len(table) - 1)
    return slot


@njit(nogil=True, cache=True)
def rehash(table: Table, wider: Table) -> None:
    """Copy all entries of `table` to the empty and larger table `wider`."""
    for old in range(len(table)):
        if table[old, KEY] != EMPTY:
            wider[_slot(wider, table[old, KEY])] = table[old]


@njit(nogil=True, cache=True)
def _find(items: Ints, first: int, last: int, wanted: int) -> int:
    """Return the first position in `items`, sorted from `first` to `last`, not below `wanted`."""
    while first < last:
        middle = (first + last) // 2
        if items[middle] < wanted:
            first = middle + 1
        else:
            last = middle
    return first


@njit(nogil=True, cache=True)
def _place(items: Ints, indptr: Longs, source: int, target: int) -> int:
    """Return the position of a pair in sorted rows, or -1 if they do not contain it."""
    if source >= len(indptr) - 1:
        return -1
    last = int(indptr[source + 1])
    place = _find(items, int(indptr[source]), last, target)
    return place if place < last and items[place] == target else -1


@njit(nogil=True, cache=True)
def _touch(
    changes: Changes,
    counts: Counts,
    table: Table,
    edges: Edges,
    relation: int,
    first: int,
    sink: Longs,
) -> None:
    """Load the memory of the next `AHEAD` pairs into the cache by independent reads.

    The latencies of independent reads overlap. The values are added to `sink` only so that the
    compiler does not remove the reads.
    """
    read = 0
    for at in range(first, min(first + AHEAD, len(changes.units))):
        source, target = int(changes.sources[at]), int(changes.targets[at])
        read += table[_home(table, source << 32 | target), KEY]
        read += edges.heads[relation, source]
        if source < len(counts.indptr) - 1:
            start, end = counts.indptr[source], counts.indptr[source + 1]
            if start < end:
                read += counts.items[(start + end) // 2]
    sink[0] += read


@njit(nogil=True, cache=True)
def apply_changes(
    changes: Changes, counts: Counts, table: Table, edges: Edges, relation: int
) -> tuple[int, int]:
    """Add changes to the counts in a table, and set the edges of the pairs to the new counts.

    Parameters
    ----------
    changes : Changes
        Pairs with the units to add.
    counts : Counts
        Fixed counts.
    table : Table
        Differences to the fixed counts; it must have an empty row for each change.
    edges : Edges
        Edges to set, with capacity for one new edge per change. Items must ascend in the fixed
        rows of the relation.
    relation : int
        Index of the relation to which the edges belong.

    Returns
    -------
    tuple of int, int
        Number of new pairs in the table, and total number of added edges.

    Notes
    -----
    A change takes one lookup in the table and, for a new pair, two binary searches. A negative
    count, which can occur if the fixed counts were truncated, results in an edge of zero.
    """
    n_pairs, n_added = 0, edges.n_added
    sink = np.zeros(1, dtype=np.int64)
    for at in range(len(changes.units)):
        if at % AHEAD == 0:
            _touch(changes, counts, table, edges, relation, at, sink)
        source, target = int(changes.sources[at]), int(changes.targets[at])
        key = source << 32 | target
        slot = _slot(table, key)
        if table[slot, KEY] == EMPTY:
            table[slot, KEY] = key
            n_pairs += 1
        table[slot, UNITS] += changes.units[at]
        counted = _place(counts.items, counts.indptr, source, target)
        total = table[slot, UNITS] + (counts.units[counted] if counted >= 0 else 0)
        amount = np.float32(max(total, 0) * UNIT)
        place = table[slot, PLACE]
        # Of the pairs outside of the fixed edges, those whose count differs from the fixed one are
        # edges. A pair that only an erased user changed thus is none, as if nobody had changed it.
        outside = amount if table[slot, UNITS] != 0 else np.float32(0.0)
        if place > UNKNOWN:
            edges.added_values[place - 1] = outside
            continue
        if counted >= 0:
            # Edges are the strongest pairs of a row. If all pairs are edges, positions are equal.
            rows, first = edges.indptr[relation], counts.indptr[source]
            if rows[source + 1] - rows[source] == counts.indptr[source + 1] - first:
                fixed = rows[source] + counted - first
            else:
                fixed = _place(edges.items, rows, source, target)
            if fixed >= 0:
                edges.values[fixed] = amount
                table[slot, PLACE] = FIXED
                continue
        if outside > 0.0:
            edges.added_items[n_added] = target
            edges.added_values[n_added] = amount
            edges.following[n_added] = edges.heads[relation, source]
            # The edge is linked last, since readers can follow it from then on.
            edges.heads[relation, source] = n_added
            n_added += 1
            table[slot, PLACE] = n_added
    return n_pairs, n_added


def merged(counts: Counts, table: Table, n_items: int) -> Counts:
    """Return the sums of fixed counts and differences over `n_items` items.

    Pairs whose sum is not positive are left out.

    Notes
    -----
    O(p + c log c) time for p fixed and c changed pairs. Beside the result, the memory of the
    changed pairs is used.
    """
    used = np.flatnonzero(table[:, KEY] != EMPTY)
    used = used[np.argsort(table[used, KEY])]
    room = len(counts.items) + len(used)
    indptr = np.zeros(n_items + 1, dtype=np.int64)
    # Not filled: memory behind the last pair is never touched, and so takes no room.
    items, units = np.empty(room, dtype=np.int32), np.empty(room, dtype=np.int64)
    size = _merge(counts, table[used, KEY], table[used, UNITS], indptr, items, units)
    return Counts(indptr, items[:size], units[:size])


@njit(nogil=True, cache=True)
def _merge(
    counts: Counts, keys: Longs, differences: Longs, indptr: Longs, items: Ints, units: Longs
) -> int:
    """Merge sorted keys and their differences into the rows of `counts`; return the size."""
    size = done = 0
    for source in range(len(indptr) - 1):
        place = end = np.int64(0)
        if source < len(counts.indptr) - 1:
            place, end = counts.indptr[source], counts.indptr[source + 1]
        while place < end or (done < len(keys) and keys[done] >> 32 == source):
            total, item = np.int64(0), np.int64(1 << 32)
            if place < end:
                item = np.int64(counts.items[place])
            if done < len(keys) and keys[done] >> 32 == source:
                changed = keys[done] & 0xFFFFFFFF
                if changed <= item:
                    item, total = changed, differences[done]
                    done += 1
            if place < end and counts.items[place] == item:
                total += counts.units[place]
                place += 1
            if total > 0:
                items[size], units[size] = item, total
                size += 1
        indptr[source + 1] = size
    return size
