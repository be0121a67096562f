"""Counts of pairs that change while they serve: a hash table of differences beside fixed counts.

The fixed counts come from training and are never written to (they may be mapped from a file). The
table holds, for each pair that changed since, what is to be added to its fixed count, and where its
edge stands. Open addressing with linear probing (Knuth, TAOCP 3, section 6.4).
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

# Columns of a table. A key of zero is an empty row: no item makes a pair with itself.
KEY, UNITS, PLACE = 0, 1, 2
EMPTY = 0
# Where the edge of a pair stands: not looked for yet, among the fixed edges; else added edge n - 1.
UNKNOWN, FIXED = 0, -1
# Pairs whose memory is touched before they are counted.
AHEAD = 64

# Differences by pair: int64 [capacity, 3], the capacity a power of two. A row has ``source << 32 |
# target``, what is to be added to the fixed count, and the place of the edge, side by side: a pair
# is alone in its part of memory.
Table = NDArray[np.int64]


class Edges(NamedTuple):
    """Where edges are written to: the arrays of `scoring.Graph`, and how many are added so far."""

    indptr: Longs
    items: Ints
    values: Floats
    heads: Longs
    following: Longs
    added_items: Ints
    added_values: Floats
    n_added: int


def make_table(capacity: int) -> Table:
    """Make an empty table of `capacity` rows, a power of two."""
    return np.zeros((capacity, 3), dtype=np.int64)


@njit(nogil=True, cache=True)
def _home(table: Table, key: int) -> int:
    """Row where the search for a key begins."""
    # Multiplicative hashing of both halves, of 31 bits each: no product leaves 63 bits.
    mixed = ((key >> 32) * 0x9E3779B1 ^ (key & 0xFFFFFFFF) * 0x85EBCA6B) >> 15
    return mixed & (len(table) - 1)


@njit(nogil=True, cache=True)
def _slot(table: Table, key: int) -> int:
    """Row of a key, or the empty one where it belongs."""
    slot = _home(table, key)
    while table[slot, KEY] not in (EMPTY, key):
        slot = (slot + 1) & (len(table) - 1)
    return slot


@njit(nogil=True, cache=True)
def rehash(table: Table, wider: Table) -> None:
    """Put every entry of `table` into the empty `wider`."""
    for old in range(len(table)):
        if table[old, KEY] != EMPTY:
            wider[_slot(wider, table[old, KEY])] = table[old]


@njit(nogil=True, cache=True)
def _find(items: Ints, first: int, last: int, wanted: int) -> int:
    """First place of the rising ``items[first:last]`` that is not below `wanted`."""
    while first < last:
        middle = (first + last) // 2
        if items[middle] < wanted:
            first = middle + 1
        else:
            last = middle
    return first


@njit(nogil=True, cache=True)
def _place(items: Ints, indptr: Longs, source: int, target: int) -> int:
    """Place of a pair among fixed rows, or -1."""
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
    """Read what some pairs need from memory; the sum is kept that the reads are not left out.

    They do not depend on each other, so that the processor waits for many at a time.
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
    """Add `changes` to the table and set the edges of the pairs to their counts.

    Parameters
    ----------
    table : Table
        With an empty slot for each change.
    edges : Edges
        With room for an edge a change; items rise in the fixed rows of `relation`.

    Returns
    -------
    tuple of int, int
        New pairs in the table, added edges in all.

    Notes
    -----
    A pair costs a look-up in the table and, the first time, two binary searches. A count below
    zero (where the fixed counts were cut) makes an edge of zero.
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
        if place > UNKNOWN:
            edges.added_values[place - 1] = amount
            continue
        if counted >= 0:
            # Edges are the strongest of the counts: all of them where a row was not cut.
            rows, first = edges.indptr[relation], counts.indptr[source]
            if rows[source + 1] - rows[source] == counts.indptr[source + 1] - first:
                fixed = rows[source] + counted - first
            else:
                fixed = _place(edges.items, rows, source, target)
            if fixed >= 0:
                edges.values[fixed] = amount
                table[slot, PLACE] = FIXED
                continue
        if amount > 0.0:
            edges.added_items[n_added] = target
            edges.added_values[n_added] = amount
            edges.following[n_added] = edges.heads[relation, source]
            # Last: from here on a reader may come along.
            edges.heads[relation, source] = n_added
            n_added += 1
            table[slot, PLACE] = n_added
    return n_pairs, n_added


def merged(counts: Counts, table: Table, n_items: int) -> Counts:
    """Add fixed counts and differences up, over `n_items` items; pairs of zero left out."""
    sizes = np.diff(counts.indptr)
    sources = np.repeat(np.arange(len(sizes), dtype=np.int64), sizes)
    used = table[:, KEY] != EMPTY
    keys = np.concatenate((sources << 32 | counts.items, table[used, KEY]))
    units = np.concatenate((counts.units, table[used, UNITS]))
    order = np.argsort(keys, kind="stable")
    keys, units = keys[order], units[order]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    units = np.add.reduceat(units, starts) if len(starts) else units
    keys = keys[starts]
    keys, units = keys[units > 0], units[units > 0]
    indptr = np.searchsorted(keys >> 32, np.arange(n_items + 1)).astype(np.int64)
    return Counts(indptr, (keys & 0xFFFFFFFF).astype(np.int32), units)
