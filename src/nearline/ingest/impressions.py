"""Impressions: showings of items, which are collected in memory and logged in blocks.

A showing counts in the next list at once. Twice a second, the collected showings are appended to
the log, one record per user. A process that is killed loses those since the last time.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Event, Lock, Thread
from typing import NamedTuple

import numpy as np

from nearline.errors import NearlineError, Overloaded
from nearline.log import Appended, Log
from nearline.schema import ItemsShown
from nearline.state import State
from nearline.state.showings import Rows, rows_of

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 0.5
# Showings that wait to be logged; further ones are refused.
MAX_WAITING = 200_000


class Waiting(NamedTuple):
    """Showings of one user that are not in the state yet.

    Attributes
    ----------
    item_ids, times : list of str, list of float
        Items and Unix seconds.
    number : int
        Number of their record; 0 if there is none yet.
    """

    item_ids: list[str]
    times: list[float]
    number: int = 0


class Impressions:
    """Collects showings, and appends them to the log in the background.

    Parameters
    ----------
    parts : callable
        Returns the log and the state that are in use.
    """

    def __init__(self, parts: Callable[[], tuple[Log, State]]) -> None:
        self._parts = parts
        self._lock = Lock()
        self._flushing = Lock()
        self._new: dict[str, Waiting] = {}
        self._sent: dict[str, list[Waiting]] = {}
        self._count = 0
        self._number = 0
        self._stopping = Event()
        self._thread: Thread | None = None

    def add(self, user_id: str, item_ids: Sequence[str], now: float) -> None:
        """Add showings of items to a user at a time (Unix seconds); they count at once.

        Raises
        ------
        Overloaded
            Too many showings wait to be logged.
        """
        if not item_ids:
            return
        with self._lock:
            if self._count + len(item_ids) > MAX_WAITING:
                raise Overloaded(
                    f"{self._count:,} impressions wait to be logged, which is the limit; nothing "
                    "was stored, try again in a second"
                )
            waiting = self._new.get(user_id)
            if waiting is None:
                waiting = self._new[user_id] = Waiting([], [])
            waiting.item_ids.extend(item_ids)
            waiting.times.extend([now] * len(item_ids))
            self._count += len(item_ids)
            if self._thread is None and not self._stopping.is_set():
                self._thread = Thread(target=self._run, name="nearline-impressions", daemon=True)
                self._thread.start()

    def of(self, user_id: str, state: State) -> Rows:
        """Return all showings of a user: those in the state, and those that wait."""
        with state.lock, self._lock:
            rows = [state.showings.of(user_id)]
            waiting = [
                one for one in self._sent.get(user_id, ()) if one.number > state.showings.number
            ]
            if user_id in self._new:
                waiting.append(self._new[user_id])
            if not waiting:
                return rows[0]
            rows += [rows_of(one.item_ids, one.times, state.items.get) for one in waiting]
        return np.concatenate(rows)

    def flush(self) -> None:
        """Append all collected showings to the log, and wait until they are durable.

        If the log refuses them, they are lost, and a warning is logged.
        """
        with self._flushing:
            log, state = self._parts()
            with self._lock:
                new, self._new = self._new, {}
                self._count = 0
                if not new:
                    return
                self._number = max(self._number, state.showings.number)
                records = []
                for user_id, waiting in new.items():
                    self._number += 1
                    self._sent.setdefault(user_id, []).append(waiting._replace(number=self._number))
                    records.append(_record(user_id, waiting, self._number))
            self._append(log, records)

    def forget(self, user_id: str) -> None:
        """Drop the showings of a user that are not in the log yet."""
        with self._flushing, self._lock:
            dropped = self._new.pop(user_id, None)
            self._count -= len(dropped.item_ids) if dropped is not None else 0

    def close(self) -> None:
        """Log what is collected, and stop. Idempotent."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            self.flush()

    def _append(self, log: Log, records: list[ItemsShown]) -> None:
        try:
            appended: Future[Appended] = log.append(records)
            appended.result()
        except NearlineError as error:
            logger.warning("the impressions of %d users were not logged: %s", len(records), error)
        finally:
            with self._lock:
                self._sent = {}

    def _run(self) -> None:
        while not self._stopping.wait(FLUSH_SECONDS):
            try:
                self.flush()
            except Exception:  # must not end the thread
                logger.exception("impressions could not be logged")


def _record(user_id: str, waiting: Waiting, number: int) -> ItemsShown:
    return ItemsShown(
        user_id=user_id,
        timestamp=max(waiting.times),
        number=number,
        item_ids=waiting.item_ids,
        times=waiting.times,
    )
