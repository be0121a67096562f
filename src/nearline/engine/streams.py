"""Methods of the recommender that read events from Kafka and from files of lines."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from nearline.common.progress import Progress, no_progress
from nearline.engine.base import Engine
from nearline.errors import InvalidInput
from nearline.ingest.connector import BATCH, Connector, Ingested
from nearline.ingest.event_maps import EventMap
from nearline.ingest.quarantine import Quarantine, Quarantined
from nearline.ingest.ready_maps import mapper_of
from nearline.ingest.source_urls import open_source
from nearline.schema import Event
from nearline.schema.sources import SOURCE, Source

# Messages that are replayed at once.
_REPLAYED = 1_000


class StreamMethods(Engine):
    """Read sources of messages, and replay those that were no events."""

    @property
    def quarantine(self) -> Quarantine:
        """Messages of sources that are no events."""
        return self._quarantine

    def ingest(
        self,
        source: str | Source,
        *,
        mapping: str | EventMap | Mapping[str, Any] | None = None,
        fields: Mapping[str, str] | None = None,
        name: str | None = None,
        start: str = "beginning",
        follow: bool | None = None,
        restart: bool = False,
        settings: Mapping[str, str] | None = None,
        batch: int = BATCH,
        learn: bool | None = None,
        started: Callable[[Connector], object] | None = None,
        progress: Progress = no_progress,
    ) -> Ingested:
        """Read a topic of Kafka or files of JSON lines into the log, each message exactly once.

        Events and the positions behind them are appended atomically, and the next call continues
        from there. Messages that are no events go to `quarantine`.

        Parameters
        ----------
        source : str or Source
            ``kafka://host:port/topic``, ``file:///path``, or a path, which may be a pattern.
        mapping : str, EventMap, mapping or None
            Which parts of a message are the fields of an event: ``segment``, ``snowplow``, a file,
            or an `EventMap`. None: messages have the fields of `nearline.Event`.
        fields : mapping or None
            Paths of single fields, such as ``{"item_id": "product.sku"}``, over those of `mapping`.
        name : str or None
            Name under which the positions are stored; None for the kind and the topic or file.
        start : str
            Where a topic is first read: ``beginning`` or ``end``.
        follow : bool or None
            Whether to wait for further messages when all are read; None: for Kafka only.
        restart : bool
            Whether to ignore the stored positions. Events that are stored are not stored again.
        settings : mapping or None
            Settings of the Kafka client, such as ``security.protocol``.
        batch : int
            Maximum number of messages that are appended together, 1 to 100,000.
        learn : bool or None
            Whether the model learns each event at once, as when it serves meanwhile, or all of them
            at the end, which is faster. None: only if it follows.
        started : callable or None
            Called with the `Connector`, whose `stop` ends this call from another thread.

        Returns
        -------
        Ingested
            Numbers of messages and events, positions and lag.

        Raises
        ------
        SourceFailed
            The source is gone or was replaced; what was read before is stored.
        InvalidInput, DataNotFound, MissingExtra
            An argument is invalid; there is no such file; the extra `kafka` is not installed.
        """
        if not 1 <= batch <= 100_000:
            raise InvalidInput(f"batch is {batch}; it must be 1 to 100,000", field="batch")
        if isinstance(source, str):
            options = {"name": name, "start": start, "follow": follow, "settings": settings}
            mapper_of(mapping, "", fields)  # a wrong mapping is found before the source is opened
            source = open_source(source, **options)  # type: ignore[arg-type]
        waits = source.endless if follow is None else follow
        connector = self.connector(source, mapping=mapping, fields=fields)
        if started is not None:
            started(connector)
        learns = waits if learn is None else learn
        with nullcontext() if learns else self._current.importing():
            return connector.run(follow=waits, restart=restart, batch=batch, progress=progress)

    def ingest_in_background(
        self,
        source: str,
        *,
        mapping: str | EventMap | Mapping[str, Any] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Follow a source in a thread until the recommender is closed; see `ingest`.

        A source that fails is opened again after some seconds; a warning is logged.
        """

        def make() -> Connector:
            opened = open_source(source, follow=True, settings=settings)
            return self.connector(opened, mapping=mapping)

        self._ingesting.start(make)

    def connector(
        self,
        source: Source,
        *,
        mapping: str | EventMap | Mapping[str, Any] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> Connector:
        """Return a connector from a source to the log, for a thread of its own; see `ingest`."""
        parts = self._current.open()
        mapper = mapper_of(mapping, source.name, fields)
        connector = Connector(
            source,
            mapper,
            parts.log,
            parts.state,
            self._quarantine,
            self._clock,
            before_append=self._current.open_to_teach,
        )
        self.ingested[source.name] = connector.done
        return connector

    def sources(self) -> dict[str, dict[str, int]]:
        """Return the positions of all sources by name and partition."""
        stored = self._current.open().state.definitions.all(SOURCE)
        return {name: dict(body.get("positions", {})) for name, body in stored.items()}

    def replay_quarantine(
        self,
        source: str | None = None,
        *,
        mapping: str | EventMap | Mapping[str, Any] | None = None,
        fields: Mapping[str, str] | None = None,
        progress: Progress = no_progress,
    ) -> Ingested:
        """Convert the messages in the quarantine again, and store those that are events now.

        Events have the IDs that they would have had, so none is stored twice. Messages that are
        still no events stay, and those that the mapping skips are removed.

        Parameters
        ----------
        source : str or None
            Name of a source; None for all.
        mapping, fields
            As for `ingest`.
        """
        done = Ingested(source or "all sources")
        total = sum(n for name, _, n in self._quarantine.counts() if source in (None, name))
        after = 0
        while waiting := self._quarantine.messages(source, after=after, limit=_REPLAYED):
            after = waiting[-1].id
            events, over, skipped = self._events_of(waiting, mapping, fields)
            appended = self._current.open_to_teach().log.append(events).result()
            self._quarantine.remove(over)
            done = replace(
                done,
                messages=done.messages + len(waiting),
                events=done.events + appended.accepted,
                duplicates=done.duplicates + appended.duplicates,
                forgotten=done.forgotten + appended.forgotten,
                skipped=done.skipped + skipped,
                quarantined=done.quarantined + len(waiting) - len(over),
            )
            progress(done.messages, max(total, done.messages), "messages")
        return done

    def _events_of(
        self,
        waiting: list[Quarantined],
        mapping: str | EventMap | Mapping[str, Any] | None,
        fields: Mapping[str, str] | None,
    ) -> tuple[list[Event], list[int], int]:
        """Return events, IDs of the messages that are converted or skipped, and how many are."""
        events: list[Event] = []
        over: list[int] = []
        skipped = 0
        mappers = {one.source: mapper_of(mapping, one.source, fields) for one in waiting}
        for one in waiting:
            if len(one.value) < one.size:
                continue
            try:
                found = mappers[one.source].events(one.message, self._clock())
            except InvalidInput:
                continue
            events += found
            skipped += not found
            over.append(one.id)
        return events, over, skipped
