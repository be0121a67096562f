"""Requests for lists to an application in this process, without a server in between."""

from typing import Any


async def ask(app: Any, user: str, query: bytes = b"k=10") -> None:
    """Request the list of a user; raise `RuntimeError` if it is not answered with status 200."""

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        if message.get("status", 200) != 200:
            raise RuntimeError(f"a list was answered with {message['status']}")

    path = f"/v1/users/{user}/recommendations"
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": [(b"host", b"localhost")],
        "state": {},
    }
    await app(scope, receive, send)
