"""Road 1: event → validate → log → state → acknowledge.

A future that these functions return resolves once the records are durable in the log *and* the
state reflects them: the log's writer calls `State.apply` between its commit and the acknowledgement
(see `follow`), so whoever waits for the future reads its own writes.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from itertools import islice
from typing import TypeVar

import msgspec

from nearline.data import (
    CleaningConfig,
    CleaningReport,
    clean,
    read_interactions,
    read_items,
    to_events,
)
from nearline.encoders import TextVectors
from nearline.errors import InvalidInput, NearlineError, UnknownItem
from nearline.log import Appended, Log, Readable
from nearline.progress import Progress, no_progress
from nearline.schema import Event, Item, ItemDeleted, Record, check_event, check_id, check_item
from nearline.state import State

logger = logging.getLogger(__name__)

T = TypeVar("T", Event, Item)

# Records a replay hands to the state at once: large enough to amortise the call, small in memory.
REPLAY_BLOCK = 10_000
ITEM_BLOCK = 5_000


def append_events(log: Log, events: Sequence[Event], *, now: float) -> Future[Appended]:
    """Append a list of events, whole or not at all; `InvalidInput.position` names a bad one."""
    return log.append(_checked(events, check_event, now))


def put_items(log: Log, items: Sequence[Item], *, now: float) -> Future[Appended]:
    """Append catalogue entries, whole or not at all; each replaces the one before it."""
    return log.append(_checked(items, check_item, now))


def patch_item(
    log: Log, state: State, item_id: str, changes: Mapping[str, object], *, now: float
) -> Appended:
    """Change some fields of the catalogue entry of `item_id`; return once that is durable.

    Reads an entry and writes it back: no other catalogue change may be appended meanwhile.
    """
    log.append([]).result()  # what was queued before is in the state now
    return put_items(log, [patched(state, item_id, changes, now=now)], now=now).result()


def patched(state: State, item_id: str, changes: Mapping[str, object], *, now: float) -> Item:
    """Return the catalogue entry of `item_id` with some fields changed; nothing is stored."""
    index = state.items.get(check_id(item_id, "item_id"))
    found = None if index is None else state.catalogue.get(index)
    if found is None:
        raise UnknownItem(f"item {item_id!r} has no catalogue entry; PUT it first")
    entry = msgspec.to_builtins(found) | {"timestamp": now} | dict(changes)
    try:
        return msgspec.convert(entry, Item)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"the item cannot be changed so: {error}") from None


def delete_item(log: Log, state: State, item_id: str, *, now: float) -> Future[Appended]:
    """Append the deletion of an item; after the acknowledgement no answer holds it."""
    if state.items.get(check_id(item_id, "item_id")) is None:
        raise UnknownItem(f"item {item_id!r} is in no event and no catalogue entry")
    return log.append([ItemDeleted(item_id=item_id, timestamp=now)])


def import_interactions(
    log: Log,
    source: object,
    columns: Mapping[str, str] | None,
    *,
    now: float,
    cleaning: CleaningConfig,
    progress: Progress,
) -> CleaningReport:
    """Append a whole table of interactions, in blocks, and report what cleaning dropped.

    Every row gets an id made from its content, so importing the same rows again stores nothing
    twice.
    """
    table, report = clean(read_interactions(source, columns), now=now, config=cleaning)
    # One block is made ready while another is written.
    waiting: deque[tuple[int, Future[Appended]]] = deque()
    done = 0
    for block in to_events(table, distinct="event_id" not in table.column_names):
        waiting.append((len(block), log.append(block)))
        if len(waiting) > 1:
            done += _settle(waiting)
            progress(done, table.num_rows, "events")
    while waiting:
        done += _settle(waiting)
        progress(done, table.num_rows, "events")
    return report


def import_items(
    log: Log, source: object, *, now: float, texts: TextVectors | None, progress: Progress
) -> CleaningReport:
    """Append a whole table of catalogue entries, in blocks, and report what was dropped.

    Their texts are encoded first, so that the model that serves finds the vectors; where that
    fails they go in without.
    """
    items, report = read_items(source, now=now)
    if texts is not None:
        try:
            texts.encode([item.content for item in items], progress)
        except NearlineError as error:
            texts.missed += len(items)
            logger.warning("the catalogue goes in without language vectors: %s", error)
    for start in range(0, len(items), ITEM_BLOCK):
        log.append(items[start : start + ITEM_BLOCK]).result()
        progress(min(start + ITEM_BLOCK, len(items)), len(items), "items")
    return report


def tell_of_users(users: object) -> None:
    """Warn of attributes of users, which a recommender does not learn from."""
    if users is not None:
        logger.warning(
            "users: a recommender does not learn from attributes of users; tell those that matter "
            "as the context of events and requests, or fit nearline.models.two_tower.TwoTower on "
            "make_dataset(..., users=...)"
        )


def follow(log: Log, state: State, on_erased: Callable[[], None] = lambda: None) -> None:
    """Bring `state` up to the end of `log` and keep it there: call it before any append.

    `on_erased` is called after each erasure, before it is acknowledged.
    """

    def forget(user_id: str, events: Sequence[tuple[int, Event]]) -> None:
        state.forget(user_id, events)
        on_erased()

    replay(log, state)
    log.listen(state.apply, forget)


def _settle(waiting: "deque[tuple[int, Future[Appended]]]") -> int:
    """Wait for the first of some appends; the number of its records."""
    size, future = waiting.popleft()
    future.result()
    return size


def replay(log: Readable, state: State, *, progress: Progress = no_progress) -> None:
    """Bring `state` up to the end of `log`; progress is told in offsets."""
    for block in _blocks(log.read(state.offset), REPLAY_BLOCK):
        state.apply(block)
        progress(state.offset, log.end, "fold the log")


def _checked(values: Sequence[T], check: Callable[..., T], now: float) -> list[T]:
    checked = []
    for position, value in enumerate(values):
        try:
            checked.append(check(value, now=now))
        except InvalidInput as error:
            raise error.at(position) from None
    return checked


def _blocks(records: Iterable[tuple[int, Record]], size: int) -> Iterator[list[tuple[int, Record]]]:
    records = iter(records)
    while block := list(islice(records, size)):
        yield block
