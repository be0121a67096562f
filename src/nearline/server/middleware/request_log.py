"""One log line for each request."""

from collections.abc import Callable

from nearline.server.exchange import CLIENT_CLOSED, FORWARDED, Exchange
from nearline.server.logs import JsonLog

# Writes the line of a request, given its ID and its duration in seconds.
LineWriter = Callable[[str, float], None]

# Durations below a millisecond as numbers in milliseconds, by microseconds.
_SHORT = [f"0.{number:03d}" for number in range(1_000)]


class RequestLog:
    """Logs each complete exchange; an unexpected error gets a line with its traceback before it.

    The line of a request contains no IDs of users or items: time, level, message, ID and method of
    the request, template of its path, status, and duration in milliseconds, truncated to the
    microsecond. None of these needs to be escaped, so that a line is joined from its parts, which
    takes a fraction of the time of an encoder.
    """

    def __init__(self, log: JsonLog) -> None:
        self._log = log
        # There are as many as there are combinations of method, template and status.
        self._writers: dict[tuple[str, str, int], LineWriter] = {}

    def completed(self, exchange: Exchange) -> None:
        """Log one exchange."""
        status, failure = exchange.status, exchange.failure
        if failure is not None and status != CLIENT_CLOSED:
            self._log.failure("request failed", failure, request_id=exchange.request_id)
        if exchange.route == FORWARDED and status < 500:
            return
        write = self.writer(exchange.method, exchange.route, status)
        write(exchange.request_id, exchange.seconds)

    def writer(self, method: str, route: str, status: int) -> LineWriter:
        """Return a function that writes the lines of requests with these values."""
        kind = method, route, status
        return self._writers.get(kind) or self._writers.setdefault(kind, self._new_writer(*kind))

    def _new_writer(self, method: str, route: str, status: int) -> LineWriter:
        log = self._log
        level = "info" if status < 500 else "error"
        begin, middle = '{"ts":"', f'","level":"{level}","message":"request","request_id":"'
        end = f'","method":"{method}","route":"{route}","status":{status},"ms":'

        def write(request_id: str, seconds: float) -> None:
            microseconds = int(seconds * 1e6)
            ms = _SHORT[microseconds] if microseconds < 1_000 else microseconds / 1e3
            log.add(f"{begin}{log.timestamp()}{middle}{request_id}{end}{ms}}}\n")

        return write
