"""Open an exchange for each request, and report it when it is complete."""

from collections.abc import Callable, Sequence

from litestar.types import HTTPScope, Receive, Send

from nearline.server.exchange import CLIENT_CLOSED, UNROUTED, Exchange, HTTPApp
from nearline.server.middleware.request_ids import RequestIds

Observer = Callable[[Exchange], None]
_KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Exchanges:
    """The outermost middleware.

    Parameters
    ----------
    timer : callable
        Monotonic clock in seconds.
    request_ids : RequestIds
    observers : sequence of callable
        Called in order with each complete exchange, however it ended: logging, metrics, traffic.
    """

    def __init__(
        self,
        app: HTTPApp,
        timer: Callable[[], float],
        request_ids: RequestIds,
        *,
        observers: Sequence[Observer],
    ) -> None:
        self.app = app
        self._timer = timer
        self._request_ids = request_ids
        self._observers = tuple(observers)

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        start = self._timer()
        headers = dict(scope["headers"])
        exchange = Exchange(
            request_id=self._request_ids(headers),
            start=start,
            headers=headers,
            timer=self._timer,
            asgi_receive=receive,
            asgi_send=send,
        )
        scope.setdefault("state", {})["exchange"] = exchange
        try:
            await self.app(scope, exchange.receive, exchange.send)
        finally:
            if exchange.client_gone:  # a missing body is then not the server's failure
                exchange.status = CLIENT_CLOSED
            if scope["method"] in _KNOWN_METHODS:
                exchange.method = scope["method"]
            exchange.route = scope.get("path_template") or UNROUTED
            exchange.seconds = self._timer() - start
            for observe in self._observers:
                observe(exchange)
