"""Single writes: events and catalogue entries, validated and appended to the log.

The futures that these functions return resolve once the records are durable in the log *and* the
state reflects them: the log calls `State.apply` between its commit and the acknowledgement (see
`nearline.ingest.follow`), so a caller that waits for the future reads its own writes.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import TypeVar

import msgspec

from nearline.errors import InvalidInput, UnknownItem
from nearline.log import Appended, Log
from nearline.schema import Event, Item, ItemDeleted, ItemPatched, check_event, check_id, check_item
from nearline.schema.arguments import as_list, mapping, plain
from nearline.schema.times import parse_expiry
from nearline.state import State

T = TypeVar("T", Event, Item)


def append_events(log: Log, events: Sequence[Event], *, now: float) -> Future[Appended]:
    """Append events atomically; `InvalidInput.position` is the index of the first invalid one."""
    return log.append(_checked(events, check_event, now))


def append_event(log: Log, event: Event, *, now: float) -> Future[Appended]:
    """Append one event; an error about it has no position."""
    return log.append([check_event(event, now=now)])


def put_items(log: Log, items: Sequence[Item], *, now: float) -> Future[Appended]:
    """Append catalogue entries atomically; each replaces the previous entry of its item."""
    return log.append(_checked(items, check_item, now))


def patch_item(
    log: Log, state: State, item_id: str, changes: Mapping[str, object], *, now: float
) -> Appended:
    """Append a change of some fields of a catalogue entry; return once that is durable.

    If several changes are written at the same time, they are applied in the order of the log.

    Raises
    ------
    UnknownItem
        The item has no catalogue entry.
    InvalidInput
        A field is unknown or breaks a rule.
    """
    log.append([]).result()  # waits until the state reflects all queued records
    patched(state, item_id, changes, now=now)
    return log.append([_patch(item_id, changes, now)]).result()


def patched(state: State, item_id: str, changes: Mapping[str, object], *, now: float) -> Item:
    """Return the catalogue entry of `item_id` with the changes applied, without storing it."""
    index = state.items.get(check_id(item_id, "item_id"))
    found = None if index is None else state.catalogue.get(index)
    if found is None:
        raise UnknownItem(f"item {item_id!r} has no catalogue entry; store one first")
    return check_item(_patch(item_id, changes, now).applied_to(found), now=now)


def _patch(item_id: str, changes: Mapping[str, object], now: float) -> ItemPatched:
    given = mapping(changes, "changes", "{'available': False}")
    if given.get("item_id", item_id) != item_id:
        raise InvalidInput("the ID of an item cannot be changed", field="item_id")
    fields = {"timestamp": now, **plain(given), "item_id": item_id}
    if "expires_at" in fields:
        fields["expires_at"] = parse_expiry(fields["expires_at"])
    try:
        return msgspec.convert(fields, ItemPatched)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"the changes of item {item_id!r} are invalid: {error}") from None


def delete_item(log: Log, state: State, item_id: str, *, now: float) -> Future[Appended]:
    """Append the deletion of an item; once it is acknowledged, no list contains the item."""
    if state.items.get(check_id(item_id, "item_id")) is None:
        raise UnknownItem(f"item {item_id!r} has neither an event nor a catalogue entry")
    return log.append([ItemDeleted(item_id=item_id, timestamp=now)])


def _checked(values: Sequence[T], check: Callable[..., T], now: float) -> list[T]:
    checked = []
    kind = Event if check is check_event else Item
    for position, value in enumerate(
        as_list(values, kind.__name__.lower() + "s", f"nearline.{kind.__name__}")
    ):
        if not isinstance(value, kind):
            raise InvalidInput(
                f"entry {position} is {type(value).__name__}; give nearline.{kind.__name__}",
                position=position,
            )
        try:
            checked.append(check(value, now=now))
        except InvalidInput as error:
            raise error.at(position) from None
    return checked
