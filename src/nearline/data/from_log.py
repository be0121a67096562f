"""Conversion of the log to a dataset, for training."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.data.build import Weight, assemble, same_weight, with_attributes
from nearline.data.dataset import Dataset
from nearline.errors import Damaged
from nearline.kernels.counted_events import CountedLimits
from nearline.kernels.event_payloads import (
    EVENT,
    ITEM,
    KIND,
    OTHER,
    USER,
    ParsedEvents,
    parse_events,
)
from nearline.kernels.interning import Interner
from nearline.log.base import Readable, ReadsPayloads
from nearline.log.codec import decode
from nearline.schema import (
    AttributeValue,
    Consent,
    Event,
    Item,
    ItemDeleted,
    ItemPatched,
    Record,
    UserPatched,
    UserPut,
)

# Called with each record that is no event, in order.
OnOther = Callable[[int, Record], None]
# Records of a log without payloads that are converted at a time.
BLOCK = 20_000
# Kind of an event whose encoded form has none.
_DEFAULT_KIND = Event(user_id="u", item_id="i", timestamp=0.0).event


def dataset_from_log(
    log: Readable,
    stop: int,
    weight: Weight = same_weight,
    *,
    limits: CountedLimits | None = None,
    item_ids: Sequence[str] = (),
    on_other: OnOther | None = None,
) -> Dataset:
    """Convert the first `stop` records of a log to arrays; the records are streamed.

    The items of `item_ids` have the first indices; other items follow in order of occurrence.
    Without `item_ids`, the result equals `make_dataset` of the same events and of the catalogue at
    `stop`. A deleted item keeps its interactions but has no text. Erased events are not included,
    nor is anything of a user who objects to profiling at `stop`.

    If the log can return encoded records, there is no Python object for an event. While the log is
    read, an event takes 24 bytes.

    Parameters
    ----------
    limits : CountedLimits or None
        Which events count; None for `counted_events.LIMITS`.
    on_other : callable or None
        Called with the offset and each record that is neither an event nor erased.
    """
    stop = min(stop, log.end)
    events = _Events(max(stop, 0), item_ids)
    others = _Others(on_other)
    if isinstance(log, ReadsPayloads):
        for start, payloads in log.payloads(0, stop):
            data = np.frombuffer(b"".join(payloads), dtype=np.uint8)
            ends = np.cumsum([0, *map(len, payloads)])
            parsed = parse_events(data, ends)
            rest = np.flatnonzero(parsed.states == OTHER).tolist()
            found = [(at, decode(start + at, payloads[at])) for at in rest]
            events.add(data, parsed, others.without(start, found))
    else:
        records = log.read(0, stop)
        while block := list(islice(records, BLOCK)):
            parsed = parse_events(np.zeros(0, np.uint8), np.zeros(len(block) + 1, np.int64))
            found = [(at, record) for at, (_, record) in enumerate(block)]
            events.add(np.zeros(0, np.uint8), parsed, others.without(block[0][0], found))
    for user_id in others.objecting:
        others.attributes.pop(user_id, None)
    built = events.assemble(others.catalogue, weight, limits, others.objecting, len(item_ids))
    return with_attributes(built, others.attributes) if others.attributes else built


@dataclass
class _Others:
    """What a log says about items and users, apart from events."""

    on_other: OnOther | None
    catalogue: dict[str, Item] = field(default_factory=dict)
    attributes: dict[str, Mapping[str, AttributeValue]] = field(default_factory=dict)
    objecting: set[str] = field(default_factory=set)

    def without(self, start: int, records: Sequence[tuple[int, Record]]) -> list[tuple[int, Event]]:
        """Add all records that are no events; return the events, each with its place."""
        events = []
        for at, record in records:
            if isinstance(record, Event):
                events.append((at, record))
                continue
            if self.on_other is not None:
                self.on_other(start + at, record)
            if isinstance(record, Item):
                self.catalogue[record.item_id] = record
            elif isinstance(record, ItemPatched):
                if record.item_id in self.catalogue:
                    entry = record.applied_to(self.catalogue[record.item_id])
                    self.catalogue[record.item_id] = entry
            elif isinstance(record, ItemDeleted):
                self.catalogue.pop(record.item_id, None)
            elif isinstance(record, UserPut | UserPatched):
                old = self.attributes.get(record.user_id, {})
                self.attributes[record.user_id] = record.applied_to(old)
            elif isinstance(record, Consent):
                said = self.objecting.discard if record.profiling else self.objecting.add
                said(record.user_id)
        return events


class _Events:
    """Columns of up to `room` events, whose users, items and kinds have numbers."""

    def __init__(self, room: int, item_ids: Sequence[str]) -> None:
        self._users, self._items, self._kinds = Interner(), Interner(item_ids), Interner()
        self._n = 0
        self._user, self._item = np.empty(room, np.int32), np.empty(room, np.int32)
        self._kind = np.empty(room, np.int32)
        self._time, self._value = np.empty(room), np.empty(room, np.float32)

    def add(
        self, data: NDArray[np.uint8], parsed: ParsedEvents, decoded: Sequence[tuple[int, Event]]
    ) -> None:
        """Append the events among n records: those that were parsed, and decoded ones."""
        size, more = len(data), []
        for at, event in decoded:
            parsed.states[at] = EVENT
            parsed.times[at] = event.timestamp
            parsed.values[at] = np.nan if event.value is None else event.value
            for column, text in ((USER, event.user_id), (ITEM, event.item_id), (KIND, event.event)):
                more.append(text.encode())
                parsed.starts[column, at], parsed.lengths[column, at] = size, len(more[-1])
                size += len(more[-1])
        if more:
            data = np.concatenate((data, np.frombuffer(b"".join(more), dtype=np.uint8)))
        rows = np.flatnonzero(parsed.states == EVENT)
        to = slice(self._n, self._n + len(rows))
        for column, texts, numbers in (
            (USER, self._users, self._user),
            (ITEM, self._items, self._item),
            (KIND, self._kinds, self._kind),
        ):
            starts, lengths = parsed.starts[column, rows], parsed.lengths[column, rows]
            numbers[to] = texts.numbers(data, starts, lengths)
        self._time[to], self._value[to] = parsed.times[rows], parsed.values[rows]
        self._n += len(rows)

    def assemble(
        self,
        catalogue: Mapping[str, Item],
        weight: Weight,
        limits: CountedLimits | None,
        objecting: Collection[str],
        first: int,
    ) -> Dataset:
        """Return the dataset of all events except those of users who object.

        The `first` items keep their numbers. This object cannot be used afterwards.
        """
        try:
            users, items = self._users.strings(), self._items.strings()
            kinds = [kind or _DEFAULT_KIND for kind in self._kinds.strings()]
        except UnicodeDecodeError as error:
            raise Damaged(
                f"the log has an ID that is no valid text ({error}); restore it from a backup"
            ) from error
        of_kind = np.array([weight(kind) for kind in kinds], dtype=np.float32)
        del self._users, self._items
        n = self._n
        times, kinds_of, values = self._time[:n], self._kind[:n], self._value[:n]
        columns = _Columns(users, items, self._user[:n], self._item[:n])
        if not set(objecting).isdisjoint(users):
            columns, kept = _without(columns, objecting, first)
            times, kinds_of, values = times[kept], kinds_of[kept], values[kept]
        return assemble(
            columns.user_ids,
            columns.item_ids,
            catalogue,
            users=columns.users,
            items=columns.items,
            times=times,
            weights=of_kind[kinds_of],
            values=values,
            limits=limits,
        )


class _Columns(NamedTuple):
    """IDs by index, and the indices of the user and the item of each event: int32 [n]."""

    user_ids: list[str]
    item_ids: list[str]
    users: NDArray[np.int32]
    items: NDArray[np.int32]


def _without(
    columns: _Columns, objecting: Collection[str], first: int
) -> tuple[_Columns, NDArray[np.bool_]]:
    """Remove the events of some users, and number the others as if these had never been there.

    The `first` items keep their indices. Also returns which events remain.
    """
    out = np.array([user_id in objecting for user_id in columns.user_ids], dtype=np.bool_)
    kept = ~out[columns.users]
    items = columns.items[kept]
    found, places = np.unique(items, return_index=True)
    later = found >= first
    order = [*range(first), *found[later][np.argsort(places[later])].tolist()]
    new_item = np.full(len(columns.item_ids), -1, dtype=np.int32)
    new_item[order] = np.arange(len(order))
    new_user = (np.cumsum(~out) - 1).astype(np.int32)
    renumbered = _Columns(
        [user_id for user_id, gone in zip(columns.user_ids, out, strict=True) if not gone],
        [columns.item_ids[at] for at in order],
        new_user[columns.users[kept]],
        new_item[items],
    )
    return renumbered, kept
