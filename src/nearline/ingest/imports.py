"""Imports of whole tables of interactions and catalogue entries into the log."""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager

from nearline.common.progress import Progress
from nearline.data import (
    CleaningConfig,
    CleaningReport,
    ItemsReport,
    clean,
    read_interactions,
    read_items,
    to_events,
)
from nearline.encoders import TextVectors
from nearline.errors import NearlineError
from nearline.log import Appended, Log

logger = logging.getLogger(__name__)

# An event waits at most for one block.
ITEM_BLOCK = 500


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
    """Append a whole table of catalogue entries, in blocks, and report what was dropped.

    Their texts are encoded first, so that the model that serves finds the vectors; where that
    fails they go in without. `columns` and `shared` as for `read_items`; `pausing` is entered with
    the number of entries while they are written.
    """
    items, report = read_items(source, columns, shared=shared, now=now)
    if texts is not None:
        try:
            texts.encode([item.content for item in items], progress)
        except NearlineError as error:
            texts.missed += len(items)
            logger.warning("the catalogue goes in without language vectors: %s", error)
    with pausing(len(items)):
        for start in range(0, len(items), ITEM_BLOCK):
            log.append(items[start : start + ITEM_BLOCK]).result()
            progress(min(start + ITEM_BLOCK, len(items)), len(items), "items")
    return report


def warn_users_ignored(users: object) -> None:
    """Warn of attributes of users, which a recommender does not learn from."""
    if users is not None:
        logger.warning(
            "users: a recommender does not learn from attributes of users; tell those that matter "
            "as the context of events and requests, or fit "
            "nearline.models.sequence.two_tower.TwoTower on make_dataset(..., users=...)"
        )


def _settle(waiting: "deque[tuple[int, Future[Appended]]]") -> int:
    """Wait for the first of some appends; the number of its records."""
    size, future = waiting.popleft()
    future.result()
    return size
