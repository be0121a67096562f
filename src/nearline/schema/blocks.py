"""Events in columnar form, for bulk imports."""

from collections.abc import Iterator, Sequence
from typing import Any, Self, overload

import pyarrow as pa

from nearline.errors import InvalidInput
from nearline.schema.records import Event

COLUMNS = pa.schema(
    {
        "user_id": pa.string(),
        "item_id": pa.string(),
        "timestamp": pa.float64(),
        "event": pa.string(),
        "event_id": pa.string(),
        "value": pa.float64(),
        "session_id": pa.string(),
    }
)
_REQUIRED = ("user_id", "item_id", "timestamp", "event")
# Number of rows that an iteration converts to events at a time; limits its memory.
_ROWS = 1_000


class EventBlock(Sequence[Event]):
    """Immutable sequence of events in Arrow columns; `Event` objects are created on access.

    Parameters
    ----------
    columns : pyarrow.RecordBatch
        The columns of `COLUMNS`, in any order, with nulls for absent fields. The columns
        `event_id`, `value` and `session_id` may be missing.

    Raises
    ------
    InvalidInput
        A column is missing, unknown or of another type, a required value is null, or text is not
        valid UTF-8.
    """

    def __init__(self, columns: pa.RecordBatch) -> None:
        self.columns = _checked(columns)

    @overload
    def __getitem__(self, key: int) -> Event: ...
    @overload
    def __getitem__(self, key: slice) -> Self: ...
    def __getitem__(self, key: int | slice) -> Event | Self:
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            if step != 1:
                raise ValueError(f"the step of the slice is {step}; only step 1 is supported")
            return self._like(self.columns.slice(start, max(0, stop - start)))
        (row,) = self.columns.slice(range(len(self))[key], 1).to_pylist()
        return Event(**row)

    def __len__(self) -> int:
        return int(self.columns.num_rows)

    def __iter__(self) -> Iterator[Event]:
        for start in range(0, len(self), _ROWS):
            for row in self.columns.slice(start, _ROWS).to_pylist():
                yield Event(**row)

    def take(self, rows: Any) -> Self:
        """Return a block of the rows at the positions `rows`, int64 [n] in ascending order."""
        return self._like(self.columns.take(pa.array(rows)))

    @classmethod
    def _like(cls, columns: pa.RecordBatch) -> Self:
        """Create a block from columns that are already validated."""
        block = cls.__new__(cls)
        block.columns = columns
        return block


class StoredBlock(Sequence[tuple[int, Event]]):
    """Sequence of (offset, event) pairs for a block of events in the log.

    Parameters
    ----------
    start : int
        Log offset of the first event; the other events have consecutive offsets.
    events : EventBlock
        Events of the block.
    """

    def __init__(self, start: int, events: EventBlock) -> None:
        self.start = start
        self.events = events

    @overload
    def __getitem__(self, key: int) -> tuple[int, Event]: ...
    @overload
    def __getitem__(self, key: slice) -> "StoredBlock": ...
    def __getitem__(self, key: int | slice) -> "tuple[int, Event] | StoredBlock":
        if isinstance(key, slice):
            return StoredBlock(self.start + key.indices(len(self))[0], self.events[key])
        place = range(len(self))[key]
        return self.start + place, self.events[place]

    def __len__(self) -> int:
        return len(self.events)

    def __iter__(self) -> Iterator[tuple[int, Event]]:
        return enumerate(self.events, self.start)


def _checked(columns: pa.RecordBatch) -> pa.RecordBatch:
    found = dict(zip(columns.schema.names, columns.schema.types, strict=True))
    for name in _REQUIRED:
        if name not in found:
            raise InvalidInput(f"a block of events lacks the column {name}", field=name)
    for name, kind in found.items():
        if name not in COLUMNS.names or kind != COLUMNS.field(name).type:
            raise InvalidInput(
                f"column {name} of a block of events is of type {kind}; columns are "
                + ", ".join(f"{field.name} ({field.type})" for field in COLUMNS),
                field=name,
            )
    rows = columns.num_rows
    whole = {
        field.name: columns[field.name] if field.name in found else pa.nulls(rows, field.type)
        for field in COLUMNS
    }
    for name in _REQUIRED:
        if whole[name].null_count:
            raise InvalidInput(f"{name} is missing in some row of a block of events", field=name)
    batch = pa.record_batch(whole)
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid as error:
        raise InvalidInput(
            f"a block of events cannot be stored: {error}; correct the text"
        ) from error
    return batch
