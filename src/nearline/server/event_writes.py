"""Storage of events, common to the route of events and the middleware for plain events."""

from collections.abc import Sequence
from concurrent.futures import Future

from nearline.log import Appended
from nearline.server.bodies import EventIn
from nearline.server.context import AppContext
from nearline.server.decoding import at_most, convert_each
from nearline.server.flow import PER_TICK

# Maximum number of users of a list whose requests are expected. A longer list is probably an
# import, of which only the last users may still be active.
EXPECTED = 100

Events = EventIn | list[EventIn]


def queue(context: AppContext, data: Events) -> "Future[Appended]":
    """Validate events and queue them in the log; return the future of the append.

    Raises
    ------
    InvalidInput
        An event is invalid, or the list is too long.
    """
    engine = context.host.engine
    now = engine.now()
    if isinstance(data, list):
        at_most(len(data), context.limits.list_length, "body")
        return engine.append_events(convert_each(data, lambda one: one.event_at(now)))
    return engine.append_event(data.event_at(now))


def stored(context: AppContext, data: Events, appended: Appended) -> None:
    """Count durable events, and schedule the computation of their users' lists in advance."""
    context.metrics.appended(appended)
    if context.flow.viewers:
        some = data[:PER_TICK] if isinstance(data, list) else [data]
        number = appended.accepted
        context.flow.note_events(((one.user_id, one.item_id, one.event) for one in some), number)
    latest: Sequence[EventIn] = data[-EXPECTED:] if isinstance(data, list) else [data]
    context.preloader.expect(one.user_id for one in latest)
