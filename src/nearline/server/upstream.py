"""Requests that a reader process passes on to the writer process, over HTTP on a Unix socket."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from litestar.types import HTTPScope, Receive, Send

from nearline.errors import LogUnavailable
from nearline.server.exchange import FORWARDED, exchange_of

# Connections that are kept for later requests.
MOST_IDLE = 64
# Bytes of the head of a response, and of a part of its body.
HEAD_BYTES, PART_BYTES = 131_072, 65_536
# Headers that belong to one connection, or that this process adds itself.
_OWN_REQUEST = frozenset(
    {b"connection", b"keep-alive", b"transfer-encoding", b"content-length", b"te", b"upgrade"}
    | {b"expect", b"proxy-connection", b"x-request-id", b"trailer"}
)
_OWN_RESPONSE = frozenset(
    {b"connection", b"keep-alive", b"transfer-encoding", b"x-request-id", b"server-timing"}
    | {b"access-control-allow-origin", b"access-control-allow-headers", b"vary", b"date"}
)
_NO_BODY = frozenset({204, 304})


class Upstream:
    """ASGI application that passes each request on to another process and returns its response.

    Parameters
    ----------
    path : Path
        Unix socket of the HTTP server of the other process.
    """

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._idle: deque[_Connection] = deque()
        self._closed = False

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Pass one request on, whose body has been received."""
        del send  # the exchange adds headers of its own
        exchange = exchange_of(scope)
        exchange.reached = None
        scope["path_template"] = FORWARDED
        body = b""
        if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            message: Any = await receive()
            body = message.get("body", b"")
        connection = await self._connection()
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            connection.write(_request(scope, exchange.request_id, body))
            status, headers = await connection.head()
            size, chunked = _framing(status, headers)
            kept = [(name, value) for name, value in headers if name not in _OWN_RESPONSE]
            await exchange.send({"type": "http.response.start", "status": status, "headers": kept})
            async for part in connection.chunks() if chunked else connection.parts(size):
                await exchange.send({"type": "http.response.body", "body": part, "more_body": True})
                if gone.done():
                    exchange.client_gone = True
                    return
            await exchange.send({"type": "http.response.body", "body": b"", "more_body": False})
            connection.whole = True
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            raise _unreachable() from error
        finally:
            gone.cancel()
            self._release(connection)
            if not connection.whole:
                await connection.closed()

    async def close(self) -> None:
        """Close all connections that are not in use, and keep none from now on."""
        self._closed = True
        while self._idle:
            connection = self._idle.pop()
            connection.close()
            await connection.closed()

    async def _connection(self) -> "_Connection":
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                connection.whole = False
                return connection
            connection.close()
        try:
            pair = await asyncio.open_unix_connection(self._path, limit=HEAD_BYTES)
        except OSError as error:
            raise _unreachable() from error
        return _Connection(*pair)

    def _release(self, connection: "_Connection") -> None:
        if connection.whole and len(self._idle) < MOST_IDLE and not self._closed:
            self._idle.append(connection)
        else:
            connection.close()


class _Connection:
    """A connection; `whole` tells whether its last response was read to the end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.whole = False

    @property
    def usable(self) -> bool:
        return not self._reader.at_eof() and not self._writer.is_closing()

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    def close(self) -> None:
        with suppress(OSError):
            self._writer.close()

    async def closed(self) -> None:
        with suppress(OSError):
            await self._writer.wait_closed()

    async def head(self) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Return status and headers of a response."""
        lines = (await self._reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[:-2]
        headers = []
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            headers.append((name.strip().lower(), value.strip()))
        return int(lines[0].split(b" ", 2)[1]), headers

    async def parts(self, size: int) -> AsyncIterator[bytes]:
        """Yield a body of `size` bytes."""
        while size > 0:
            part = await self._reader.read(min(size, PART_BYTES))
            if not part:
                raise EOFError
            size -= len(part)
            yield part

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the chunks of a body whose length was not known."""
        while size := int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16):
            async for part in self.parts(size):
                yield part
            await self._reader.readexactly(2)
        while await self._reader.readuntil(b"\r\n") != b"\r\n":  # trailers
            pass


def _request(scope: HTTPScope, request_id: str, body: bytes) -> bytes:
    """Return the bytes of a request; the server has checked path, query and headers."""
    query = scope["query_string"]
    target = scope["raw_path"].partition(b"?")[0] + (b"?" + query if query else b"")
    headers = [(name, value) for name, value in scope["headers"] if name not in _OWN_REQUEST]
    if not any(name == b"host" for name, _ in headers):
        headers.append((b"host", b"localhost"))
    headers.append((b"x-request-id", request_id.encode()))
    if body or scope["method"] not in ("GET", "HEAD", "OPTIONS"):
        headers.append((b"content-length", b"%d" % len(body)))
    head = b"%s %s HTTP/1.1\r\n" % (scope["method"].encode(), target)
    return head + b"".join(b"%s: %s\r\n" % pair for pair in headers) + b"\r\n" + body


def _framing(status: int, headers: list[tuple[bytes, bytes]]) -> tuple[int, bool]:
    """Return the length of a body, and whether it comes in chunks instead."""
    found = dict(headers)
    if status in _NO_BODY:
        return 0, False
    return int(found.get(b"content-length", b"0")), b"chunked" in found.get(
        b"transfer-encoding", b""
    )


async def _disconnected(receive: Receive) -> None:
    while True:
        message: Any = await receive()
        if message["type"] == "http.disconnect":
            return


def _unreachable() -> LogUnavailable:
    return LogUnavailable(
        "the process that writes the store cannot be reached, and it is started again or stops; "
        "try again in a second"
    )
