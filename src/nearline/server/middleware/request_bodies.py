"""Reception of complete bodies, before requests count as in flight."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.types import HTTPScope, Receive, Send

from nearline.errors import InvalidInput, Overloaded
from nearline.server.exchange import HTTPApp, exchange_of
from nearline.server.limits import Limits
from nearline.server.problems import BodyTimeout

METHODS_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS"})


class RequestBodies:
    """Receives bodies, with limits on size, time and total memory.

    A body must arrive within `Limits.body_seconds`, plus the time that the bytes received so far
    take at `Limits.body_bytes_per_second`. The total size of all bodies is at most
    `Limits.bodies_bytes`.

    Attributes
    ----------
    held, limit : int
        Total bytes of the bodies of requests in flight, and their maximum.
    """

    def __init__(self, app: HTTPApp, limits: Limits) -> None:
        self.app = app
        self._limits = limits
        self.held = 0
        self.limit = limits.budget.bodies

    def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass a request on once its body is complete."""
        if scope["method"] in METHODS_WITHOUT_BODY:
            return self.app(scope, receive, send)
        return self._with_body(scope, receive, send)

    async def _with_body(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        declared = exchange_of(scope).headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > self._limits.body_bytes:
            raise self._too_large()
        body = Body()
        try:
            await self._receive(body, receive)
            await self.app(scope, body.replay(receive), send)
        finally:
            self.held -= body.size

    async def _receive(self, body: "Body", receive: Receive) -> None:
        limits = self._limits
        loop = asyncio.get_running_loop()
        start = loop.time()
        while body.more:
            deadline = start + limits.body_seconds + body.size / limits.body_bytes_per_second
            try:
                async with asyncio.timeout_at(deadline):
                    message: Any = await receive()
            except TimeoutError:
                raise BodyTimeout(
                    f"only {body.size:,} bytes of the body arrived within "
                    f"{loop.time() - start:.0f} seconds; send it again, faster or in parts"
                ) from None
            if message["type"] == "http.disconnect":
                raise self._incomplete(body)
            received = body.add(message)
            self.held += received
            if body.size > limits.body_bytes:
                raise self._too_large()
            if self.held > self.limit:
                raise Overloaded(
                    "the bodies of all requests in flight hold "
                    f"{self.limit:,} bytes, which is the limit; try again in a second"
                )

    def _incomplete(self, body: "Body") -> InvalidInput:
        # The HTTP server reports malformed chunks like a client that has closed the connection.
        return InvalidInput(
            f"the body ended after {body.size:,} bytes, or its chunked encoding is malformed; "
            "send the request again",
            field="body",
        )

    def _too_large(self) -> RequestEntityTooLarge:
        return RequestEntityTooLarge(
            detail=f"the body is larger than {self._limits.body_bytes:,} bytes; send it in "
            "several requests"
        )


class Body:
    """The messages of one body so far.

    Attributes
    ----------
    size : int
        Bytes received.
    more : bool
        Whether further messages are to come.
    """

    __slots__ = ("_last", "_parts", "more", "size")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._last: Any = None
        self.size = 0
        self.more = True

    def add(self, message: Any) -> int:
        """Add a message; return the number of bytes in it."""
        self._last = message
        part: bytes = message.get("body", b"")
        self._parts.append(part)
        self.size += len(part)
        self.more = bool(message.get("more_body"))
        return len(part)

    def replay(self, receive: Receive) -> Receive:
        """Return a channel that delivers the whole body at once, then continues with `receive`."""
        first = self._last
        if first["type"] == "http.request":
            first = {"type": "http.request", "body": b"".join(self._parts), "more_body": False}
        waiting = [first]

        async def receive_again() -> Any:
            return waiting.pop() if waiting else await receive()

        return receive_again
