"""State of an HTTP request, which the middlewares and handlers share."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from litestar.types import HTTPScope, Message, Receive, Scope, Send
from msgspec import Struct

from nearline.deployment.stamp import Stamp
from nearline.errors import Overloaded
from nearline.served import Served
from nearline.trust.grants import NOTHING, Grant

# ASGI application that handles only HTTP requests.
HTTPApp = Callable[[HTTPScope, Receive, Send], Awaitable[None]]
# Status that nginx, too, logs if a client closes the connection before the response.
CLIENT_CLOSED = 499
UNROUTED = "unrouted"
# Route of a request that another process of the server answers, counts and logs.
FORWARDED = "forwarded"
# Headers that pages of other sites may send.
CORS_HEADERS = b"authorization, x-api-key, nearline-user-token, content-type"
# Headers Server-Timing for durations below a millisecond, by microseconds, since formatting a float
# takes longer than any other step of a cached answer.
_SHORT_TIMINGS = [(b"server-timing", b"app;dur=0.%03d" % number) for number in range(1_000)]


# Answers of at most this size are passed to the HTTP server whole. Larger ones are passed in parts,
# each of which waits until the client has read most of those before it.
PART_BYTES = 262_144


def timing_of(seconds: float) -> tuple[bytes, bytes]:
    """Return the header ``Server-Timing`` for a duration."""
    microseconds = int(seconds * 1e6)
    if microseconds < 1_000:
        return _SHORT_TIMINGS[microseconds]
    return b"server-timing", b"app;dur=%.3f" % (microseconds / 1e3)


class LargeAnswers:
    """Budget for the bytes of large answers that clients have not read yet.

    Parameters
    ----------
    limit : int
        Maximum number of bytes. A single answer may be larger if it is the only one.

    Attributes
    ----------
    held : int
        Bytes of the large answers that are being sent.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.held = 0

    def reserve(self, size: int) -> None:
        """Add an answer to the budget, or raise `Overloaded`."""
        self.check(size)
        self.held += size

    def check(self, size: int = 1) -> None:
        """Raise `Overloaded` if there is no room for an answer of `size` bytes."""
        if self.held and self.held + size > self._limit:
            raise Overloaded(
                f"answers that clients have not read yet hold {self.held:,} bytes, and the limit "
                f"is {self._limit:,}; try again in a second"
            )

    def release(self, size: int) -> None:
        """Remove an answer from the budget."""
        self.held -= size


class CachePolicy(NamedTuple):
    """Condition of a response that may be cached: it is valid until the engine's stamp changes.

    Attributes
    ----------
    stamp : Stamp
        Stamp of the engine, read before the response was computed.
    user_id : str or None
        User whose list may be computed before it is requested again; None if it may not.
    served : Served or None
        Entry of the served log, to which each sending of the response is added; None for none.
    """

    stamp: Stamp
    user_id: str | None
    served: Served | None = None


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
    large_answers : LargeAnswers
        Budget for large answers of all exchanges.
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
    reserved : int
        Bytes of the response in the budget `large_answers`; 0 if it is not large.
    refusal : Overloaded or None
        Error because of which the response was not sent; frameworks wrap it in errors of their own.
    ahead : bool
        Whether the response is computed before any request, and not sent.
    reached : callable or None
        Returns the log offset for the header ``Nearline-Offset`` of a successful response.
    grant : Grant
        What the sender may do.
    client : tuple or None
        Address and port of the sender.
    origin : bytes
        Origin of another site whose page may read the response; empty without one.
    audit : callable or None
        Called with the status before the response starts: the audit log.
    namespace : str
        Namespace of the request; empty outside of namespaces.
    """

    request_id: str
    method: str
    path: bytes
    headers: dict[bytes, bytes]
    start: float
    timer: Callable[[], float]
    asgi_receive: Receive
    asgi_send: Send
    large_answers: LargeAnswers
    status: int = CLIENT_CLOSED
    route: str = UNROUTED
    seconds: float = 0.0
    client_gone: bool = False
    failure: Exception | None = None
    cache_policy: CachePolicy | None = None
    reserved: int = 0
    refusal: Overloaded | None = None
    ahead: bool = False
    reached: Callable[[], int | None] | None = None
    grant: Grant = NOTHING
    client: Any = None
    origin: bytes = b""
    audit: Callable[[int], None] | None = None
    namespace: str = ""

    def send(self, message: Message) -> Awaitable[None]:
        """Send an ASGI message; the headers of a response get its request ID and duration.

        A large body is sent in parts. While its client does not read it, this waits.

        Raises
        ------
        Overloaded
            The message starts a large response that exceeds the budget; nothing was sent.
        """
        if message["type"] == "http.response.start":
            for name, value in message["headers"]:
                if name == b"content-length" and len(value) >= 6:
                    self._reserve(int(value))
            self.complete_head(message)
        elif message["type"] == "http.response.body" and len(message["body"]) > PART_BYTES:
            return self._send_parts(message)
        return self.asgi_send(message)

    def complete_head(self, message: Any) -> Any:
        """Add the request ID and the duration to the start of a response; return the message."""
        self.status = message["status"]
        message["headers"] = [
            *message["headers"],
            (b"x-request-id", self.request_id.encode()),
            timing_of(self.timer() - self.start),
        ]
        if self.reached is not None and self.status < 300:
            offset = self.reached()
            if offset is not None:
                message["headers"].append((b"nearline-offset", b"%d" % offset))
        if self.origin:
            message["headers"] += [
                (b"access-control-allow-origin", self.origin),
                (b"access-control-allow-headers", CORS_HEADERS),
                (b"vary", b"origin"),
            ]
        if self.audit is not None:
            self.audit(self.status)
        return message

    def release(self) -> None:
        """Remove the response from the budget of large answers. Idempotent."""
        if self.reserved:
            self.large_answers.release(self.reserved)
            self.reserved = 0

    def _reserve(self, size: int) -> None:
        if size <= PART_BYTES:
            return
        try:
            self.large_answers.reserve(size)
        except Overloaded as error:
            self.refusal = error
            raise
        self.reserved += size

    async def _send_parts(self, message: Any) -> None:
        body, more = message["body"], message.get("more_body", False)
        for first in range(0, len(body), PART_BYTES):
            end = first + PART_BYTES
            await self.asgi_send(
                {
                    "type": "http.response.body",
                    "body": body[first:end],
                    "more_body": more or end < len(body),
                }
            )

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
