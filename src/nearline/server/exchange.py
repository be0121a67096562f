"""State of one HTTP request, shared by the middlewares and the handlers."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from litestar.types import HTTPScope, Message, Receive, Scope, Send
from msgspec import Struct

from nearline.deployment.stamp import Stamp

# An ASGI application for HTTP alone.
HTTPApp = Callable[[HTTPScope, Receive, Send], Awaitable[None]]
# Status that nginx logs when a client closes the connection before the response.
CLIENT_CLOSED = 499
UNROUTED = "unrouted"
# `Server-Timing` of durations below a millisecond, by microseconds. Formatting a float takes longer
# than any other step of a cached answer.
_SHORT_TIMINGS = [b"app;dur=0.%03d" % microseconds for microseconds in range(1_000)]


class CachePolicy(NamedTuple):
    """Marks a response as valid while the engine's stamp is the same.

    Attributes
    ----------
    stamp : Stamp
        Read before the response was computed.
    user_id : str or None
        User whose list may be made ahead from now on; None if it may not.
    """

    stamp: Stamp
    user_id: str | None


class Exchange(Struct, gc=False):
    """A request and what is known of its response.

    Attributes
    ----------
    request_id, method : str
        ID of the request; its method, "other" if it is unknown.
    path : bytes
        Path as it was sent, without the query.
    headers : dict of bytes to bytes
        Headers of the request.
    start : float
        Time when the request arrived, in seconds of `timer`.
    timer : callable
        Monotonic clock in seconds.
    asgi_receive, asgi_send : callable
        The server's own channels, which `receive` and `send` wrap.
    status : int
        Status of the response; 499 until a response starts.
    route : str
        Template of the path, which contains no IDs; set by the time the exchange is complete.
    seconds : float
        Duration; set when the exchange is complete.
    client_gone : bool
        Whether the client has disconnected.
    failure : Exception or None
        Unexpected error, which is logged with its traceback.
    cache_policy : CachePolicy or None
        Set by a handler whose response may be cached.
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
        """Send a message; the head of a response gets the request ID and the time so far."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            microseconds = int((self.timer() - self.start) * 1e6)
            if microseconds < len(_SHORT_TIMINGS):
                timing = _SHORT_TIMINGS[microseconds]
            else:
                timing = b"app;dur=%.3f" % (microseconds / 1e3)
            message["headers"] = [
                *message["headers"],
                (b"x-request-id", self.request_id.encode()),
                (b"server-timing", timing),
            ]
        return self.asgi_send(message)

    async def receive(self) -> Any:
        """Receive a message and note a disconnect."""
        message = await self.asgi_receive()
        if message["type"] == "http.disconnect":
            self.client_gone = True
        return message


def exchange_of(scope: Scope) -> Exchange:
    """Return the exchange to which an ASGI scope belongs."""
    exchange: Exchange = scope["state"]["exchange"]
    return exchange
