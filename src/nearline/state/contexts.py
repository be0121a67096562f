"""How often items were wanted in each context: in a country, on a device, at an hour."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from nearline.schema import Scalar

# Of all fields together. What is different with every event, such as a request's id, is no context.
MAX_VALUES = 1_000

Context = Mapping[str, Scalar]
# Name of a field, and its value as text.
Pair = tuple[str, str]


class ItemCounts(NamedTuple):
    """Items that were wanted in one context.

    Attributes
    ----------
    items : int32 [n]
        Item indices, in no order.
    counts : int64 [n]
        Events beside them, each at least 1.
    """

    items: NDArray[np.int32]
    counts: NDArray[np.int64]


class ContextsCopy(NamedTuple):
    """All counts of `Contexts` at one moment.

    Attributes
    ----------
    pairs : list of (field, value)
    full : bool
        Whether a value was ever left out.
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
    """Events by value of their context and by item, counted as `Counters` counts them.

    Texts, whole numbers and booleans are values, as they are written: ``7`` and ``"7"`` are the
    same. Other numbers are not counted. Reads take the lock and may come from any thread.

    Notes
    -----
    The first 1,000 pairs of field and value are counted. Once another one came, no new pair is
    counted any more, even if one is forgotten: so whatever is counted was counted from its first
    event on, and a forgotten user can be taken out exactly.

    A pair costs some 100 bytes for each item that was wanted with it.

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
        """Rebuild from what `copy` gave."""
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
        """Count events; those without a context, or of no positive weight, do not count."""
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
        """Take back events that were added, in any order."""
        for item, pair in _wanted(items, weights, contexts):
            counts = self._counts.get(pair)
            if counts is None:
                continue  # it was left out
            counts[item] -= 1
            if not counts[item]:
                del counts[item]
            if not counts:  # the value itself may tell of who is forgotten
                del self._counts[pair]

    def counts(self, context: Context) -> list[ItemCounts]:
        """Give the counts of each value of a context that was seen, by name of its field."""
        with self._lock:
            found = (self._counts.get(pair) for pair in _pairs(context))
            return [_arrays(counts) for counts in found if counts]

    def copy(self) -> ContextsCopy:
        """Copy the counts, for a caller who holds the lock."""
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
    """Yield item and pair of each value that counts."""
    for row, context in enumerate(contexts):
        if context and weights[row] > 0:
            item = int(items[row])
            for pair in _pairs(context):
                yield item, pair


def _pairs(context: Context) -> Iterator[Pair]:
    """Yield what counts of a context, in order of the names."""
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
