"""Append events to the log: shared by the route of events and the middleware for plain events."""

from collections.abc import Sequence
from concurrent.futures import Future

from nearline.log import Appended
from nearline.schema import check_event
from nearline.server.bodies import EventIn
from nearline.server.context import AppContext
from nearline.server.decoding import at_most, convert_each

# Users of a long list who are expected to return: a list this long is probably an import, and only
# its last users may still be active.
EXPECTED = 100

Events = EventIn | list[EventIn]


def queue(context: AppContext, data: Events) -> "Future[Appended]":
    """Validate events and append them to the log."""
    engine = context.host.engine
    now = engine.now()
    if isinstance(data, list):
        at_most(len(data), context.limits.list_length, "body")
        return engine.append_events(convert_each(data, lambda one: one.event_at(now)))
    # Validated here because the engine's error would name a position in a list.
    return engine.append_events([check_event(data.event_at(now), now=now)])


def stored(context: AppContext, data: Events, appended: Appended) -> None:
    """Count durable events, and let lists of their users be made ahead."""
    context.metrics.appended(appended)
    latest: Sequence[EventIn] = data[-EXPECTED:] if isinstance(data, list) else [data]
    context.preloader.expect(one.user_id for one in latest)
