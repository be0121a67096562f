"""One log line for each request."""

from msgspec import Struct

from nearline.server.exchange import CLIENT_CLOSED, FORWARDED, Exchange
from nearline.server.logs import JsonLog


class RequestLine(Struct, gc=False):
    """The line of one request; it contains no IDs of users or items.

    Attributes
    ----------
    ts, level, message, request_id, method
        As in every line; ID and method of the request.
    route : str
        Template of the path.
    status : int
    ms : float
        Duration in milliseconds, truncated to the microsecond.
    """

    ts: str
    level: str
    message: str
    request_id: str
    method: str
    route: str
    status: int
    ms: float


class RequestLog:
    """Logs each complete exchange; an unexpected error gets a line with its traceback before it."""

    def __init__(self, log: JsonLog) -> None:
        self._log = log

    def completed(self, exchange: Exchange) -> None:
        """Log one exchange."""
        log, status, failure = self._log, exchange.status, exchange.failure
        if failure is not None and status != CLIENT_CLOSED:
            log.failure("request failed", failure, request_id=exchange.request_id)
        if exchange.route == FORWARDED and status < 500:
            return
        log.add(
            RequestLine(
                log.timestamp(),
                "info" if status < 500 else "error",
                "request",
                exchange.request_id,
                exchange.method,
                exchange.route,
                status,
                int(exchange.seconds * 1e6) / 1e3,
            )
        )
