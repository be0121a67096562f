"""The outermost middleware: the course of every exchange, from its request to its log line."""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

from litestar.types import HTTPScope, Message, Receive, Send

from nearline.errors import InvalidInput
from nearline.server.exchange import CLIENT_CLOSED, PART_BYTES, Exchange, LargeAnswers
from nearline.server.middleware.cached_answers import CachedAnswers
from nearline.server.middleware.namespaced import Namespaced
from nearline.server.middleware.pseudonym_ids import PseudonymIds
from nearline.server.middleware.request_ids import RequestIds
from nearline.server.traffic import Traffic
from nearline.trust.grants import EVERYTHING, Grant

# As a number, because a search for `bytes` of length 1 takes 20 times as long.
QUESTION_MARK = ord("?")
_PERSONAL = re.compile(rb"/v1/(?:ns/[^/]+/)?users/[^/]+/(?:recommendations|explanations/[^/]+)")
_METHODS = {name: name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}


class Exchanges:
    """Creates an exchange for each request, passes the request on, and calls the observers.

    Parameters
    ----------
    timer : callable
        Monotonic clock in seconds.
    traffic : Traffic
        Receives the time of the latest request.
    large_answers : LargeAnswers
        Budget for answers that clients have not read yet.
    request_ids : RequestIds
    checks : sequence of callable
        Called with the exchange before anything is sent; raise to refuse the request.
    cached : CachedAnswers, Namespaced or PseudonymIds
        Answers from the cache, or computes the answer.
    send_error : callable
        Answers a request that raised an error.
    observers : sequence of callable
        Called in order with each complete exchange, however it ended.
    grant : Grant
        What a request may do, unless a check says otherwise.
    gpc : bool
        Whether the header ``Sec-GPC: 1`` means a list without profiling.
    """

    def __init__(
        self,
        *,
        timer: Callable[[], float],
        traffic: Traffic,
        large_answers: LargeAnswers,
        request_ids: RequestIds,
        checks: Sequence[Callable[[Exchange], None]],
        cached: CachedAnswers | Namespaced | PseudonymIds,
        send_error: Callable[[Exception, Exchange], Awaitable[None]],
        observers: Sequence[Callable[[Exchange], None]],
        grant: Grant = EVERYTHING,
        gpc: bool = False,
    ) -> None:
        self._grant = grant
        self._gpc = gpc
        self._timer = timer
        self._traffic = traffic
        self._large_answers = large_answers
        self._request_id = request_ids.of
        self._checks = checks
        self.cached = cached
        self._send_error = send_error
        self._observers = observers

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        start = self._traffic.last = self._timer()
        sent = cast("Sequence[tuple[bytes, bytes]]", scope["headers"])
        headers = dict(sent)
        path = scope["raw_path"]
        if QUESTION_MARK in path:  # some servers do not remove the query
            path = path.partition(b"?")[0]
        exchange = Exchange(
            self._request_id(headers.get(b"x-request-id")),
            _METHODS.get(scope["method"], "other"),
            path,
            headers,
            start,
            self._timer,
            receive,
            send,
            self._large_answers,
            grant=self._grant,
            client=scope.get("client"),
        )
        if self._gpc and headers.get(b"sec-gpc") == b"1":
            ask_without_profiling(exchange, scope)
        if exchange.method == "HEAD":  # the answer to GET, without its body
            scope["method"], exchange.asgi_send = "GET", without_body(send)
        try:
            if len(headers) != len(sent):
                _check_repeated(sent)
            for check in self._checks:
                check(exchange)
            answer = self.cached.find(exchange, scope)
            if answer is None:
                await self.cached.compute(exchange, scope)
            else:
                head, body = answer
                if len(body["body"]) <= PART_BYTES:
                    await send(exchange.complete_head(head))
                    await send(body)
                else:
                    await exchange.send(head)
                    await exchange.send(body)
        except Exception as error:
            await self._send_error(exchange.refusal or error, exchange)
        finally:
            if exchange.reserved:
                exchange.release()
            if exchange.client_gone:  # a missing body is then not the server's failure
                exchange.status = CLIENT_CLOSED
            exchange.seconds = self._timer() - start
            for observe in self._observers:
                observe(exchange)
            exchange.failure = None  # its traceback refers to the exchange


def ask_without_profiling(exchange: Exchange, scope: HTTPScope) -> None:
    """Add `profiling=false` to the query of a request for a list or an explanation."""
    query = scope["query_string"]
    if _PERSONAL.fullmatch(exchange.path) and b"profiling=" not in query:
        scope["query_string"] = b"&".join(filter(None, (query, b"profiling=false")))


def without_body(send: Send) -> Send:
    """Return a function that sends messages without the bytes of the body."""

    def send_head(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        return send(message)

    return send_head


def _check_repeated(headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Raise `InvalidInput` if a request has several hosts, of which only one would be checked."""
    if sum(name == b"host" for name, _ in headers) > 1:
        raise InvalidInput("the request has several Host headers; send one", field="host")
