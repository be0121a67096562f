"""Baseline server, which sends a constant response from the same HTTP server software.

``python -m nearline.bench.empty PORT BYTES``
"""

import asyncio
import signal
import sys
from typing import Any

from nearline.server.run import granian_server


def constant_app(size: int) -> Any:
    """Create an ASGI application that answers every request with a JSON string of `size` bytes."""
    body = b'"' + b"x" * max(0, size - 2) + b'"'
    head = {
        "type": "http.response.start",
        "status": 200,
        "headers": [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ],
    }
    tail = {"type": "http.response.body", "body": body, "more_body": False}

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send(head)
            await send(tail)

    return app


async def serve(port: int, size: int) -> None:
    """Serve `constant_app` on a loopback port until the process receives SIGTERM."""
    server = granian_server(constant_app(size), "127.0.0.1", port)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
    await server.serve()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
