"""The outermost layer: everything that is the same for every request, in the order it happens.

Give the request an id, make its path routable, check the API key, pass it on, log and count it.
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
from nearline.server.host import EngineHost
from nearline.server.logs import JsonLog
from nearline.server.metrics import Metrics
from nearline.server.paths import canonical_path
from nearline.server.problems import PROBLEM_JSON, Unauthorized, problem_for

# Answered without an API key: what an orchestrator asks.
OPEN_PATHS = frozenset({"/livez", "/readyz"})
# Nginx' number for "the client went away before the answer".
CLIENT_CLOSED = 499
UNROUTED = "unrouted"
_SANE_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Gateway:
    """The ASGI application: `api` with request ids, ids of any characters, key check, log, metrics.

    Needs a server that passes the path on undecoded (`raw_path`), as granian and uvicorn do.

    Parameters
    ----------
    api : Litestar
        Routes a path in the form that `paths.canonical_path` gives it.
    api_key : str or None
        What a request must carry; None lets everyone in.
    timer : callable
        Gives seconds of a clock that never goes back.
    new_request_id : callable
        Gives an id to a request that has no sane one of its own.
    """

    def __init__(
        self,
        api: Litestar,
        host: EngineHost,
        *,
        api_key: str | None,
        log: JsonLog,
        metrics: Metrics,
        timer: Callable[[], float],
        new_request_id: Callable[[], str],
    ):
        self.api = api
        self.host = host
        self._api_key = api_key.encode() if api_key is not None else None
        self.log = log
        self._metrics = metrics
        self._timer = timer
        self._new_request_id = new_request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection."""
        if scope["type"] == ScopeType.HTTP:
            await self._exchange(scope, receive, send)
        else:
            await self.api(scope, receive, send)

    async def _exchange(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        start = self._timer()
        headers = dict(scope["headers"])
        request_id = self._request_id(headers)
        scope.setdefault("state", {})["request_id"] = request_id
        status, client_gone = CLIENT_CLOSED, False

        async def send_marked(message: Message) -> None:
            nonlocal status
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

        try:
            scope["path"] = canonical_path(scope["raw_path"])
            self._check_key(scope["path"], headers)
            await self.api(scope, receive_marked, send_marked)
        except NearlineError as error:
            await _refuse(error, request_id, send_marked)
        finally:
            if client_gone:  # what failed for want of a body is no failure of the server
                status = CLIENT_CLOSED
            self._record(scope, status, self._timer() - start)

    def _request_id(self, headers: dict[bytes, bytes]) -> str:
        sent = headers.get(b"x-request-id", b"")
        return sent.decode() if _SANE_REQUEST_ID.fullmatch(sent) else self._new_request_id()

    def _check_key(self, path: str, headers: dict[bytes, bytes]) -> None:
        if self._api_key is None or path in OPEN_PATHS:
            return
        sent = headers.get(b"x-api-key")
        if sent is None:
            scheme, _, credentials = headers.get(b"authorization", b"").partition(b" ")
            sent = credentials.strip() if scheme.lower() == b"bearer" else None
        if sent is None or not hmac.compare_digest(sent, self._api_key):
            found = "no API key" if sent is None else "a wrong API key"
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


async def _refuse(error: NearlineError, request_id: str, send: Send) -> None:
    problem, extra = problem_for(error, request_id)
    body = msgspec.json.encode(problem)
    headers = {"content-type": PROBLEM_JSON, "content-length": str(len(body)), **extra}
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body, "more_body": False})
