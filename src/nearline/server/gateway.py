"""The outermost layer: everything that is the same for every request, in the order it happens.

Give the request an id, make its path routable, check the API key, pass it on, log and count it.
A list that is cached leaves from here: its request is counted, and not logged.
"""

import hmac
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Litestar
from litestar.enums import ScopeType
from litestar.types import HTTPScope, Message, Receive, Scope, Send

from nearline.errors import NearlineError
from nearline.server import fast_path
from nearline.server.cache import Key
from nearline.server.context import AppContext, CachePolicy
from nearline.server.logs import JsonLog
from nearline.server.paths import canonical_path
from nearline.server.problems import PROBLEM_JSON, Unauthorized, problem_for

# Answered without an API key: what an orchestrator asks.
OPEN_PATHS = frozenset({"/livez", "/readyz"})
# Nginx' number for "the client went away before the answer".
CLIENT_CLOSED = 499
UNROUTED = "unrouted"
# The one route whose answers are cached.
LISTS = "/v1/users/{user_id}/recommendations"
_SANE_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Gateway:
    """The ASGI application: `api` with request ids, ids of any characters, key check, log, metrics.

    Needs a server that passes the path on undecoded (`raw_path`), as granian and uvicorn do.

    Parameters
    ----------
    api : Litestar
        Routes a path in the form that `paths.canonical_path` gives it.
    context : AppContext
        What its handlers share.
    api_key : str or None
        What a request must carry; None lets everyone in.
    new_request_id : callable
        Gives an id to a request that has no sane one of its own.
    """

    def __init__(
        self,
        api: Litestar,
        context: AppContext,
        *,
        api_key: str | None,
        log: JsonLog,
        new_request_id: Callable[[], str],
    ):
        self.api = api
        self.host = context.host
        self._context = context
        self._cache = context.cache
        self._metrics = context.metrics
        self._timer = context.timer
        self._api_key = api_key.encode() if api_key is not None else None
        self.log = log
        self._new_request_id = new_request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection; a list that is cached, at once and without a log line."""
        if scope["type"] != ScopeType.HTTP:
            await self.api(scope, receive, send)
            return
        start = self._timer()
        self._context.traffic.last = start
        headers = dict(scope["headers"])
        kept = self._cache.get(_key(scope))
        if kept is None or scope["method"] != "GET" or self._key_at_fault(headers):
            await self._exchange(scope, receive, send, headers, start)
            return
        fixed, body, ahead = kept
        marked = [*fixed, (b"x-request-id", self._request_id(headers).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": marked})
        await send({"type": "http.response.body", "body": body, "more_body": False})
        self._cache.hits[ahead] += 1
        self._metrics.answered("GET", LISTS, 200, self._timer() - start)

    async def _exchange(
        self,
        scope: HTTPScope,
        receive: Receive,
        send: Send,
        headers: dict[bytes, bytes],
        start: float,
    ) -> None:
        request_id = self._request_id(headers)
        state = scope.setdefault("state", {})
        state["request_id"], state["start"] = request_id, start
        status, client_gone = CLIENT_CLOSED, False
        sent: list[Any] = []

        async def send_marked(message: Message) -> None:
            nonlocal status
            sent.append(message)
            if message["type"] == "http.response.start":
                status = message["status"]
                ms = (self._timer() - start) * 1_000
                marked = [
                    *message["headers"],
                    (b"x-request-id", request_id.encode()),
                    (b"server-timing", b"app;dur=%.3f" % ms),
                ]
                message = {**message, "headers": marked}
            await send(message)

        async def receive_marked() -> Any:
            nonlocal client_gone
            message = await receive()
            client_gone = client_gone or message["type"] == "http.disconnect"
            return message

        traffic = self._context.traffic
        traffic.in_flight += 1
        try:
            scope["path"] = canonical_path(scope["raw_path"])
            if scope["path"] not in OPEN_PATHS:
                self._check_key(headers)
                traffic.check()
            rest: Receive | None = receive_marked
            if fast_path.is_plain(self._context, scope, headers):
                rest = await fast_path.take(self._context, scope, receive_marked, send_marked)
            if rest is not None:
                await self.api(scope, rest, send_marked)
            self._keep(scope, sent, ahead=False)
        except Exception as error:
            if not isinstance(error, NearlineError):
                state["failure"] = error
            await _refuse(error, request_id, send_marked)
        finally:
            traffic.in_flight -= 1
            if client_gone:  # what failed for want of a body is no failure of the server
                status = CLIENT_CLOSED
            self._record(scope, status, self._timer() - start)

    async def make_ahead(self, key: Key) -> None:
        """Put the answer to a request that nobody sent yet into the cache, if it may be kept."""
        raw_path, query = key
        scope: Any = {
            "type": "http",
            "method": "GET",
            "path": canonical_path(raw_path),
            "raw_path": raw_path,
            "query_string": query,
            "headers": [],
            "state": {"request_id": self._new_request_id(), "start": self._timer()},
        }
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        await self.api(scope, receive, send)
        self._keep(scope, sent, ahead=True)

    def _keep(self, scope: HTTPScope, sent: list[Any], *, ahead: bool) -> None:
        """Cache what was sent, where the handler said until when it is right."""
        policy: CachePolicy | None = scope["state"].get("cache_policy")
        if policy is None or len(sent) != 2 or sent[1].get("more_body"):
            return
        key = _key(scope)
        headers = tuple((name, value) for name, value in sent[0]["headers"])
        self._cache.put(key, policy.stamp, (headers, sent[1]["body"], ahead))
        if not ahead and policy.user_id is not None:
            self._context.preloader.asked(policy.user_id, key)

    def _request_id(self, headers: dict[bytes, bytes]) -> str:
        sent = headers.get(b"x-request-id")
        if sent is not None and _SANE_REQUEST_ID.fullmatch(sent):
            return sent.decode()
        return self._new_request_id()

    def _key_at_fault(self, headers: dict[bytes, bytes]) -> str:
        """Return what is wrong with the key that was sent; empty where it opens."""
        if self._api_key is None:
            return ""
        sent = headers.get(b"x-api-key")
        if sent is None:
            scheme, _, credentials = headers.get(b"authorization", b"").partition(b" ")
            sent = credentials.strip() if scheme.lower() == b"bearer" else None
        if sent is None:
            return "no API key"
        return "" if hmac.compare_digest(sent, self._api_key) else "a wrong API key"

    def _check_key(self, headers: dict[bytes, bytes]) -> None:
        if found := self._key_at_fault(headers):
            raise Unauthorized(
                f"the request carries {found}; send 'Authorization: Bearer KEY' or 'X-API-Key: KEY'"
            )

    def _record(self, scope: HTTPScope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _KNOWN_METHODS else "other"
        route = scope.get("path_template") or UNROUTED
        request_id = scope["state"]["request_id"]
        failure = scope["state"].get("failure")
        if failure is not None and status != CLIENT_CLOSED:
            self.log.failure("request failed", failure, request_id=request_id)
        self.log.write(
            "error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "info",
            "request",
            request_id=request_id,
            method=method,
            route=route,
            status=status,
            ms=round(seconds * 1_000, 3),
        )
        self._metrics.answered(method, route, status, seconds)
        self._cache.misses += route == LISTS and method == "GET"


def _key(scope: Any) -> Key:
    # Some servers leave the query on the path.
    return scope["raw_path"].partition(b"?")[0], scope["query_string"]


async def _refuse(error: Exception, request_id: str, send: Send) -> None:
    problem, extra = problem_for(error, request_id)
    body = msgspec.json.encode(problem)
    headers = {"content-type": PROBLEM_JSON, "content-length": str(len(body)), **extra}
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body, "more_body": False})
