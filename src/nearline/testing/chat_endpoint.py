"""Fake chat endpoint on the loopback interface, with scripted replies and failures.

>>> from nearline.testing.chat_endpoint import ChatEndpoint, Reply
>>> with ChatEndpoint(lambda request: Reply("[2, 1]")) as endpoint:
...     endpoint.url.startswith("http://127.0.0.1:")
True
"""

import json
import sys
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any, NamedTuple, Self

FILLER = b" " * 65_536


class Asked(NamedTuple):
    """Request that the endpoint received.

    Attributes
    ----------
    path : str
        Path of the URL.
    headers : mapping
        Headers, with names in lower case.
    body : str
        Body of the request.
    """

    path: str
    headers: Mapping[str, str]
    body: str

    @property
    def data(self) -> Any:
        """Value of the JSON document in the last chat message."""
        return json.loads(json.loads(self.body)["messages"][-1]["content"])


class Reply(NamedTuple):
    """Scripted reply of the endpoint.

    Attributes
    ----------
    text : str
        Text of the completion.
    status : int
        HTTP status code.
    headers : mapping
        Headers that override the default ones.
    tokens : int or None
        Value of ``usage.total_tokens``; None omits the field ``usage``.
    body : bytes or None
        Body that replaces the well-formed one.
    filler : int
        Number of spaces sent after the body.
    missing : int
        Number of bytes by which the header content-length exceeds the body that is sent.
    after : threading.Event or None
        Event for which the endpoint waits, up to 60 seconds, before it sends the reply.
    """

    text: str = ""
    status: int = 200
    headers: Mapping[str, str] = {}
    tokens: int | None = None
    body: bytes | None = None
    filler: int = 0
    missing: int = 0
    after: Event | None = None

    def encoded(self) -> bytes:
        """Return the body as bytes, without filler."""
        if self.body is not None:
            return self.body
        message = {"role": "assistant", "content": self.text}
        answer: dict[str, Any] = {"choices": [{"index": 0, "message": message}]}
        if self.tokens is not None:
            answer["usage"] = {"total_tokens": self.tokens}
        return json.dumps(answer).encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # raised if the client disconnected
            super().handle_error(request, client_address)


class ChatEndpoint:
    """Context manager that serves chat completions on loopback in background threads.

    Parameters
    ----------
    answer : callable
        Returns the reply to a request. The attribute `answer` may be replaced at any time.

    Attributes
    ----------
    asked : list of Asked
        Received requests, oldest first.
    sent : int
        Number of bytes of bodies that were sent.
    """

    def __init__(self, answer: Callable[[Asked], Reply]):
        self.answer = answer
        self.asked: list[Asked] = []
        self.sent = 0
        self._lock = Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        """Base URL of the endpoint, a value for `LlmConfig.base_url`."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def take(self, asked: Asked) -> Reply:
        """Record a request and return its reply."""
        with self._lock:
            self.asked.append(asked)
        return self.answer(asked)

    def count(self, size: int) -> None:
        """Add `size` bytes to `sent`."""
        with self._lock:
            self.sent += size

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(endpoint: ChatEndpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = endpoint.take(Asked(self.path, headers, body.decode()))
            if reply.after is not None:
                reply.after.wait(60.0)
            try:
                self._send(reply)
            except OSError:  # the client disconnected
                self.close_connection = True

        def _send(self, reply: Reply) -> None:
            body = reply.encoded()
            length = len(body) + reply.filler + reply.missing
            self.send_response(reply.status)
            usual = {"content-type": "application/json", "content-length": str(length)}
            for name, value in {**usual, **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self._write(body)
            for left in range(reply.filler, 0, -len(FILLER)):
                self._write(FILLER[:left])
            self.close_connection = self.close_connection or reply.missing > 0

        def _write(self, piece: bytes) -> None:
            self.wfile.write(piece)
            endpoint.count(len(piece))

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
