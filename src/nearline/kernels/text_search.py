"""Nearest neighbours among sparse vectors, by inverted lists that grow while they are searched.

Base vectors and their inverted lists are immutable (`Rows`). Vectors that were set later stand in
`Later`, their entries threaded in one chain a column, newest first; they override base vectors.

A search that would read more entries of inverted lists than it may reads the shortest lists first
and stops after `BUDGET` entries: terms that very many items share say little. The items found so
far are then compared in full.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.edges import Rows
from nearline.kernels.sorting import zero
from nearline.kernels.topk import best_first, offer

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Entries of inverted lists up to which a search is exact: for one new vector, whose lists are
# chains, and for one of many that are indexed together.
EXACT = 8_192
EXACT_TOGETHER = 50_000
# Entries that a search reads where the lists are longer.
BUDGET = 512
# Slots of the table of shared terms, a power of two, and the terms that it takes.
SLOTS = 4_096
SHARED_TERMS = 1_024
# Items whose vectors are loaded before they are compared, and entries of a cache line.
AHEAD, LINE = 16, 16


class Later(NamedTuple):
    """Vectors that were set after the base ones.

    Attributes
    ----------
    starts : int64 [n_items]
        First entry of an item's vector; -1 where the base vector holds.
    sizes : int32 [n_items]
        Entries of the vector. Entries outside of it are of vectors that were replaced.
    columns, values, owners : int32, float32, int32 [capacity]
        Entries: column, value and item.
    following : int64 [capacity]
        The entry before in the chain of its column; -1 at its end.
    heads : int64 [n_columns]
        Newest entry of each column; -1 without one.
    """

    starts: Longs
    sizes: Ints
    columns: Ints
    values: Floats
    owners: Ints
    following: Longs
    heads: Longs


class SearchScratch(NamedTuple):
    """Memory of a search: arrays over items, and slots.

    Between searches, totals and marks are zero, and `table` is -1. Values that are only read to
    load memory are added to `sink`, so that the compiler does not remove the reads.
    """

    totals: Doubles
    marked: Bools
    touched: Ints
    table: Ints
    sink: Doubles


def make_scratch(n_items: int) -> SearchScratch:
    """Make the memory that a search over items below `n_items` needs."""
    return SearchScratch(
        np.zeros(n_items, dtype=np.float64),
        np.zeros(n_items, dtype=np.bool_),
        np.empty(n_items, dtype=np.int32),
        np.full(SLOTS, -1, dtype=np.int32),
        np.zeros(1, dtype=np.float64),
    )


@njit(nogil=True, cache=True)
def add_vector(later: Later, n_entries: int, item: int, columns: Ints, values: Floats) -> None:
    """Set the vector of an item; its entries go behind the first `n_entries`, where there is room.

    Another thread may search meanwhile: an entry is complete before a chain leads to it.
    """
    for at in range(len(columns)):
        entry = n_entries + at
        later.columns[entry] = columns[at]
        later.values[entry] = values[at]
        later.owners[entry] = item
        later.following[entry] = later.heads[columns[at]]
    later.sizes[item] = len(columns)
    later.starts[item] = n_entries
    for at in range(len(columns)):
        later.heads[columns[at]] = n_entries + at


@njit(nogil=True, cache=True)
def add_vectors(
    later: Later, n_entries: int, items: Longs, indptr: Longs, columns: Ints, values: Floats
) -> None:
    """Set the vectors of several items, one row of `indptr` each, in this order."""
    for row in range(len(items)):
        own = slice(indptr[row], indptr[row + 1])
        add_vector(later, n_entries + indptr[row], items[row], columns[own], values[own])


@njit(nogil=True, cache=True)
def _slot(table: Ints, columns: Ints, column: int) -> int:
    """Slot of a column in the table of shared terms, or the empty one where it belongs."""
    slot = column & (SLOTS - 1)
    while table[slot] >= 0 and columns[table[slot]] != column:
        slot = (slot + 1) & (SLOTS - 1)
    return slot


@njit(nogil=True, cache=True)
def _load_chains(later: Later, chains: Longs, sink: Doubles) -> None:
    """Load the entries of several chains into the cache, one of each chain in turn.

    Within a chain, each read waits for the one before; those of different chains overlap.
    """
    read = 0.0
    ahead = chains[chains >= 0]
    left = len(ahead)
    for _ in range(BUDGET):
        kept = 0
        for entry in ahead[:left]:
            j = later.owners[entry]
            read += later.values[entry] + later.starts[j] + later.sizes[j]
            following = later.following[entry]
            if following >= 0:
                ahead[kept] = following
                kept += 1
        left = kept
        if left == 0:
            break
    sink[0] += read


@njit(nogil=True, cache=True)
def _load_vectors(later: Later, items: Ints, sink: Doubles) -> None:
    """Load the vectors of some items into the cache by independent reads, which overlap."""
    read = 0.0
    for j in items:
        start = later.starts[j]
        if start >= 0:
            for entry in range(start, start + later.sizes[j], LINE):
                read += later.columns[entry] + later.values[entry]
    sink[0] += read


@njit(nogil=True, cache=True)
def _read_lists(
    postings: Rows,
    later: Later,
    column: int,
    entry: int,
    weight: float,
    room: int,
    count: int,
    scratch: SearchScratch,
) -> int:
    """Add one term to the totals of at most `room` items that have it; count the items touched.

    Its chain is read from `entry` on. A weight of 0 marks the items alone.
    """
    totals, marked, touched = scratch.totals, scratch.marked, scratch.touched
    while entry >= 0 and room > 0:
        j = later.owners[entry]
        start = later.starts[j]
        if start <= entry < start + later.sizes[j] and j < len(totals):
            if not marked[j]:
                marked[j] = True
                touched[count] = j
                count += 1
            totals[j] += weight * later.values[entry]
            room -= 1
        entry = later.following[entry]
    if column >= len(postings.indptr) - 1:
        return count
    for at in range(postings.indptr[column], postings.indptr[column + 1]):
        if room <= 0:
            break
        j = postings.items[at]
        if later.starts[j] >= 0:
            continue
        if not marked[j]:
            marked[j] = True
            touched[count] = j
            count += 1
        totals[j] += weight * postings.weights[at]
        room -= 1
    return count


@njit(nogil=True, cache=True)
def _complete(
    rows: Rows,
    later: Later,
    columns: Ints,
    values: Floats,
    shared: Longs,
    count: int,
    scratch: SearchScratch,
) -> None:
    """Add the `shared` terms to the totals of the items found, from their own vectors."""
    totals, touched, table = scratch.totals, scratch.touched, scratch.table
    for t in shared[:SHARED_TERMS]:
        table[_slot(table, columns, columns[t])] = t
    for at in range(count):
        if at % AHEAD == 0:
            _load_vectors(later, touched[at : min(at + AHEAD, count)], scratch.sink)
        j = touched[at]
        start = later.starts[j]
        if start >= 0:
            own_columns = later.columns[start : start + later.sizes[j]]
            own_values = later.values[start : start + later.sizes[j]]
        else:
            own_columns = rows.items[rows.indptr[j] : rows.indptr[j + 1]]
            own_values = rows.weights[rows.indptr[j] : rows.indptr[j + 1]]
        for entry in range(len(own_columns)):
            t = table[_slot(table, columns, own_columns[entry])]
            if t >= 0:
                totals[j] += np.float64(values[t]) * own_values[entry]
    table[:] = -1


@njit(nogil=True, cache=True)
def _gather(
    rows: Rows,
    postings: Rows,
    later: Later,
    columns: Ints,
    values: Floats,
    chains: Longs,
    frequencies: Longs,
    k: int,
    exact: int,
    scratch: SearchScratch,
) -> int:
    """Sum the products of a vector with those of other items in the scratch; count the items."""
    count = zero()
    if frequencies.sum() <= exact:
        for t in range(len(columns)):
            most, weight = len(scratch.totals), np.float64(values[t])
            count = _read_lists(
                postings, later, columns[t], chains[t], weight, most, count, scratch
            )
        return count
    order = np.argsort(frequencies, kind="mergesort")
    left = BUDGET
    within = int(np.searchsorted(np.cumsum(frequencies[order]), BUDGET, side="right"))
    _load_chains(later, chains[order[:within]], scratch.sink)
    for place in range(len(order)):
        t = order[place]
        size = int(frequencies[t])
        if size <= left:
            weight = np.float64(values[t])
            count = _read_lists(
                postings, later, columns[t], chains[t], weight, size, count, scratch
            )
            left -= size
            continue
        if count < k:  # whoever shares the term that tells most of those left
            room = max(left, k)
            count = _read_lists(postings, later, columns[t], chains[t], 0.0, room, count, scratch)
        _complete(rows, later, columns, values, order[place:], count, scratch)
        break
    return count


@njit(nogil=True, cache=True)
def nearest(
    rows: Rows,
    postings: Rows,
    later: Later,
    columns: Ints,
    values: Floats,
    chains: Longs,
    frequencies: Longs,
    item: int,
    allowed: Bools,
    filtered: bool,
    k: int,
    exact: int,
    scratch: SearchScratch,
) -> tuple[Ints, Doubles]:
    """Return the `k` items with the largest products with a vector, and these, largest first.

    Parameters
    ----------
    rows, postings : Rows
        Base vectors of the items, and the items of each column.
    columns, values : [n]
        The vector.
    chains : int64 [n]
        Entry of `later` from which the chain of each of its terms is read; -1 for none.
    frequencies : int64 [n]
        Items that have each of its terms.
    item : int
        Left out; -1 for none.
    allowed : bool [m]
        Where `filtered`, only items below m that are true are returned.
    exact : int
        Entries of inverted lists up to which the search is exact.
    """
    totals, marked, touched = scratch.totals, scratch.marked, scratch.touched
    count = _gather(rows, postings, later, columns, values, chains, frequencies, k, exact, scratch)
    heap_values = np.empty(k, dtype=np.float64)
    heap_items = np.empty(k, dtype=np.int32)
    size = zero()
    for at in range(count):
        j = touched[at]
        if totals[j] > 0.0 and j != item and (not filtered or (j < len(allowed) and allowed[j])):
            size = offer(heap_values, heap_items, size, totals[j], j)
        totals[j] = 0.0
        marked[j] = False
    best_first(heap_values, heap_items, size)
    return heap_items[:size].copy(), heap_values[:size].copy()
