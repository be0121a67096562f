"""Route that stores events: `POST /v1/events`."""

from typing import Annotated

from litestar import delete, post
from litestar.openapi.spec import Example
from litestar.params import Body, PathParameter

from nearline.log import Appended
from nearline.server.bodies import DeletedEvent, EventIn
from nearline.server.context import app_context, durable
from nearline.server.decoding import StrictRequest
from nearline.server.event_writes import queue, stored
from nearline.server.paths import path_id
from nearline.server.security import SCOPE

EventId = Annotated[str, PathParameter(description="Percent-encoded; 1 to 512 bytes of UTF-8.")]

_EXAMPLES = [
    Example(
        summary="one event",
        value={"user_id": "u1", "item_id": "i9", "event": "purchase", "event_id": "order-17"},
    ),
    Example(
        summary="a list, stored atomically",
        value=[
            {"user_id": "u1", "item_id": "i9", "timestamp": "2026-01-31T12:00:00Z"},
            {"user_id": "u2", "item_id": "i3", "event": "rating", "value": 4.5},
        ],
    ),
]


@post("/events", status_code=200, tags=["events"], opt={SCOPE: "events"})
async def store_events(
    request: StrictRequest,
    data: Annotated[
        EventIn | list[EventIn], Body(description="One event or a list.", examples=_EXAMPLES)
    ],
) -> Appended:
    """Store events; the response is sent once they are durable, and the next read reflects them."""
    app = app_context(request)
    size = len(data) if isinstance(data, list) else 1
    appended = await durable(lambda: queue(app, data), size)
    stored(app, data, appended)
    return appended


@delete("/events/{event_id:str}", status_code=200, tags=["events"], opt={SCOPE: "privacy"})
async def delete_event(request: StrictRequest, event_id: EventId) -> DeletedEvent:
    """Delete one event; if no event has this ID, the count is 0."""
    app = app_context(request)
    engine = app.host.engine
    event_id = path_id(event_id, "event_id")
    deleted = await durable(lambda: engine.delete_event(event_id), slow=True)
    app.cache.drop_stale()
    return DeletedEvent(deleted=deleted, offset=engine.offset)
