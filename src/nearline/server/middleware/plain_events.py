"""Answer plain `POST /v1/events` requests without the web framework, whose overhead dominates.

A plain request has a small JSON body that decodes to valid events. All others continue to the
route (`routes/events.py`), which gives the same responses, byte for byte.
"""

from collections.abc import Awaitable
from typing import Any

import msgspec
from litestar.types import HTTPScope, Receive, Send

from nearline.errors import NearlineError
from nearline.server.context import CHECKED_AT_ONCE, context_of, durable
from nearline.server.event_writes import Events, queue, stored
from nearline.server.exchange import HTTPApp, exchange_of
from nearline.server.limits import Limits
from nearline.server.security import API_HEADERS
from nearline.trust.grants import BITS

PATH = "/v1/events"
MAX_BODY_BYTES = 65_536

_decoder = msgspec.json.Decoder(Events)
_encoder = msgspec.json.Encoder()


class PlainEvents:
    """Answers plain requests with events."""

    def __init__(self, app: HTTPApp, limits: Limits) -> None:
        self.app = app
        self._max_bytes = min(MAX_BODY_BYTES, limits.body_bytes)

    def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer a plain request; pass on all others."""
        if scope["path"] == PATH and self._may_be_plain(scope):
            return self._append(scope, receive, send)
        return self.app(scope, receive, send)

    def _may_be_plain(self, scope: HTTPScope) -> bool:
        exchange = exchange_of(scope)
        headers = exchange.headers
        length = headers.get(b"content-length", b"")
        return (
            scope["method"] == "POST"
            and exchange.grant.scopes & BITS["events"] != 0
            and not scope["query_string"]
            and headers.get(b"content-type") == b"application/json"
            and b"content-encoding" not in headers
            and length.isdigit()
            and int(length) <= self._max_bytes
        )

    async def _append(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        message: Any = await receive()  # the whole body: `RequestBodies` received it
        if message["type"] == "http.request" and await self._append_body(
            message["body"], scope, send
        ):
            return
        await self.app(scope, _replay(message, receive), send)

    async def _append_body(self, body: bytes, scope: HTTPScope, send: Send) -> bool:
        """Append events and respond; return False, with nothing appended, if they are not plain."""
        context = context_of(scope)
        try:
            data = _decoder.decode(body)
            if isinstance(data, list) and len(data) > CHECKED_AT_ONCE:
                return False
            future = queue(context, data)
        except (msgspec.MsgspecError, NearlineError, UnicodeDecodeError, RecursionError):
            return False  # the route reports the error
        scope["path_template"] = PATH
        appended = await durable(lambda: future)
        stored(context, data, appended)
        answer = _encoder.encode(appended)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(answer)).encode()),
            *API_HEADERS,
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer, "more_body": False})
        return True


def _replay(first: Any, receive: Receive) -> Receive:
    """Return a channel that delivers `first` again before it continues with `receive`."""
    waiting = [first]

    async def receive_again() -> Any:
        return waiting.pop() if waiting else await receive()

    return receive_again
