"""The baseline server returns the same bytes for every request."""

import asyncio
from typing import Any

import pytest

from nearline.bench.empty import constant_app


@pytest.mark.parametrize(("size", "body"), [(5, b'"xxx"'), (2, b'""'), (0, b'""')])
def test_the_response_is_json_of_the_requested_size(size: int, body: bytes) -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    app = constant_app(size)
    asyncio.run(app({"type": "lifespan"}, None, send))
    assert sent == []
    asyncio.run(app({"type": "http"}, None, send))
    head, tail = sent
    assert head["status"] == 200
    assert (b"content-length", str(len(body)).encode()) in head["headers"]
    assert (tail["body"], tail["more_body"]) == (body, False)
