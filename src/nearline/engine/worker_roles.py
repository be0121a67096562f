"""Methods of the recommender for a server of several processes: a writer and readers."""

import os
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event, Thread

import msgspec

from nearline.engine.base import Engine
from nearline.engine.impressions import ImpressionMethods
from nearline.errors import InvalidInput
from nearline.log import FollowedLog, LogChannel, SQLiteLog
from nearline.recommend.recent_lists import MAX_LISTS, RecentLists
from nearline.served import Served, ServedLog

LISTS, SERVED, COUNTERS = "lists", "served", "counters"
# Seconds between two reports of a reader to the writer.
REPORT_SECONDS = 0.05
_Lists = list[tuple[str, str | None, tuple[str, ...]]]


class ReportedLists(RecentLists):
    """The last lists of a reader, which it also reports to the writer."""

    def __init__(self) -> None:
        super().__init__()
        self.fresh: deque[tuple[str, str | None, tuple[str, ...]]] = deque(maxlen=MAX_LISTS)

    def add(self, recommendation_id: str, user_id: str | None, item_ids: Sequence[str]) -> None:
        """Remember a list."""
        super().add(recommendation_id, user_id, item_ids)
        self.fresh.append((recommendation_id, user_id, tuple(item_ids)))


class ReportedServed(ServedLog):
    """The served log of a reader, whose entries the writer keeps."""

    def __init__(self, tell: Callable[[str, bytes], None], engine: Engine) -> None:
        super().__init__(None, engine.config.served_days, engine.now, writable=False)
        self._tell = tell

    def add(self, served: Served) -> None:
        """Send a list that is served now to the writer."""
        self._tell(SERVED, msgspec.msgpack.encode(served))


class WorkerRoles(ImpressionMethods):
    """Share the log with reader processes, or follow the writer process."""

    def offer_channel(self, path: Path, on_counters: Callable[[int, bytes], None]) -> LogChannel:
        """Let other processes of this machine follow the store.

        Parameters
        ----------
        path : Path
            Unix socket to create, in a folder that other users cannot access.
        on_counters : callable
            Called with the process ID and the counters of a reader, in a thread of each reader.

        Raises
        ------
        InvalidInput
            The store is in memory, in PostgreSQL, sealed, or open for reading only.
        """
        log = self._current.open().log
        if self.path is None or not isinstance(log, SQLiteLog) or log.seal is not None:
            raise InvalidInput(
                "several workers need a store in a folder that can be written and is not sealed; "
                "serve this one without --workers",
                field="workers",
            )

        def note(process: int, topic: str, body: bytes) -> None:
            if topic == LISTS:
                for entry in msgspec.msgpack.decode(body, type=_Lists):
                    self._recent.add(*entry)
            elif topic == SERVED:
                self.served.add(msgspec.msgpack.decode(body, type=Served))
            else:
                on_counters(process, body)

        return LogChannel(log, path, lambda: self.model_id, note)

    def report_to_writer(
        self, counters: Callable[[], bytes], on_failure: Callable[[], None]
    ) -> None:
        """Report lists and counters to the writer, if this recommender follows one.

        Parameters
        ----------
        counters : callable
            Returns the counters of this process, in a thread of its own.
        on_failure : callable
            Called once if the writer cannot be followed any more.
        """
        log = self._current.open().log
        if not isinstance(log, FollowedLog):
            return
        self._recent = lists = ReportedLists()
        self.served = ReportedServed(log.tell, self)
        log.on_erased, log.on_failure = self._forget_impressions, on_failure
        if log.failure is not None:
            on_failure()
        pause = Event()

        def run() -> None:
            last = b""
            while log.failure is None and not pause.wait(REPORT_SECONDS):
                fresh = [lists.fresh.popleft() for _ in range(len(lists.fresh))]
                if fresh:
                    log.tell(LISTS, msgspec.msgpack.encode(fresh))
                if (now := counters()) != last:
                    log.tell(COUNTERS, now)
                    last = now

        Thread(target=run, name=f"nearline-report-{os.getpid()}", daemon=True).start()

    @property
    def lists_need_writer(self) -> bool:
        """Whether lists change what is stored or depend on what was served, as in experiments."""
        definitions, config = self._current.deployment.state.definitions, self.config
        return bool(
            config.imply_impressions or config.adapt or definitions.running or definitions.window
        )
