"""Event counts of items in each context, such as a country, device or hour."""

import heapq
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from nearline.schema import Scalar

# Maximum number of pairs of field and value. Values that occur only once, such as request IDs, are
# evicted.
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
    """Consistent copy of all counts of `Contexts`, with pairs in the order of their addition.

    Attributes
    ----------
    pairs : list of (str, str)
        Field and value of each pair.
    since : int64 [n_pairs]
        Offset from which on events are counted for each pair.
    priorities : int64 [n_pairs, 2]
        Number of events of each pair, and its priority.
    age : int
        Priority of the last pair that was evicted.
    indptr : int64 [n_pairs + 1]
        Position at which the counts of each pair begin.
    items : int32 [n]
        Items of all pairs, concatenated.
    counts : int64 [n]
        Number of events of each of these items.
    """

    pairs: list[Pair]
    since: NDArray[np.int64]
    priorities: NDArray[np.int64]
    age: int
    indptr: NDArray[np.int64]
    items: NDArray[np.int32]
    counts: NDArray[np.int64]


class _Row:
    """Counts of one pair by item, and the numbers that determine its eviction."""

    __slots__ = ("counts", "events", "number", "priority", "since")

    def __init__(self, since: int, number: int) -> None:
        self.counts: dict[int, int] = {}
        self.since = since
        self.number = number
        self.events = 0
        self.priority = 0


class Contexts:
    """Number of events of each item for each value of a context field.

    Events with a positive weight are counted. Values are strings, integers and booleans, which are
    compared as text: ``7`` and ``"7"`` are equal. Other numbers are not counted. Methods that read
    acquire the lock and can be called by any thread.

    Parameters
    ----------
    lock : RLock
        The lock of the state.

    Notes
    -----
    Up to 1,000 pairs of field and value are counted. A new pair beyond that evicts the one with
    the lowest priority, the oldest first among equals: LFU with dynamic aging (Arlitt et al.,
    "Evaluating content management techniques for web proxy caches", 1999). The priority of a pair
    is its number of events plus the priority of the last evicted pair at the time of its latest
    event, so that current values are kept even if there are many values that occur once, or values
    that were frequent long ago. If an evicted pair occurs again, it is counted from that event on.

    Subtracting a user's events is exact: an event is subtracted only from pairs that counted it.

    A pair takes about 100 bytes per item that occurred with it.
    """

    def __init__(self, lock: "threading.RLock") -> None:
        self._lock = lock
        self._rows: dict[Pair, _Row] = {}
        # Entries (priority, number, pair); an entry may be out of date, but never too high.
        self._queue: list[tuple[int, int, Pair]] = []
        self._added = 0
        self._age = 0

    @classmethod
    def from_copy(cls, lock: "threading.RLock", copied: ContextsCopy) -> Self:
        """Create counts from the result of `copy`."""
        contexts = cls(lock)
        contexts._age = copied.age
        ends = copied.indptr.tolist()
        for at, pair in enumerate(copied.pairs):
            row = contexts._add_pair(pair, int(copied.since[at]))
            row.events, row.priority = copied.priorities[at].tolist()
            some = slice(ends[at], ends[at + 1])
            items, counts = copied.items[some].tolist(), copied.counts[some].tolist()
            row.counts = dict(zip(items, counts, strict=True))
        contexts._rebuild_queue()
        return contexts

    def add(
        self,
        items: NDArray[np.int32],
        weights: NDArray[np.float32],
        contexts: Sequence[Context | None],
        offsets: Sequence[int],
    ) -> None:
        """Count n events, except those without context or positive weight.

        Parameters
        ----------
        items, weights : int32 [n], float32 [n]
            Item and weight of each event.
        contexts : sequence of dict or None
            Context of each event.
        offsets : sequence of int
            Offset of each event in the log.
        """
        for event, item, pair in _wanted(items, weights, contexts):
            row = self._rows.get(pair)
            if row is None:
                if len(self._rows) >= MAX_VALUES:
                    self._evict()
                # Until the first eviction, the counts of every pair are complete.
                row = self._add_pair(pair, offsets[event] if self._age else 0)
            elif offsets[event] < row.since:
                continue  # counted again after an erasure, though not counted before it
            row.counts[item] = row.counts.get(item, 0) + 1
            row.events += 1
            row.priority = row.events + self._age

    def subtract(
        self,
        items: NDArray[np.int32],
        weights: NDArray[np.float32],
        contexts: Sequence[Context | None],
        offsets: Sequence[int],
    ) -> None:
        """Subtract events that were added before, in any order; see `add`."""
        for event, item, pair in _wanted(items, weights, contexts):
            row = self._rows.get(pair)
            if row is None or offsets[event] < row.since:
                continue  # it was not counted, or its count was evicted
            row.counts[item] -= 1
            row.events -= 1
            if not row.counts[item]:
                del row.counts[item]
            if not row.counts:  # the value itself may identify the user
                del self._rows[pair]

    def _add_pair(self, pair: Pair, since: int) -> _Row:
        if len(self._queue) > 2 * MAX_VALUES:  # most entries are out of date
            self._rebuild_queue()
        row = self._rows[pair] = _Row(since, self._added)
        heapq.heappush(self._queue, (0, self._added, pair))
        self._added += 1
        return row

    def _evict(self) -> None:
        """Remove the pair with the lowest priority, in amortised O(log n) time."""
        while True:
            priority, number, pair = heapq.heappop(self._queue)
            row = self._rows.get(pair)
            if row is None or row.number != number:
                continue  # the pair was removed, or removed and added again
            if row.priority > priority:
                heapq.heappush(self._queue, (row.priority, number, pair))
                continue
            del self._rows[pair]
            self._age = priority
            return

    def _rebuild_queue(self) -> None:
        self._queue = [(row.priority, row.number, pair) for pair, row in self._rows.items()]
        heapq.heapify(self._queue)

    def counts(self, context: Context) -> list[ItemCounts]:
        """Return the counts of each known value of a context, sorted by field name."""
        with self._lock:
            found = (self._rows.get(pair) for pair in _pairs(context))
            return [_arrays(row.counts) for row in found if row is not None]

    def copy(self) -> ContextsCopy:
        """Return a copy of the counts; the caller must hold the lock."""
        rows = list(self._rows.values())
        arrays = [_arrays(row.counts) for row in rows]
        sizes = [0, *(len(counts.items) for counts in arrays)]
        return ContextsCopy(
            list(self._rows),
            np.array([row.since for row in rows], dtype=np.int64),
            np.array([(row.events, row.priority) for row in rows], np.int64).reshape(-1, 2),
            self._age,
            np.cumsum(sizes, dtype=np.int64),
            np.concatenate([np.zeros(0, dtype=np.int32), *(counts.items for counts in arrays)]),
            np.concatenate([np.zeros(0, dtype=np.int64), *(counts.counts for counts in arrays)]),
        )


def _wanted(
    items: NDArray[np.int32],
    weights: NDArray[np.float32],
    contexts: Sequence[Context | None],
) -> Iterator[tuple[int, int, Pair]]:
    """Yield the position of the event, the item and the pair of each value to count."""
    for event, context in enumerate(contexts):
        if context and weights[event] > 0:
            item = int(items[event])
            for pair in _pairs(context):
                yield event, item, pair


def _pairs(context: Context) -> Iterator[Pair]:
    """Yield the pairs of a context to count, sorted by field name."""
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
