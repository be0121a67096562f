"""Answers from the cache. Other answers are computed, and cached if this is allowed."""

from collections.abc import Awaitable
from typing import Any

from litestar.types import HTTPScope, Message, Send

from nearline.server.cache import Key
from nearline.server.context import AppContext
from nearline.server.exchange import UNROUTED, Exchange, HTTPApp
from nearline.server.offsets import MIN_OFFSET, until_offset
from nearline.trust.grants import EVERYTHING

# Template of the only route whose answers are cached.
LISTS = "/v1/users/{user_id}/recommendations"


class CachedAnswers:
    """Keeps the lists of `GET` requests in `AppContext.cache`.

    Parameters
    ----------
    app : callable
        ASGI application that computes answers.
    """

    def __init__(self, app: HTTPApp, context: AppContext) -> None:
        self.app = app
        self._context = context
        self._cache = context.cache
        self._preloader = context.preloader
        self._timer = context.timer
        self._large_answers = context.large_answers

    def find(self, exchange: Exchange, scope: HTTPScope) -> tuple[Any, Any] | None:
        """Return head and body of the cached answer to a request; None if there is none."""
        if exchange.method != "GET" or MIN_OFFSET in exchange.headers:
            return None
        if not exchange.grant.trusted:
            return None  # the route checks what the key allows
        cached = self._cache.get((exchange.path, scope["query_string"]))
        if cached is None:
            return None
        headers, body, made_ahead, served = cached
        if served is not None:
            self._cache.serve(served)
        self._cache.hits[made_ahead] += 1
        exchange.route = LISTS
        return (
            {"type": "http.response.start", "status": 200, "headers": headers},
            {"type": "http.response.body", "body": body, "more_body": False},
        )

    async def compute(self, exchange: Exchange, scope: HTTPScope) -> None:
        """Pass a request on to `app`, and cache the answer if its handler allows it."""
        state = scope.setdefault("state", {})
        state["exchange"], state["context"] = exchange, self._context
        if MIN_OFFSET in exchange.headers:
            await until_offset(self._context, exchange.headers[MIN_OFFSET])
        if exchange.method != "GET":
            exchange.reached = self._context.host.reached
            try:
                await self.app(scope, exchange.receive, exchange.send)
            finally:
                exchange.route = scope.get("path_template") or UNROUTED
            return
        response = RecordedResponse(exchange.send)
        try:
            await self.app(scope, exchange.receive, response.send)
        finally:
            exchange.route = scope.get("path_template") or UNROUTED
            self._cache.misses += exchange.route == LISTS
        key = exchange.path, scope["query_string"]
        self._keep(key, exchange, response, made_ahead=False)

    async def make_ahead(self, key: Key, request_id: str) -> None:
        """Compute the answer to an expected request, and cache it if its handler allows it."""

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(_: Message) -> None:
            return

        path, query = key
        exchange = Exchange(
            request_id,
            "GET",
            path,
            {},
            self._timer(),
            self._timer,
            receive,
            send,
            self._large_answers,
            grant=EVERYTHING,
            ahead=True,
        )
        scope: Any = {
            "type": "http",
            "method": "GET",
            "path": path.decode(),
            "raw_path": path,
            "query_string": query,
            "headers": [],
            "state": {"exchange": exchange, "context": self._context},
        }
        response = RecordedResponse(send)
        await self.app(scope, receive, response.send)
        self._keep(key, exchange, response, made_ahead=True)

    def _keep(
        self, key: Key, exchange: Exchange, response: "RecordedResponse", *, made_ahead: bool
    ) -> None:
        policy = exchange.cache_policy
        if policy is None or not response.complete:
            return
        kept = (response.headers, response.body, made_ahead, policy.served)
        self._cache.put(key, policy.stamp, kept)
        if policy.user_id is not None and not made_ahead:
            self._preloader.asked(policy.user_id, key)


class RecordedResponse:
    """Passes messages on to `send` and keeps the headers and body of the response.

    Attributes
    ----------
    complete : bool
        Whether a successful response was sent in one piece; only such responses are cached.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self.headers: tuple[tuple[bytes, bytes], ...] = ()
        self.body = b""
        self.complete = False
        self._success = False

    def send(self, message: Message) -> Awaitable[None]:
        """Record a message and send it."""
        if message["type"] == "http.response.start":
            self.headers = tuple((name, value) for name, value in message["headers"])
            self._success = message["status"] == 200
        elif message["type"] == "http.response.body":
            self.complete = self._success and not self.body and not message["more_body"]
            self.body = message["body"]
        return self._send(message)
