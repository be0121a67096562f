"""Events: `POST /v1/events`."""

from concurrent.futures import Future
from typing import Annotated

from litestar import post
from litestar.openapi.spec import Example
from litestar.params import Body

from nearline.log import Appended
from nearline.schema import check_event
from nearline.server.bodies import EventIn
from nearline.server.decoding import StrictRequest, at_most, convert_each
from nearline.server.room import durable, room_of

# Users of a long list are those of an import; the last of them may still be around.
EXPECTED = 100

_EXAMPLES = [
    Example(
        summary="one event",
        value={"user_id": "u1", "item_id": "i9", "event": "purchase", "event_id": "order-17"},
    ),
    Example(
        summary="a list, taken whole or refused whole",
        value=[
            {"user_id": "u1", "item_id": "i9", "timestamp": "2026-01-31T12:00:00Z"},
            {"user_id": "u2", "item_id": "i3", "event": "rating", "value": 4.5},
        ],
    ),
]


@post("/events", status_code=200, tags=["events"])
async def store_events(
    request: StrictRequest,
    data: Annotated[
        EventIn | list[EventIn], Body(description="One event or a list.", examples=_EXAMPLES)
    ],
) -> Appended:
    """Store events; the answer comes once they are durable, and the next read sees them."""
    room = room_of(request)
    engine = room.host.engine
    now = engine.now()

    def write() -> Future[Appended]:
        if isinstance(data, list):
            return engine.append_events(convert_each(data, lambda one: one.event_at(now)))
        # Checked here too: the engine would give the position of an event that is in no list.
        return engine.append_events([check_event(data.event_at(now), now=now)])

    size = len(data) if isinstance(data, list) else 1
    at_most(size, room.limits.list_length, "body")
    appended = await durable(write, size)
    room.metrics.appended(appended)
    latest = data[-EXPECTED:] if isinstance(data, list) else [data]
    room.preloader.expect(one.user_id for one in latest)
    return appended
