"""Counts of pairs of items, in integer units, and their changes when there are new events.

`edges.pair_edges` is based on the same counts. Since integers can be added in any order and
subtracted exactly, counting event by event and counting a whole log have the same result.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.arrays import read_only
from nearline.kernels.chunks import map_chunks
from nearline.kernels.edges import (
    UNIT,
    Occurrences,
    Rows,
    check_items,
    gather,
    occurrences,
    pack,
    pair_units,
)
from nearline.kernels.row_factors import EQUAL, row_factors
from nearline.kernels.sorting import sort_items, zero
from nearline.kernels.topk import check_k, offer

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Counts(NamedTuple):
    """Counts of pairs of items.

    Attributes
    ----------
    indptr : int64 [n_items + 1]
        Item i has the entries from ``indptr[i]`` to ``indptr[i + 1] - 1``.
    items : int32 [m]
        Other item of each pair, ascending within a row.
    units : int64 [m]
        Count of each pair in units of `edges.UNIT`; positive.
    """

    indptr: Longs
    items: Ints
    units: Longs


class Changes(NamedTuple):
    """Changes of counts; a pair may occur several times.

    Attributes
    ----------
    sources, targets : int32 [n]
        Items of each pair.
    units : int64 [n]
        Units to add to the count of the pair; may be negative.
    """

    sources: Ints
    targets: Ints
    units: Longs


@njit(nogil=True, cache=True)
def _wider(array: NDArray[Any], filled: int, room: int) -> NDArray[Any]:
    wider = np.empty(room, dtype=array.dtype)
    for at in range(filled):  # compiles faster than a copy of a slice
        wider[at] = array[at]
    return wider


@njit(nogil=True, cache=True)
def count_rows(
    rows: Rows,
    places: Occurrences,
    steps: Doubles,
    factors: Doubles,
    n_items: int,
    most: int,
    first: int,
    last: int,
) -> tuple[Longs, Ints, Longs]:
    """Count the rows from `first` to ``last - 1`` of `pair_counts`: sizes, items, units."""
    totals = np.zeros(n_items, dtype=np.int64)
    touched = np.empty(n_items, dtype=np.int32)
    heap_values = np.empty(most, dtype=np.float64)
    heap_items = np.empty(most, dtype=np.int32)
    sizes = np.zeros(last - first, dtype=np.int64)
    out_items = np.empty(1_024, dtype=np.int32)
    out_units = np.empty(1_024, dtype=np.int64)
    filled = zero()
    for item in range(first, last):
        count = gather(item, rows, places, steps, factors, totals, touched)
        if count <= most:
            size, kept = count, touched
        else:
            size, kept = zero(), heap_items
            for at in range(count):
                other = touched[at]
                size = offer(heap_values, heap_items, size, np.float64(totals[other]), other)
        # Also changes the order of the touched items, which does not matter any more.
        sort_items(kept, size)
        if filled + size > len(out_items):
            room = 2 * (filled + size)
            out_items, out_units = _wider(out_items, filled, room), _wider(out_units, filled, room)
        for at in range(size):
            other = kept[at]
            out_items[filled] = other
            out_units[filled] = totals[other]
            filled += 1
        sizes[item - first] = size
        for at in range(count):
            totals[touched[at]] = 0
    return sizes, out_items[:filled].copy(), out_units[:filled].copy()


def pair_counts(
    rows: Rows,
    steps: Doubles,
    n_items: int,
    *,
    most: int,
    shares: Doubles = EQUAL,
    threads: int | None = None,
) -> Counts:
    """Count all pairs of items that occur near each other in a row.

    Parameters
    ----------
    rows : Rows
        Histories, oldest event first. Items are less than n_items; an unknown item, -1, has no
        pairs but a position.
    steps : float64 [2 * reach + 1]
        Amount of a pair at gaps from -reach to reach (see `edges.steps_of`).
    n_items : int
        Number of items.
    most : int
        Maximum number of pairs of an item. Those with the largest counts are kept; for equal
        counts, those with the lower index.
    shares : float64 [m]
        Factor of the pairs of a row by its length (see `kernels.row_factors`).
    threads : int or None
        Number of threads; None for one per core.

    Notes
    -----
    The time complexity is O(entries * reach). The result takes 12 bytes per pair.
    """
    parts = list(
        counted_parts(rows, steps, n_items, most=most, shares=shares, threads=threads, at_once=None)
    )
    sizes = np.concatenate([part[0] for part in parts] or [np.zeros(0, np.int64)])
    return Counts(
        np.concatenate(([0], np.cumsum(sizes))).astype(np.int64),
        np.concatenate([part[1] for part in parts] or [np.zeros(0, np.int32)]),
        np.concatenate([part[2] for part in parts] or [np.zeros(0, np.int64)]),
    )


def counted_parts(
    rows: Rows,
    steps: Doubles,
    n_items: int,
    *,
    most: int,
    shares: Doubles = EQUAL,
    threads: int | None = None,
    at_once: int | None,
) -> Iterator[tuple[Longs, Ints, Longs]]:
    """Yield the result of `pair_counts` in parts: sizes of rows, items and units.

    Parameters
    ----------
    at_once : int or None
        Number of items whose pairs are in memory at a time; None for all.
    """
    check_items(rows, n_items)
    most = max(1, min(most, n_items))
    places, factors = occurrences(rows, n_items), row_factors(*rows, shares)
    step = max(1, at_once or n_items)
    for start in range(0, n_items, step):
        yield from map_chunks(
            lambda first, last: count_rows(
                *(rows, places, steps, factors, n_items, most),
                *(start + first, start + last),  # noqa: B023 (used before the next step)
            ),
            min(step, n_items - start),
            threads=threads,
        )


@njit(nogil=True, cache=True)
def _strongest_rows(
    counts: Counts,
    source: Doubles,
    target: Doubles,
    offset: float,
    top_k: int,
    first: int,
    last: int,
) -> tuple[Longs, Ints, Floats]:
    heap_values = np.empty(top_k, dtype=np.float64)
    heap_items = np.empty(top_k, dtype=np.int32)
    start, end = counts.indptr[first], counts.indptr[last]
    sizes = np.zeros(last - first, dtype=np.int64)
    out_items = np.empty(end - start, dtype=np.int32)
    out_amounts = np.empty(end - start, dtype=np.float32)
    filled = 0
    for item in range(first, last):
        row = range(counts.indptr[item], counts.indptr[item + 1])
        cut, lowest, lowest_item = len(row) > top_k, 0.0, 0
        if cut:
            size = zero()
            for entry in row:
                j = counts.items[entry]
                value = counts.units[entry] * UNIT / (source[item] * target[j] + offset)
                size = offer(heap_values, heap_items, size, value, j)
            lowest, lowest_item = heap_values[0], heap_items[0]
        before = filled
        for entry in row:
            j = counts.items[entry]
            if cut:
                value = counts.units[entry] * UNIT / (source[item] * target[j] + offset)
                if value < lowest or (value == lowest and j > lowest_item):
                    continue
            out_items[filled] = j
            out_amounts[filled] = counts.units[entry] * UNIT
            filled += 1
        sizes[item - first] = filled - before
    return sizes, out_items[:filled].copy(), out_amounts[:filled].copy()


def strongest(
    counts: Counts, source: Doubles, target: Doubles, offset: float, *, top_k: int
) -> Rows:
    """Return the pairs of each item with the largest ``count / (source * target + offset)``.

    Parameters
    ----------
    source, target : float64 [n_items]
        Factors of the divisor, at least 0, as in `edges.pair_edges`.
    offset : float
        Summand of the divisor.
    top_k : int
        Maximum number of pairs of an item.

    Returns
    -------
    Rows
        One row per item, sorted by item. Weights are counts, not quotients.
    """
    check_k(top_k, "top_k")
    indptr, items, units = counts
    counts = Counts(read_only(indptr), read_only(items), read_only(units))
    return pack(
        map_chunks(
            lambda first, last: _strongest_rows(counts, source, target, offset, top_k, first, last),
            len(counts.indptr) - 1,
        )
    )


@njit(nogil=True, cache=True)
def _merge(
    old: Rows, old_times: Doubles, new: Rows, new_times: Doubles, row: int
) -> tuple[Ints, Floats, Longs]:
    """Merge the old and new events of one user in the order of time.

    Events with equal times are in the order of arrival: old events, then new ones.

    Returns
    -------
    int32 [n], float32 [n], int64 [n + 1]
        Items and weights of all events, and the number of new events before each position.
    """
    a, a_end = old.indptr[row], old.indptr[row + 1]
    b, b_end = new.indptr[row], new.indptr[row + 1]
    order = np.argsort(new_times[b:b_end], kind="mergesort")
    size = (a_end - a) + (b_end - b)
    items, weights = np.empty(size, dtype=np.int32), np.empty(size, dtype=np.float32)
    news = np.zeros(size + 1, dtype=np.int64)
    done = 0
    for at in range(size):
        fresh = done < len(order) and (a == a_end or new_times[b + order[done]] < old_times[a])
        if fresh:
            items[at], weights[at] = new.items[b + order[done]], new.weights[b + order[done]]
            done += 1
        else:
            items[at], weights[at] = old.items[a], old.weights[a]
            a += 1
        news[at + 1] = news[at] + int(fresh)
    return items, weights, news


@njit(nogil=True, cache=True)
def _emit(
    sources: Ints, targets: Ints, amounts: Longs, filled: int, i: int, j: int, amount: int
) -> int:
    if amount == 0:
        return filled
    sources[filled], targets[filled], amounts[filled] = i, j, amount
    return filled + 1


@njit(nogil=True, cache=True)
def _row_shares(items: Ints, weights: Floats, news: Longs, shares: Doubles) -> tuple[float, float]:
    """Return the factors of the pairs of a merged row, without and with its new events."""
    old = new = 0
    for at in range(len(items)):
        if items[at] >= 0 and weights[at] > 0.0:
            new += 1
            old += int(news[at + 1] == news[at])
    last = len(shares) - 1
    return shares[min(old, last)], shares[min(new, last)]


@njit(nogil=True, cache=True)
def changed_pairs(
    old: Rows,
    old_times: Doubles,
    new: Rows,
    new_times: Doubles,
    steps: Doubles,
    shares: Doubles,
) -> Changes:
    """Compute the changes of counts when new events are added to histories.

    Parameters
    ----------
    old, old_times : Rows, float64 [n]
        Earlier events with their times, one row per user, in order of time. They must include at
        least those within reach of the earliest new event, and all of them if `shares` differ.
    new, new_times : Rows, float64 [m]
        New events of the same users with their times, in order of arrival. Events with a weight
        that is not positive have no pairs but a position.
    steps : float64 [2 * reach + 1]
        Amounts of pairs, as in `pair_counts`.
    shares : float64 [m]
        Factors of the pairs of rows, as in `pair_counts`.

    Notes
    -----
    An event that is the newest of its user takes O(reach) time. A late event increases the gaps
    between other events and takes O(reach * events after it) time. If the factor of the row
    changes, so do all its pairs.
    """
    reach = len(steps) // 2
    sources, targets = np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int32)
    amounts = np.empty(0, dtype=np.int64)
    filled = 0
    for row in range(len(old.indptr) - 1):
        items, weights, news = _merge(old, old_times, new, new_times, row)
        size, n_new = len(items), news[len(items)]
        old_share, share = _row_shares(items, weights, news, shares)
        begin = 0
        while share == old_share and begin < size and news[begin + 1] == 0:
            begin += 1
        for b in range(begin, size):
            b_new = news[b + 1] > news[b]
            # Old events were closer together before new events were inserted between them.
            room = filled + 2 * min(b, reach if b_new else reach + n_new)
            if room > len(sources):
                sources, targets = (
                    _wider(sources, filled, 2 * room),
                    _wider(targets, filled, 2 * room),
                )
                amounts = _wider(amounts, filled, 2 * room)
            for a in range(b - 1, -1, -1):
                both_old = not b_new and news[a + 1] == news[a]
                gap, old_gap = b - a, b - a - (news[b] - news[a + 1])
                if gap > reach and (b_new or old_gap > reach):
                    break
                i, j = items[a], items[b]
                if i == j or i < 0 or j < 0:
                    continue
                if both_old and gap == old_gap and share == old_share:
                    continue
                there = back = 0
                if gap <= reach:
                    there += pair_units(share * steps[reach + gap], weights[a], weights[b])
                    back += pair_units(share * steps[reach - gap], weights[a], weights[b])
                if both_old:
                    there -= pair_units(old_share * steps[reach + old_gap], weights[a], weights[b])
                    back -= pair_units(old_share * steps[reach - old_gap], weights[a], weights[b])
                filled = _emit(sources, targets, amounts, filled, i, j, there)
                filled = _emit(sources, targets, amounts, filled, j, i, back)
    return Changes(sources[:filled].copy(), targets[:filled].copy(), amounts[:filled].copy())
