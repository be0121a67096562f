"""State of an HTTP request, which the middlewares and handlers share."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from litestar.types import HTTPScope, Message, Receive, Scope, Send
from msgspec import Struct

from nearline.deployment.stamp import Stamp

# ASGI application that handles only HTTP requests.
HTTPApp = Callable[[HTTPScope, Receive, Send], Awaitable[None]]
# Status that nginx, too, logs if a client closes the connection before the response.
CLIENT_CLOSED = 499
UNROUTED = "unrouted"
# Headers Server-Timing for durations below a millisecond, by microseconds, since formatting a float
# takes longer than any other step of a cached answer.
_SHORT_TIMINGS = [(b"server-timing", b"app;dur=0.%03d" % number) for number in range(1_000)]


class CachePolicy(NamedTuple):
    """Condition of a response that may be cached: it is valid until the engine's stamp changes.

    Attributes
    ----------
    stamp : Stamp
        Stamp of the engine, read before the response was computed.
    user_id : str or None
        User whose list may be computed before it is requested again; None if it may not.
    """

    stamp: Stamp
    user_id: str | None


class Exchange(Struct, gc=False):
    """State of a request and its response.

    Attributes
    ----------
    request_id, method : str
        ID of the request, and its method, or "other" for an unknown one.
    path : bytes
        Path as it was sent, without the query.
    headers : dict of bytes to bytes
        Headers of the request.
    start : float
        Arrival of the request, on the clock `timer`.
    timer : callable
        Monotonic clock in seconds.
    asgi_receive, asgi_send : callable
        ASGI functions of the server, which `receive` and `send` wrap.
    status : int
        Status of the response; 499 until a response starts.
    route : str
        Template of the path, which contains no IDs; it is set when the exchange is complete.
    seconds : float
        Duration in seconds; it is set when the exchange is complete.
    client_gone : bool
        Whether the client has disconnected.
    failure : Exception or None
        Unexpected error, which is logged with its traceback; None if there was none.
    cache_policy : CachePolicy or None
        Condition that a handler sets if its response may be cached.
    """

    request_id: str
    method: str
    path: bytes
    headers: dict[bytes, bytes]
    start: float
    timer: Callable[[], float]
    asgi_receive: Receive
    asgi_send: Send
    status: int = CLIENT_CLOSED
    route: str = UNROUTED
    seconds: float = 0.0
    client_gone: bool = False
    failure: Exception | None = None
    cache_policy: CachePolicy | None = None

    def send(self, message: Message) -> Awaitable[None]:
        """Send an ASGI message; the headers of a response get its request ID and duration."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            microseconds = int((self.timer() - self.start) * 1e6)
            timing = (
                _SHORT_TIMINGS[microseconds]
                if microseconds < 1_000
                else (b"server-timing", b"app;dur=%.3f" % (microseconds / 1e3))
            )
            message["headers"] = [
                *message["headers"],
                (b"x-request-id", self.request_id.encode()),
                timing,
            ]
        return self.asgi_send(message)

    async def receive(self) -> Any:
        """Receive an ASGI message; set `client_gone` if the client has disconnected."""
        message = await self.asgi_receive()
        if message["type"] == "http.disconnect":
            self.client_gone = True
        return message


def exchange_of(scope: Scope) -> Exchange:
    """Return the exchange to which an ASGI scope belongs."""
    exchange: Exchange = scope["state"]["exchange"]
    return exchange
