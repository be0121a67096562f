"""Answer from the cache; otherwise pass the request on, and cache the answer if it may be."""

from collections.abc import Awaitable, Callable
from typing import Any

from litestar.types import HTTPScope, Message, Receive, Send

from nearline.server.cache import CachedResponse, Key
from nearline.server.context import AppContext
from nearline.server.exchange import Exchange, HTTPApp, exchange_of
from nearline.server.paths import sent_path

# Template of the only route whose answers are cached.
LISTS = "/v1/users/{user_id}/recommendations"


class CachedAnswers:
    """Keeps the lists of `GET` requests in `AppContext.cache`."""

    def __init__(
        self, app: HTTPApp, context: AppContext, new_request_id: Callable[[], str]
    ) -> None:
        self.app = app
        self._cache = context.cache
        self._preloader = context.preloader
        self._timer = context.timer
        self._new_request_id = new_request_id

    def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer from the cache if possible."""
        if scope["method"] != "GET":
            return self.app(scope, receive, send)
        key = sent_path(scope), scope["query_string"]
        cached = self._cache.get(key)
        if cached is None:
            return self._compute(key, scope, receive, send)
        return self._send_cached(cached, scope, send)

    async def _send_cached(self, cached: CachedResponse, scope: HTTPScope, send: Send) -> None:
        headers, body, made_ahead = cached
        scope["path_template"] = LISTS
        self._cache.hits[made_ahead] += 1
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _compute(self, key: Key, scope: HTTPScope, receive: Receive, send: Send) -> None:
        recording = Recording(send)
        try:
            await self.app(scope, receive, recording.send)
        finally:
            self._cache.misses += scope.get("path_template") == LISTS
        user_id = self._keep(key, exchange_of(scope), recording, made_ahead=False)
        if user_id is not None:
            self._preloader.asked(user_id, key)

    async def make_ahead(self, key: Key) -> None:
        """Compute the answer to a request that may come, and cache it if it may be."""

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(_: Message) -> None:
            return

        exchange = Exchange(
            request_id=self._new_request_id(),
            start=self._timer(),
            headers={},
            timer=self._timer,
            asgi_receive=receive,
            asgi_send=send,
        )
        path, query = key
        scope: Any = {
            "type": "http",
            "method": "GET",
            "path": path.decode(),
            "raw_path": path,
            "query_string": query,
            "headers": [],
            "state": {"exchange": exchange},
        }
        recording = Recording(send)
        await self.app(scope, receive, recording.send)
        self._keep(key, exchange, recording, made_ahead=True)

    def _keep(
        self, key: Key, exchange: Exchange, recording: "Recording", *, made_ahead: bool
    ) -> str | None:
        """Cache a response if its handler allows it; return whose list may be made ahead."""
        policy = exchange.cache_policy
        if policy is None or not recording.complete:
            return None
        cached = recording.headers, recording.body, made_ahead
        self._cache.put(key, policy.stamp, cached)
        return policy.user_id


class Recording:
    """Passes messages on to `send` and keeps the headers and body of the response.

    Attributes
    ----------
    complete : bool
        Whether the response was sent in one piece; only such responses are cached.
    """

    __slots__ = ("_send", "body", "complete", "headers")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.headers: tuple[tuple[bytes, bytes], ...] = ()
        self.body = b""
        self.complete = False

    def send(self, message: Message) -> Awaitable[None]:
        """Record a message and send it."""
        if message["type"] == "http.response.start":
            self.headers = tuple((name, value) for name, value in message["headers"])
        elif message["type"] == "http.response.body":
            self.complete = not self.body and not message["more_body"]
            self.body = message["body"]
        return self._send(message)
