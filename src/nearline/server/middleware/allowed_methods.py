"""Methods of routes: complete ``Allow`` headers, and answers to ``OPTIONS``.

When the web framework refuses a method, it lists all others of the route, except ``HEAD``, which it
does not know. It answers ``OPTIONS`` by the methods of only one of the route's handlers.
"""

from collections.abc import Awaitable
from http import HTTPStatus
from typing import Any

from litestar.types import HTTPScope, Receive, Send

from nearline.server.exchange import HTTPApp

# A method that no route has, so that the framework refuses it and lists the methods of the route.
UNKNOWN = "OTHER"


class AllowedMethods:
    """Completes the header ``Allow`` of answers with status 405, and answers ``OPTIONS``."""

    def __init__(self, app: HTTPApp) -> None:
        self.app = app

    def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass a request on; ``OPTIONS`` as a method that is refused."""
        asked = scope["method"] == "OPTIONS"
        if asked:
            scope["method"] = UNKNOWN  # type: ignore[typeddict-item]
        answer = MethodsAnswer(send, asked=asked)
        return self.app(scope, receive, answer.send)


class MethodsAnswer:
    """Passes messages on to `send`, and changes those of an answer with status 405.

    Parameters
    ----------
    send : callable
        ASGI function.
    asked : bool
        Whether the request asked for the methods, so that the answer is no error.
    """

    __slots__ = ("_asked", "_send", "_without_body")

    def __init__(self, send: Send, *, asked: bool) -> None:
        self._send = send
        self._asked = asked
        self._without_body = False

    def send(self, message: Any) -> Awaitable[None]:
        """Send a message."""
        if message["type"] == "http.response.start":
            if message["status"] == HTTPStatus.METHOD_NOT_ALLOWED:
                self._complete(message)
        elif self._without_body and message["type"] == "http.response.body":
            message["body"] = b""
        return self._send(message)

    def _complete(self, message: Any) -> None:
        headers = [(name, value) for name, value in message["headers"] if name != b"allow"]
        found = dict(message["headers"]).get(b"allow", b"")
        methods = {name.strip() for name in found.split(b",")}
        if b"GET" in methods:
            methods.add(b"HEAD")
        allow = (b"allow", b", ".join(sorted(methods)))
        if self._asked:
            self._without_body = True
            message["status"], headers = HTTPStatus.NO_CONTENT, []
        message["headers"] = [*headers, allow]
