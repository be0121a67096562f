"""Large answers are sent as fast as clients read them, within a budget."""

import asyncio
import json
from typing import Any

import pytest

from nearline import Recommender
from nearline.errors import Overloaded
from nearline.server import Gateway, Limits, create_app
from nearline.server.exchange import PART_BYTES, Exchange, LargeAnswers

N_ITEMS = 300
BATCH = json.dumps({"user_ids": [f"u{n}" for n in range(10)], "k": N_ITEMS}).encode()


def shop() -> Recommender:
    """A shop whose batches of 10 users take more than a megabyte."""
    rec = Recommender()
    for n in range(N_ITEMS):
        rec.put_item(f"{n:03}-{'x' * 400}", text="tea")
    return rec


def test_the_budget() -> None:
    budget = LargeAnswers(100)
    budget.reserve(150)  # the only one
    with pytest.raises(Overloaded, match="hold 150 bytes, and the limit is 100"):
        budget.reserve(1)
    budget.release(150)
    budget.reserve(60)
    budget.reserve(40)
    with pytest.raises(Overloaded):
        budget.reserve(1)
    assert budget.held == 100
    with pytest.raises(Overloaded):
        budget.check()
    budget.release(40)
    budget.check()


@pytest.mark.parametrize("size", [0, 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES + 7])
def test_a_large_body_is_sent_in_parts(size: int) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError

    budget = LargeAnswers(10**9)
    exchange = Exchange("r", "GET", b"/", {}, 0.0, lambda: 0.0, receive, send, budget)
    body = bytes(n % 251 for n in range(size))
    headers = [(b"content-length", str(size).encode())]

    async def answer() -> None:
        await exchange.send({"type": "http.response.start", "status": 200, "headers": headers})
        await exchange.send({"type": "http.response.body", "body": body, "more_body": False})

    asyncio.run(answer())
    parts = sent[1:]
    assert b"".join(part["body"] for part in parts) == body
    assert all(len(part["body"]) <= PART_BYTES for part in parts)
    assert [part["more_body"] for part in parts] == [True] * (len(parts) - 1) + [False]
    assert budget.held == (size if size > PART_BYTES else 0)
    exchange.release()
    exchange.release()
    assert budget.held == 0


class Reader:
    """A client that reads the first part of an answer, and the rest when it is told to."""

    def __init__(self, app: Gateway) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.going = asyncio.Event()
        self.began = asyncio.Event()
        self._request = [{"type": "http.request", "body": BATCH, "more_body": False}]
        path = "/v1/recommendations:batch"
        scope: Any = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [
                (b"host", b"localhost"),
                (b"content-type", b"application/json"),
                (b"content-length", str(len(BATCH)).encode()),
            ],
            "server": ("localhost", 80),
            "client": ("127.0.0.1", 1),
        }
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def _receive(self) -> Any:
        if self._request:
            return self._request.pop()
        return await asyncio.Future()

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
            return
        self.body += message["body"]
        self.began.set()
        await self.going.wait()


def test_answers_that_nobody_reads_are_bounded_and_later_ones_are_answered() -> None:
    async def many() -> None:
        limits = Limits(preload_per_second=0, answers_bytes=3_000_000)
        app = create_app(shop, limits)
        async with app.api.lifespan():
            while app.host.state != "ready":
                await asyncio.sleep(0.01)
            readers = [Reader(app) for _ in range(5)]
            await asyncio.gather(*(reader.began.wait() for reader in readers))
            by_status = {code: [r for r in readers if r.status == code] for code in (200, 503)}
            assert (len(by_status[200]), len(by_status[503])) == (2, 3)
            size = int(by_status[200][0].headers[b"content-length"])
            assert size > 1_200_000
            for reader in by_status[200]:
                assert len(reader.body) == PART_BYTES  # the rest waits for the client
            for reader in by_status[503]:
                assert reader.headers[b"retry-after"] == b"1"
                assert json.loads(reader.body)["type"] == "urn:nearline:problem:overloaded"
            assert app.context.large_answers.held == 2 * size
            for reader in readers:
                reader.going.set()
            await asyncio.gather(*(reader.task for reader in readers))
            assert app.context.large_answers.held == 0
            for reader in by_status[200]:
                lists = json.loads(reader.body)["items"]
                assert [len(one["items"]) for one in lists] == [N_ITEMS] * 10
            # A client that goes away frees its part of the budget too.
            gone = Reader(app)
            await gone.began.wait()
            assert app.context.large_answers.held == size
            gone.task.cancel()
            await asyncio.gather(gone.task, return_exceptions=True)
            assert app.context.large_answers.held == 0

    asyncio.run(many())
