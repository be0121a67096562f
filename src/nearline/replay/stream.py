"""Interactions and a catalogue as one stream in order of time."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nearline.data import Dataset, Weight, make_dataset, to_events
from nearline.schema import DAY, Event, Item


@dataclass(frozen=True)
class Stream:
    """Events in order of time; those of one moment keep the order of their table.

    Attributes
    ----------
    table : pyarrow.Table
        The events, in canonical form.
    events : list of Event
        The same, ready for the log.
    entries : list of Item or None
        The catalogue entry that comes with an event: an item is known from its first event on.
    new : bool [n]
        Whether the event is wanted and is the first of its user on its item: what a
        recommendation could have brought about, and what is evaluated.
    weight : callable
        Kind of event to its weight.
    """

    table: pa.Table
    events: list[Event]
    entries: list[Item | None]
    new: NDArray[np.bool_]
    weight: Weight

    def __len__(self) -> int:
        return len(self.events)

    def records(self, first: int, stop: int) -> list[Event | Item]:
        """Give the log's records of events `first` to ``stop - 1``, entries before their event."""
        records: list[Event | Item] = []
        for at in range(first, stop):
            entry = self.entries[at]
            if entry is not None:
                records.append(entry)
            records.append(self.events[at])
        return records

    def dataset(self, stop: int) -> Dataset:
        """Gather the first `stop` events as arrays; items are numbered as a state numbers them."""
        known = [entry for entry in self.entries[:stop] if entry is not None]
        return make_dataset(self.table.slice(0, stop), known, self.weight)


def make_stream(table: pa.Table, items: Iterable[Item], weight: Weight) -> Stream:
    """Sort a cleaned table by time and join the catalogue to it; O(n log n)."""
    times = table["timestamp"].to_numpy()
    table = table.take(pa.array(np.argsort(times, kind="stable")))
    events = [event for block in to_events(table) for event in block]
    users = _codes(table["user_id"])
    found = _codes(table["item_id"])
    pairs = users * (int(found.max(initial=0)) + 1) + found
    new = _first(pairs)
    new &= np.array([weight(event.event) > 0 for event in events], dtype=np.bool_)
    catalogue = {item.item_id: item for item in items}
    entries: list[Item | None] = [None] * len(events)
    for at in np.flatnonzero(_first(found)).tolist():
        entries[at] = catalogue.get(events[at].item_id)
    return Stream(table, events, entries, new, weight)


def spread(table: pa.Table, days: float, rng: np.random.Generator) -> pa.Table:
    """Give events that have only an order inside each user a time.

    The j-th of the n events of a user (j from 0) comes at ``(j + u) / n`` of the whole, u one
    uniform number for each user: everyone is equally busy from the first day to the last, and
    nobody's events come together with those of others by rule.

    Parameters
    ----------
    days : float
        Length of the stream.
    rng : Generator
        Draws u, in the order in which users appear in `table`.
    """
    users = _codes(table["user_id"])
    order = np.lexsort((table["timestamp"].to_numpy(), users))
    sizes = np.bincount(users)
    starts = np.cumsum(sizes) - sizes
    places = np.empty(len(users), dtype=np.int64)
    places[order] = np.arange(len(users)) - np.repeat(starts, sizes)
    times = (places + rng.random(len(sizes))[users]) / sizes[users] * days * DAY
    column = table.column_names.index("timestamp")
    return table.set_column(column, "timestamp", pa.array(times))


def _codes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Give each value a number, in order of appearance."""
    indices = column.combine_chunks().dictionary_encode().indices
    codes: NDArray[np.int64] = indices.to_numpy().astype(np.int64)
    return codes


def _first(codes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a value stands for the first time."""
    first = np.zeros(len(codes), dtype=np.bool_)
    first[np.unique(codes, return_index=True)[1]] = True
    return first
