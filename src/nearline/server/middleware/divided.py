"""Division of requests between a reader process, which answers them, and the writer process."""

import re
from collections.abc import Awaitable, Callable

from litestar.types import HTTPScope, Receive, Send

from nearline.server.exchange import HTTPApp, exchange_of

_ID = rb"[^/]+"
# What a reader answers from its own memory: lists and entries of items.
_GET = re.compile(
    rb"/v1/users/%b/(recommendations|explanations/%b)|/v1/items/%b(/similar|/audience|/trend)?"
    rb"|/v1/(items|popular|trending|search)|/livez|/readyz" % (_ID, _ID, _ID)
)
_POST = frozenset({b"/v1/recommendations", b"/v1/recommendations:batch", b"/v1/rank"})


class Divided:
    """Passes a request to `own` if this process can answer it, and otherwise to `upstream`.

    Parameters
    ----------
    own, upstream : callable
        ASGI applications.
    alone : callable
        Whether lists, too, are to be answered by the other process at present.
    """

    def __init__(self, own: HTTPApp, upstream: HTTPApp, alone: Callable[[], bool]) -> None:
        self._own, self._upstream, self._alone = own, upstream, alone

    def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> Awaitable[None]:
        """Handle one request."""
        app = self._own if self._is_own(scope) else self._upstream
        return app(scope, receive, send)

    def _is_own(self, scope: HTTPScope) -> bool:
        exchange = exchange_of(scope)
        if exchange.ahead:
            return True
        path, method = exchange.path, exchange.method
        if path in (b"/livez", b"/readyz"):
            return True
        if self._alone():
            return False
        if method in ("GET", "HEAD"):
            return _GET.fullmatch(path) is not None
        return method == "POST" and path in _POST
