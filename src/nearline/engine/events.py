"""Methods of the recommender that store and delete events."""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from nearline import ingest
from nearline.engine.base import Engine
from nearline.log import Appended
from nearline.schema import Event, new_event


class EventMethods(Engine):
    """Store and delete events."""

    def observe(
        self,
        user_id: str,
        item_id: str,
        event: str = "view",
        *,
        timestamp: object = None,
        **fields: Any,
    ) -> Appended:
        """Store one event durably; the next answer reflects it.

        `timestamp`: Unix seconds, RFC 3339 or a datetime. `fields`: others of `nearline.Event`.
        """
        fields |= {"user_id": user_id, "item_id": item_id, "event": event}
        return self.append_events([new_event(fields, timestamp, now=self._clock())]).result()

    def append_event(self, event: Event) -> Future[Appended]:
        """Queue one event; the future resolves once it is durable."""
        return ingest.append_event(self._current.open_to_teach().log, event, now=self._clock())

    def append_events(self, events: Sequence[Event]) -> Future[Appended]:
        """Queue a list of events atomically; the future resolves once it is durable."""
        return ingest.append_events(self._current.open_to_teach().log, events, now=self._clock())

    def delete_event(self, event_id: str) -> Future[int]:
        """Erase the event with an ID everywhere; the future resolves to 1, or to 0 if unknown."""
        erased = self._current.erased(lambda log: log.erase_event(event_id))
        erased.add_done_callback(self.language.forget)
        return erased
