"""Imports of whole tables of interactions and catalogue entries into the log."""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from nearline.common.memory import collection_paused
from nearline.common.progress import Progress
from nearline.data import (
    CleaningConfig,
    CleaningReport,
    ItemsReport,
    clean,
    read_interactions,
    read_items,
    read_table,
    read_users,
    to_events,
)
from nearline.data.notes import notes_of
from nearline.data.order import by_content, in_own_order, order_of_rows
from nearline.data.report import Dropped, KindOfEvent, TimesRead
from nearline.data.users import USER_ID, attributes_of_rows
from nearline.encoders import TextVectors
from nearline.errors import InvalidInput, NearlineError
from nearline.ingest.undated import new_rows, with_times
from nearline.log import Appended, Log
from nearline.schema import UserPut
from nearline.schema.profile_rules import new_user
from nearline.state import State, StateConfig

logger = logging.getLogger(__name__)

# Number of items of a block. While it is written, events wait.
ITEM_BLOCK = 500
# The same of users.
USER_BLOCK = 1_000


def import_interactions(
    log: Log,
    state: State,
    source: object,
    columns: Mapping[str, str] | None,
    *,
    now: float,
    cleaning: CleaningConfig,
    progress: Progress,
    **options: object,
) -> CleaningReport:
    """Append the rows of a table of interactions in blocks, and report what was stored and dropped.

    A row without an `event_id` gets one computed from its content, so imports are idempotent.

    Parameters
    ----------
    state : State
        State that follows the log; its configuration contains the event weights.
    **options
        Options of `read_interactions`.
    """
    table, report = clean(read_interactions(source, columns, **options), now=now, config=cleaning)
    report = summarise(table, report, state.config)
    rows = table.num_rows
    if notes_of(table).undated:
        table = with_times(by_content(new_rows(log, table)), state.latest(), now)
    else:
        table = in_own_order(table)
    known = rows - table.num_rows
    # One block is prepared while another is written.
    waiting: deque[tuple[int, Future[Appended]]] = deque()
    done = forgotten = 0
    for block in to_events(table, distinct="event_id" not in table.column_names):
        waiting.append((len(block), log.append(block)))
        if len(waiting) > 1:
            done, known, forgotten = _settle(waiting, done, known, forgotten)
            progress(done, table.num_rows, "events")
    while waiting:
        done, known, forgotten = _settle(waiting, done, known, forgotten)
        progress(done, table.num_rows, "events")
    if forgotten:
        dropped = (*report.dropped, Dropped("the user was erased after the event", forgotten, ""))
        report = replace(report, dropped=dropped, rows_kept=report.rows_kept - forgotten)
    return replace(report, known=known)


def summarise(table: pa.Table, report: CleaningReport, config: StateConfig) -> CleaningReport:
    """Add a summary of the kept rows to a report: times, kinds of events, users, items."""
    notes = notes_of(table)
    counts = pc.value_counts(table["event"]).to_pylist()
    counts.sort(key=lambda entry: (-entry["counts"], entry["values"]))
    kinds = tuple(
        KindOfEvent(kind, entry["counts"], config.weight(kind), config.knows(kind))
        for entry in counts
        for kind in [entry["values"]]
    )
    bounds = pc.min_max(table["timestamp"]).as_py()
    return replace(
        report,
        times=TimesRead(bounds["min"], bounds["max"], notes.times, order_of_rows(table)),
        kinds=kinds,
        n_users=pc.count_distinct(table["user_id"]).as_py(),
        n_items=pc.count_distinct(table["item_id"]).as_py(),
        columns=notes.columns,
        remarks=tuple(notes.remarks),
    )


def import_items(
    log: Log,
    source: object,
    columns: Mapping[str, str] | None = None,
    *,
    shared: Mapping[str, str] | None = None,
    now: float,
    texts: TextVectors | None,
    pausing: Callable[[int], AbstractContextManager[None]],
    progress: Progress,
) -> ItemsReport:
    """Append the rows of a catalogue in blocks, and report what was dropped.

    If there is an encoder, the texts are encoded first, so that the active model has their vectors.
    If that fails, the entries are stored without vectors.

    Parameters
    ----------
    columns, shared : mapping or None
        Mappings of columns; see `read_items`.
    texts : TextVectors or None
        Encoder of texts; None encodes nothing.
    pausing : callable
        Returns a context manager, from the number of entries, that is active while they are
        written.
    """
    with collection_paused():
        items, report = read_items(source, columns, shared=shared, now=now)
    if texts is not None:
        try:
            texts.encode([item.content for item in items], progress)
        except NearlineError as error:
            texts.missed += len(items)
            logger.warning("the catalogue is stored without language vectors: %s", error)
    with pausing(len(items)), collection_paused():
        for start in range(0, len(items), ITEM_BLOCK):
            log.append(items[start : start + ITEM_BLOCK]).result()
            progress(min(start + ITEM_BLOCK, len(items)), len(items), "items")
    return report


def import_users(
    log: Log,
    state: State,
    source: object,
    columns: Mapping[str, str] | None = None,
    *,
    now: float,
    progress: Progress,
) -> CleaningReport:
    """Append the attributes of a table of users in blocks, and report what was dropped.

    The attributes of a row replace those of the user; rows that change nothing are not stored.

    Parameters
    ----------
    columns : mapping or None
        Mapping of columns, of which only that of `user_id` is used, if the table has it.
    """
    table = read_table(source)
    named = (columns or {}).get(USER_ID)
    own = {USER_ID: named} if named is not None and named in table.column_names else None
    users, report = read_users(table, own)
    log.append([]).result()  # the state then reflects all queued records
    records: list[UserPut] = []
    bad: list[str] = []
    known = 0
    rows = zip(users[USER_ID].to_pylist(), attributes_of_rows(users), strict=True)
    for user_id, attributes in rows:
        try:
            record = new_user(user_id, attributes, now=now)
        except InvalidInput as error:
            bad.append(str(error))
            continue
        if state.profiles.knows(user_id) and state.profiles.stored(user_id) == record.attributes:
            known += 1
        else:
            records.append(record)
    for start in range(0, len(records), USER_BLOCK):
        log.append(records[start : start + USER_BLOCK]).result()
        progress(min(start + USER_BLOCK, len(records)), len(records), "users")
    dropped = report.dropped
    if bad:
        dropped = (*dropped, Dropped("an attribute is not valid", len(bad), bad[0]))
    kept = report.rows_kept - len(bad)
    return replace(report, rows_kept=kept, dropped=dropped, known=known, n_users=kept)


def _settle(
    waiting: "deque[tuple[int, Future[Appended]]]", done: int, known: int, forgotten: int
) -> tuple[int, int, int]:
    """Wait for the first append; add its records, its duplicates and what it left out."""
    size, future = waiting.popleft()
    appended = future.result()
    return done + size, known + appended.duplicates, forgotten + appended.forgotten
