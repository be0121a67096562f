"""Counts of items by context, such as country, device or hour."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from nearline.schema import Scalar

# Of all fields together: values that differ for every event, such as request IDs, are not contexts.
MAX_VALUES = 1_000

Context = Mapping[str, Scalar]
# Name of a field, and its value as text.
Pair = tuple[str, str]


class ItemCounts(NamedTuple):
    """Event counts of the items in one context.

    Attributes
    ----------
    items : int32 [n]
        Item indices, in any order.
    counts : int64 [n]
        Number of events of each item, at least 1.
    """

    items: NDArray[np.int32]
    counts: NDArray[np.int64]


class ContextsCopy(NamedTuple):
    """A consistent copy of `Contexts`.

    Attributes
    ----------
    pairs : list of (field, value)
    full : bool
        Whether a value was ever not counted because the table was full.
    indptr : int64 [n_pairs + 1]
        Where the counts of each pair begin.
    items : int32 [n]
    counts : int64 [n]
    """

    pairs: list[Pair]
    full: bool
    indptr: NDArray[np.int64]
    items: NDArray[np.int32]
    counts: NDArray[np.int64]


class Contexts:
    """Number of events by context value and item, of the events that `Counters` counts.

    Values are strings, integers and booleans, compared as text: ``7`` and ``"7"`` are the same.
    Floating-point numbers are not counted. Reads take the lock, so any thread may read.

    Notes
    -----
    The first 1,000 pairs of field and value are counted. Once the table was full and another pair
    occurred, no new pair is counted, even if one is removed later. Every pair in the table is thus
    counted from its first event on, and an erased user can be subtracted exactly.

    A pair takes about 100 bytes per item that occurred with it.

    Parameters
    ----------
    lock : RLock
        The lock of the state.
    """

    def __init__(self, lock: "threading.RLock") -> None:
        self._lock = lock
        self._counts: dict[Pair, dict[int, int]] = {}
        self._full = False

    @classmethod
    def from_copy(cls, lock: "threading.RLock", copied: ContextsCopy) -> Self:
        """Rebuild from a copy."""
        contexts = cls(lock)
        contexts._full = copied.full
        ends = copied.indptr.tolist()
        for row, (field, value) in enumerate(copied.pairs):
            some = slice(ends[row], ends[row + 1])
            items, counts = copied.items[some].tolist(), copied.counts[some].tolist()
            contexts._counts[field, value] = dict(zip(items, counts, strict=True))
        return contexts

    def add(
        self,
        items: NDArray[np.int32],
        weights: NDArray[np.float32],
        contexts: Sequence[Context | None],
    ) -> None:
        """Count events that have a context and a positive weight."""
        for item, pair in _wanted(items, weights, contexts):
            counts = self._counts.get(pair)
            if counts is None:
                if self._full or len(self._counts) == MAX_VALUES:
                    self._full = True
                    continue
                counts = self._counts[pair] = {}
            counts[item] = counts.get(item, 0) + 1

    def subtract(
        self,
        items: NDArray[np.int32],
        weights: NDArray[np.float32],
        contexts: Sequence[Context | None],
    ) -> None:
        """Subtract events that were added before, in any order."""
        for item, pair in _wanted(items, weights, contexts):
            counts = self._counts.get(pair)
            if counts is None:
                continue  # it was not counted
            counts[item] -= 1
            if not counts[item]:
                del counts[item]
            if not counts:  # the value itself may identify the erased user
                del self._counts[pair]

    def counts(self, context: Context) -> list[ItemCounts]:
        """Return the counts of each known value of a context, in order of the field names."""
        with self._lock:
            found = (self._counts.get(pair) for pair in _pairs(context))
            return [_arrays(counts) for counts in found if counts]

    def copy(self) -> ContextsCopy:
        """Copy the counts; the caller holds the lock."""
        rows = [_arrays(counts) for counts in self._counts.values()]
        sizes = [0, *(len(row.items) for row in rows)]
        return ContextsCopy(
            list(self._counts),
            self._full,
            np.cumsum(sizes, dtype=np.int64),
            np.concatenate([np.zeros(0, dtype=np.int32), *(row.items for row in rows)]),
            np.concatenate([np.zeros(0, dtype=np.int64), *(row.counts for row in rows)]),
        )


def _wanted(
    items: NDArray[np.int32],
    weights: NDArray[np.float32],
    contexts: Sequence[Context | None],
) -> Iterator[tuple[int, Pair]]:
    """Yield the item and the pair of each value to count."""
    for row, context in enumerate(contexts):
        if context and weights[row] > 0:
            item = int(items[row])
            for pair in _pairs(context):
                yield item, pair


def _pairs(context: Context) -> Iterator[Pair]:
    """Yield the pairs of a context to count, in order of the field names."""
    for field in sorted(context):
        value = context[field]
        if isinstance(value, bool):
            yield field, "true" if value else "false"
        elif isinstance(value, str | int):
            yield field, str(value)


def _arrays(counts: dict[int, int]) -> ItemCounts:
    return ItemCounts(
        np.fromiter(counts.keys(), dtype=np.int32, count=len(counts)),
        np.fromiter(counts.values(), dtype=np.int64, count=len(counts)),
    )
