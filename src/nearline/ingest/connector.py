"""Reading of a source of messages into the log, each message exactly once.

Each list of events is appended together with the positions behind its messages, atomically. A
connector that starts again continues from the positions in the log. In addition, each event has an
ID (its own, or its position), so that two connectors that read the same source store it once.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Event as Flag
from typing import Any, NamedTuple, Protocol

from nearline.common.progress import Progress, no_progress
from nearline.errors import InvalidInput, Overloaded, StorageFailed
from nearline.ingest.quarantine import Quarantine
from nearline.log import Appended, Log
from nearline.schema import Defined, Event
from nearline.schema.sources import MAX_NAME_BYTES, SOURCE, Message, Source
from nearline.state import State

logger = logging.getLogger(__name__)

BATCH = 5_000
# Seconds that the connector waits for messages before it looks whether it should stop.
POLL_SECONDS = 0.2
# Seconds between two attempts to append, at first and at most.
RETRY_SECONDS, MAX_RETRY_SECONDS = 0.1, 5.0


class Converts(Protocol):
    """Protocol of what converts a message to events; see `event_maps.Mapper`."""

    def events(self, message: Message, now: float) -> list[Event]:
        """Return the events of a message; raise `InvalidInput` if it is no event."""
        ...


@dataclass
class Ingested:
    """What a connector did since it started.

    Attributes
    ----------
    source : str
    messages : int
        Messages that were read: each is stored, skipped, or quarantined.
    events, duplicates : int
        Events that were stored, and those that were in the log already.
    forgotten : int
        Events that were not stored, since their user was erased after them.
    skipped, quarantined : int
        Messages that are of no interest, and those that are no events.
    positions : dict of str to int
        Position behind the last message of each partition.
    lag : dict of str to int
        What is not read yet, by partition, as far as it is known.
    unit : str
        What `lag` counts.
    """

    source: str
    messages: int = 0
    events: int = 0
    duplicates: int = 0
    forgotten: int = 0
    skipped: int = 0
    quarantined: int = 0
    positions: dict[str, int] = field(default_factory=dict)
    lag: dict[str, int] = field(default_factory=dict)
    unit: str = "messages"


class _Batch(NamedTuple):
    """Messages that were converted, ready to be appended."""

    messages: int
    events: list[Event]
    skipped: int
    failed: list[tuple[Message, str]]
    positions: dict[str, int]


class Connector:
    """Reads one source into one log.

    Parameters
    ----------
    source, mapper
        Source of messages, and what converts them to events.
    log, state
        Log that stores events and positions, and the state that follows it.
    quarantine : Quarantine
        Where messages go that are no events.
    clock : callable
        Returns the time in Unix seconds.
    wait : callable
        Called with the seconds to wait before another attempt to append.
    before_append : callable or None
        Called before each append; may wait, for example until a model has learned enough.

    Attributes
    ----------
    done : Ingested
        Counts up to now, for other threads to read.
    """

    def __init__(
        self,
        source: Source,
        mapper: Converts,
        log: Log,
        state: State,
        quarantine: Quarantine,
        clock: Callable[[], float],
        *,
        wait: Callable[[float], Any] | None = None,
        before_append: Callable[[], Any] | None = None,
    ) -> None:
        if not 0 < len(source.name.encode()) <= MAX_NAME_BYTES or "\0" in source.name:
            raise InvalidInput(
                f"the name of the source is {source.name!r:.100}; it must have 1 to "
                f"{MAX_NAME_BYTES} bytes",
                field="name",
            )
        self._source, self._mapper, self._clock = source, mapper, clock
        self._log, self._state, self._quarantine = log, state, quarantine
        self._stop = Flag()
        self._wait = wait if wait is not None else self._stop.wait
        self._before_append = before_append
        self.done = Ingested(source.name, unit=source.unit)

    def stop(self) -> None:
        """Let `run` return after the current messages; may be called from any thread."""
        self._stop.set()

    def run(
        self,
        *,
        follow: bool,
        restart: bool = False,
        batch: int = BATCH,
        progress: Progress = no_progress,
    ) -> Ingested:
        """Read until `stop` is called, or without `follow` until all messages are read.

        Parameters
        ----------
        restart : bool
            Whether to ignore the positions in the log.
        batch : int
            Maximum number of messages that are appended together.

        Raises
        ------
        SourceFailed
            The source cannot be read, or the quarantine is full; what was read before is stored.
        """
        self._log.append([]).result()  # the state then has the latest positions
        stored = self._state.definitions.get(SOURCE, self._source.name) or {}
        positions = {} if restart else dict(stored.get("positions", {}))
        identity = {} if restart else stored.get("identity", {})
        done = self.done
        done.positions = positions
        waiting: tuple[Sequence[Any], Future[Appended]] | None = None
        try:
            self._source.open(positions, identity)
            while not self._stop.is_set():
                messages = self._source.poll(batch, POLL_SECONDS)
                if messages:
                    prepared = self._prepare(messages)
                    self._settle(waiting)
                    waiting = self._append(prepared)
                # The next messages are converted while these are written, unless there are few.
                if len(messages) < batch:
                    self._settle(waiting)
                    waiting = None
                done.lag = self._source.lag()
                progress(done.messages, done.messages + sum(done.lag.values()), self._source.unit)
                if not messages and not follow and self._source.caught_up:
                    break
        finally:
            try:
                self._settle(waiting)
            finally:
                self._source.close()
        return done

    def _prepare(self, messages: Sequence[Message]) -> _Batch:
        now, convert = self._clock(), self._mapper.events
        events: list[Event] = []
        failed: list[tuple[Message, str]] = []
        skipped = 0
        positions: dict[str, int] = {}
        for message in messages:
            try:
                found = convert(message, now)
            except InvalidInput as error:
                failed.append((message, error.message))
            else:
                events += found
                skipped += not found
            positions[message.partition] = message.after
        return _Batch(len(messages), events, skipped, failed, positions)

    def _append(self, batch: _Batch) -> tuple[Sequence[Any], Future[Appended]]:
        """Queue events and positions as one append; messages that are no events are stored."""
        done = self.done
        if batch.failed:
            self._until_stored(
                lambda: self._quarantine.add(done.source, batch.failed, self._clock())
            )
        done.positions = {**done.positions, **batch.positions}
        done.messages += batch.messages
        done.skipped += batch.skipped
        done.quarantined += len(batch.failed)
        body = {"positions": done.positions, "identity": dict(self._source.identity)}
        marker = Defined(kind=SOURCE, name=done.source, timestamp=self._clock(), body=body)
        records = [*batch.events, marker]
        return records, self._queue(records)

    def _queue(self, records: Sequence[Any]) -> Future[Appended]:
        if self._before_append is not None:
            self._before_append()
        try:
            return self._log.append(records)
        except StorageFailed as error:
            failed: Future[Appended] = Future()
            failed.set_exception(error)
            return failed

    def _settle(self, waiting: tuple[Sequence[Any], Future[Appended]] | None) -> None:
        """Wait until an append is durable; try again as long as the log cannot be written."""
        if waiting is None:
            return
        records, future = waiting

        def result() -> Appended:
            nonlocal future
            if future.done() and future.exception() is not None:
                future = self._queue(records)
            return future.result()

        appended = self._until_stored(result)
        if appended is not None:
            self.done.events += appended.accepted - 1
            self.done.duplicates += appended.duplicates
            self.done.forgotten += appended.forgotten

    def _until_stored(self, store: Callable[[], Any]) -> Any:
        """Call `store` until it succeeds; once the connector is stopped, raise its error."""
        seconds = RETRY_SECONDS
        while True:
            try:
                return store()
            except (StorageFailed, Overloaded) as error:
                if self._stop.is_set():
                    raise
                logger.warning("%s; the connector tries again", error)
                self._wait(seconds)
                seconds = min(2 * seconds, MAX_RETRY_SECONDS)
