"""Limits on the size, arrival time and total memory of bodies."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.testing import TestClient
from tests.server.serving import wait_until_ready

from nearline.engine import Recommender
from nearline.errors import InvalidInput, Overloaded
from nearline.server import create_app
from nearline.server.exchange import Exchange, LargeAnswers
from nearline.server.limits import Limits
from nearline.server.middleware.request_bodies import RequestBodies
from nearline.server.problems import BodyTimeout

LIMITS = Limits(body_bytes=1_000, body_seconds=0.2, body_bytes_per_second=1_000, bodies_bytes=1_500)


class Received:
    """An application that reads one message."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.release = asyncio.Event()
        self.release.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.messages.append(await receive())
        await self.release.wait()


def messages(*parts: bytes, ends: bool = True, pause: float = 0.0) -> Callable[[], Awaitable[Any]]:
    waiting = [
        {"type": "http.request", "body": part, "more_body": not ends or at < len(parts) - 1}
        for at, part in enumerate(parts)
    ]

    async def receive() -> Any:
        await asyncio.sleep(pause)
        if waiting:
            return waiting.pop(0)
        return await asyncio.Event().wait()

    return receive


def request(receive: Any, method: str = "POST", **headers: str) -> tuple[Any, Any, Any]:
    async def send(_: Any) -> None:
        raise AssertionError("nothing is sent here")

    encoded = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    exchange = Exchange(
        "r", method, b"/", encoded, 0.0, lambda: 0.0, receive, send, LargeAnswers(10**9)
    )
    scope: Any = {"type": "http", "method": method, "state": {"exchange": exchange}}
    return scope, receive, send


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await asyncio.wait_for(work(), 10)

    asyncio.run(main())


def test_a_body_in_parts_is_delivered_as_one() -> None:
    async def work() -> None:
        app = Received()
        bodies = RequestBodies(app, LIMITS)
        await bodies(*request(messages(b"ab", b"", b"c")))
        assert app.messages == [{"type": "http.request", "body": b"abc", "more_body": False}]
        assert bodies.held == 0

    run(work)


def test_a_body_that_is_cut_off_is_refused() -> None:
    async def work() -> None:
        async def receive() -> Any:
            return {"type": "http.disconnect"}

        app = Received()
        with pytest.raises(InvalidInput, match="the body ended after 0 bytes"):
            await RequestBodies(app, LIMITS)(*request(receive))
        assert app.messages == []

    run(work)


def test_a_body_that_stalls_is_refused_and_a_slow_one_is_not() -> None:
    async def work() -> None:
        app = Received()
        bodies = RequestBodies(app, LIMITS)
        with pytest.raises(BodyTimeout, match="2 bytes"):
            await bodies(*request(messages(b"ab", ends=False)))
        assert app.messages == []
        # 4 parts of 100 bytes, 0.1 s apart: longer than 0.2 s, but faster than 1,000 bytes/s.
        await bodies(*request(messages(*[b"x" * 100] * 4, pause=0.1)))
        assert len(app.messages[0]["body"]) == 400
        assert bodies.held == 0

    run(work)


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_that_is_too_large_is_refused(declared: bool) -> None:
    async def work() -> None:
        app = Received()
        headers = {"content_length": "1001"} if declared else {}
        parts = [] if declared else [b"x" * 600, b"x" * 401]
        with pytest.raises(RequestEntityTooLarge):
            await RequestBodies(app, LIMITS)(*request(messages(*parts), **headers))
        assert app.messages == []

    run(work)


def test_the_total_size_of_bodies_in_flight_is_limited() -> None:
    async def work() -> None:
        app = Received()
        app.release.clear()
        bodies = RequestBodies(app, LIMITS)
        first = asyncio.ensure_future(bodies(*request(messages(b"x" * 1_000))))
        while not app.messages:
            await asyncio.sleep(0)
        assert bodies.held == 1_000
        with pytest.raises(Overloaded):
            await bodies(*request(messages(b"x" * 501)))
        await_second = bodies(*request(messages(b"x" * 500)))
        app.release.set()
        await await_second
        await first
        assert bodies.held == 0

    run(work)


def test_a_request_without_a_body_passes_at_once() -> None:
    async def work() -> None:
        app = Received()
        await RequestBodies(app, LIMITS)(*request(messages(b""), method="GET"))
        assert len(app.messages) == 1

    run(work)


def test_the_budget_and_its_use_are_metrics() -> None:
    with TestClient(create_app(Recommender, Limits(memory=1_600_000_000))) as client:
        wait_until_ready(client.get)
        series = dict(line.rsplit(" ", 1) for line in client.get("/metrics").text.splitlines())
    limits = {
        part: float(series[f'nearline_memory_limit_bytes{{part="{part}"}}'])
        for part in ("bodies", "answers", "cache")
    }
    assert limits == {"bodies": 100e6, "answers": 50e6, "cache": 100e6}
    for part in ("bodies", "answers", "cache", "queue"):
        assert float(series[f'nearline_memory_used_bytes{{part="{part}"}}']) == 0.0
