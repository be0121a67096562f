"""Stream of log records in order of time, from a table of interactions and a catalogue."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nearline.data import Dataset, Weight, make_dataset, to_events
from nearline.data.order import in_own_order
from nearline.schema import DAY, Event, Item


@dataclass(frozen=True)
class Stream:
    """Sequence of n events in order of time, with the catalogue entries of their items.

    Events with equal times are in the order of the table from which the stream was made.

    Attributes
    ----------
    table : pyarrow.Table
        The events, in canonical form.
    events : list of Event
        The same events as log records.
    entries : list of Item or None
        Catalogue entry that is appended before each event: that of the item if the event is its
        first, None otherwise.
    new : bool [n]
        Whether the event has a positive weight and, unless `repeats`, is the first of its user
        with its item. Only such events are evaluated.
    weight : callable
        Maps the kind of an event to its weight.
    repeats : bool
        Whether lists include items of the history, so that repeated events are evaluated too.
    """

    table: pa.Table
    events: list[Event]
    entries: list[Item | None]
    new: NDArray[np.bool_]
    weight: Weight
    repeats: bool = False

    def __len__(self) -> int:
        return len(self.events)

    def records(self, first: int, stop: int) -> list[Event | Item]:
        """Return the log records of events `first` to ``stop - 1``.

        Each catalogue entry precedes the event to which it belongs.
        """
        records: list[Event | Item] = []
        for at in range(first, stop):
            entry = self.entries[at]
            if entry is not None:
                records.append(entry)
            records.append(self.events[at])
        return records

    def dataset(self, stop: int) -> Dataset:
        """Return the first `stop` events as training data.

        Items have the same indices as in a `State` that applied the same records.
        """
        known = [entry for entry in self.entries[:stop] if entry is not None]
        return make_dataset(self.table.slice(0, stop), known, self.weight)


def make_stream(
    table: pa.Table, items: Iterable[Item], weight: Weight, *, repeats: bool = False
) -> Stream:
    """Create a stream from a table and a catalogue.

    Parameters
    ----------
    table : pyarrow.Table
        Events in canonical form, in any order.
    items : iterable of Item
        Catalogue entries.
    weight : callable
        Maps the kind of an event to its weight.
    repeats : bool
        Whether lists include items of the history; see `Stream`.

    Notes
    -----
    The time complexity is O(n log n) for n events.
    """
    table = in_own_order(table)
    times = table["timestamp"].to_numpy()
    table = table.take(pa.array(np.argsort(times, kind="stable")))
    events = [event for block in to_events(table) for event in block]
    users = _codes(table["user_id"])
    found = _codes(table["item_id"])
    pairs = users * (int(found.max(initial=0)) + 1) + found
    new = np.ones(len(events), dtype=np.bool_) if repeats else _first(pairs)
    new &= np.array([weight(event.event) > 0 for event in events], dtype=np.bool_)
    catalogue = {item.item_id: item for item in items}
    entries: list[Item | None] = [None] * len(events)
    for at in np.flatnonzero(_first(found)).tolist():
        entries[at] = catalogue.get(events[at].item_id)
    return Stream(table, events, entries, new, weight, repeats)


def spread(table: pa.Table, days: float, rng: np.random.Generator) -> pa.Table:
    """Replace the times of events whose timestamps only define an order for each user.

    The j-th (from 0) of the n events of a user is placed at the fraction (j + u) / n of the
    stream, where u is drawn for each user from the uniform distribution on [0, 1). Thus each user
    is equally active throughout the stream, and events of different users are not synchronised.

    Parameters
    ----------
    table : pyarrow.Table
        Events in canonical form.
    days : float
        Length of the stream in days.
    rng : Generator
        Source of randomness of u, in the order in which users appear in `table`.

    Returns
    -------
    pyarrow.Table
        The table with times in seconds from 0 to the length of the stream.
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
    """Replace values by numbers in the order of first occurrence: int64 [n], from 0."""
    indices = column.combine_chunks().dictionary_encode().indices
    codes: NDArray[np.int64] = indices.to_numpy().astype(np.int64)
    return codes


def _first(codes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return for each value whether it occurs for the first time: bool [n]."""
    first = np.zeros(len(codes), dtype=np.bool_)
    first[np.unique(codes, return_index=True)[1]] = True
    return first
