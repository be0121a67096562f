"""Refusal of requests when too many are in flight, or when the queues of writes are full."""

from litestar.types import HTTPScope, Receive, Send

from nearline.common.waiting import refuse_instead_of_waiting
from nearline.server.exchange import HTTPApp, exchange_of
from nearline.server.middleware.api_keys import OPEN_PATHS
from nearline.server.traffic import Traffic


class OverloadProtection:
    """Counts the requests in flight, and refuses those above the limit with status 503.

    Cached answers bypass this middleware, so they are sent even under overload. Health checks are
    not refused. Writes to full queues are refused, too, where a caller in Python would wait.
    """

    def __init__(self, app: HTTPApp, traffic: Traffic) -> None:
        self.app = app
        self._traffic = traffic

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Answer a request, or raise `Overloaded`."""
        traffic = self._traffic
        traffic.in_flight += 1
        refuse_instead_of_waiting()
        try:
            if exchange_of(scope).path not in OPEN_PATHS:
                traffic.check()
            await self.app(scope, receive, send)
        finally:
            traffic.in_flight -= 1
