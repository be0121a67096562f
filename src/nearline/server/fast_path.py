"""`POST /v1/events` without the framework around it, which would cost most of the time.

Only what is plain is taken here: a small JSON body that decodes. All else, and whatever is refused,
goes on to the route (`routes/events.py`), which gives the same answer in its own words.
"""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import msgspec
from litestar.types import HTTPScope, Receive, Send

from nearline.errors import NearlineError
from nearline.log import Appended
from nearline.schema import check_event
from nearline.server.bodies import EventIn
from nearline.server.context import CHECKED_AT_ONCE, AppContext, durable
from nearline.server.decoding import at_most, convert_each

PATH = "/v1/events"
LARGEST_BODY = 65_536
# Users of a long list are those of an import; the last of them may still be around.
EXPECTED = 100

Events = EventIn | list[EventIn]
_decoder = msgspec.json.Decoder(Events)
_encoder = msgspec.json.Encoder()


def queue(context: AppContext, data: Events) -> "Future[Appended]":
    """Check events and append them to the log."""
    engine = context.host.engine
    now = engine.now()
    if isinstance(data, list):
        at_most(len(data), context.limits.list_length, "body")
        return engine.append_events(convert_each(data, lambda one: one.event_at(now)))
    # Checked here too: the engine would give the position of an event that is in no list.
    return engine.append_events([check_event(data.event_at(now), now=now)])


def stored(context: AppContext, data: Events, appended: Appended) -> None:
    """Count events that are durable, and expect their users back."""
    context.metrics.appended(appended)
    latest: Sequence[EventIn] = data[-EXPECTED:] if isinstance(data, list) else [data]
    context.preloader.expect(one.user_id for one in latest)


def is_plain(context: AppContext, scope: HTTPScope, headers: dict[bytes, bytes]) -> bool:
    """Whether a request is one to try here."""
    return (
        scope["method"] == "POST"
        and scope["path"] == PATH
        and not scope["query_string"]
        and headers.get(b"content-type", b"application/json") == b"application/json"
        and b"content-encoding" not in headers
        and headers.get(b"content-length", b"").isdigit()
        and int(headers[b"content-length"]) <= min(LARGEST_BODY, context.limits.body_bytes)
    )


async def take(
    context: AppContext, scope: HTTPScope, receive: Receive, send: Send
) -> Receive | None:
    """Answer a plain request; else return how the route can read its body again."""
    message: Any = await receive()
    body = message.get("body", b"")
    while message.get("more_body") and len(body) <= LARGEST_BODY:
        message = await receive()
        body += message.get("body", b"")
    if message["type"] != "http.request":
        return _again(message, receive)  # the client went away
    more = message.get("more_body", False)
    message = {"type": "http.request", "body": body, "more_body": more}
    if more:
        return _again(message, receive)
    try:
        data = _decoder.decode(body)
        if isinstance(data, list) and len(data) > CHECKED_AT_ONCE:
            return _again(message, receive)
        future = queue(context, data)
    except (msgspec.MsgspecError, NearlineError, UnicodeDecodeError, RecursionError):
        # Nothing was appended: the route says what is wrong.
        return _again(message, receive)
    scope["path_template"] = PATH
    appended = await durable(lambda: future)
    stored(context, data, appended)
    answer = _encoder.encode(appended)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(answer)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer, "more_body": False})
    return None


def _again(first: Any, receive: Receive) -> Receive:
    """Give `first` once more, and then what follows."""
    waiting = [first]

    async def receive_again() -> Any:
        return waiting.pop() if waiting else await receive()

    return receive_again
