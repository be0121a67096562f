"""Overload: limits on requests in flight, a full log, and deadlines."""

import asyncio
import threading
from concurrent.futures import Future
from typing import Any

import pytest
from litestar.testing import TestClient
from tests.server.serving import wait_until_ready
from tests.server.test_recommendations import ids, trained

from nearline.engine import Recommender
from nearline.errors import Overloaded
from nearline.log import Appended
from nearline.server import Gateway, Limits, create_app
from nearline.server.traffic import ComputeQueue

Client = TestClient[Gateway]


class Slow(Recommender):
    """An engine whose events become durable when a test releases them."""

    queued: "Future[Appended]"
    asked: threading.Event

    def append_events(self, events: Any) -> "Future[Appended]":
        self.queued = Future()
        self.asked.set()
        return self.queued


def test_requests_above_the_limit_are_refused() -> None:
    engine = Slow()
    engine.asked = threading.Event()
    limits = Limits(in_flight=1, preload_per_second=0)
    with TestClient(create_app(lambda: engine, limits)) as client:
        wait_until_ready(client.get)
        answers: list[int] = []

        def write() -> None:
            event = {"user_id": "u", "item_id": "i"}
            answers.append(client.post("/v1/events", json=event).status_code)

        writer = threading.Thread(target=write)
        writer.start()
        assert engine.asked.wait(30)
        refused = client.get("/v1/users/u/recommendations")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["type"] == "urn:nearline:problem:overloaded"
        assert client.get("/livez").status_code == client.get("/readyz").status_code == 200
        engine.queued.set_result(Appended(1, 0, 1))
        writer.join()
        assert answers == [200]
        assert client.get("/v1/users/u/recommendations").status_code == 200


class Full(Recommender):
    """An engine whose log is full."""

    def append_events(self, events: Any) -> "Future[Appended]":
        raise Overloaded("100,000 records wait to be written; try again in a second")


def test_a_full_log_gives_503() -> None:
    with TestClient(create_app(Full)) as client:
        wait_until_ready(client.get)
        for body in ({"user_id": "u", "item_id": "i"}, [{"user_id": "u", "item_id": "i"}] * 200):
            refused = client.post("/v1/events", json=body)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert "try again" in refused.json()["detail"]


class Ticking:
    """A clock that advances by one second at each call."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture(scope="module")
def late() -> Any:
    """A shop in which every request has waited for a second before its computation."""
    app = create_app(trained, Limits(preload_per_second=0), timer=Ticking())
    with TestClient(app) as client:
        wait_until_ready(client.get)
        yield client


def test_a_request_after_its_deadline_gets_popular_items(late: Client) -> None:
    url = "/v1/users/u5/recommendations"
    assert late.get(url).json()["tier"] == "personal"
    assert late.get(f"{url}?deadline_ms=60000").json()["tier"] == "personal"
    short = late.get(f"{url}?deadline_ms=500")
    assert short.status_code == 200
    assert short.json()["tier"] in ("trending", "popular")
    assert set(ids(short.json())) == {"b", "c"}  # "a" is seen
    assert short.json()["user_id"] == "u5"
    seen = late.get(f"{url}?deadline_ms=500&exclude_seen=false&exclude=b").json()
    assert set(ids(seen)) == {"a", "c"}
    nobody = late.get("/v1/users/nobody/recommendations?deadline_ms=1").json()
    assert set(ids(nobody)) == set("abc")
    assert "nearline_degraded_total 3.0" in late.get("/metrics").text


def test_a_session_after_its_deadline_gets_popular_items(late: Client) -> None:
    body = {"history": ["a"], "k": 2}
    assert late.post("/v1/recommendations", json=body).json()["tier"] == "session"
    short = late.post("/v1/recommendations", json={**body, "deadline_ms": 500}).json()
    assert short["tier"] in ("trending", "popular")
    assert set(ids(short)) == {"b", "c"}


def test_a_list_after_its_deadline_uses_the_context(late: Client) -> None:
    event = {"user_id": "u9", "item_id": "c", "context": {"land": "FR"}}
    late.post("/v1/events", json=event)
    url = "/v1/users/nobody/recommendations?deadline_ms=1&context=land:FR"
    assert late.get(url).json()["tier"] == "context"


def test_disliked_items_are_excluded_after_the_deadline(late: Client) -> None:
    late.post("/v1/events", json={"user_id": "u9", "item_id": "c", "event": "dislike"})
    url = "/v1/users/u9/recommendations?exclude_seen=false&deadline_ms=1"
    assert set(ids(late.get(url).json())) == {"a", "b"}


@pytest.mark.parametrize("deadline", ["0", "-1", "60001", "1.5", "soon", ""])
def test_an_invalid_deadline_is_refused(late: Client, deadline: str) -> None:
    refused = late.get(f"/v1/users/u5/recommendations?deadline_ms={deadline}")
    assert (refused.status_code, refused.json()["field"]) == (400, "deadline_ms")


@pytest.mark.parametrize("deadline", [0, 60_001, 1.5, "1"])
def test_an_invalid_deadline_in_a_body_is_refused(late: Client, deadline: object) -> None:
    body = {"history": ["a"], "deadline_ms": deadline}
    refused = late.post("/v1/recommendations", json=body)
    assert (refused.status_code, refused.json()["field"]) == (400, "deadline_ms")


def test_computations_are_in_order_and_others_run_between_them() -> None:
    order: list[str] = []

    async def take(turns: ComputeQueue, name: str) -> None:
        async with turns:
            order.append(name)

    async def other() -> None:
        order.append("other")

    async def all_at_once() -> None:
        turns = ComputeQueue(Ticking())
        await asyncio.gather(*(take(turns, name) for name in "abc"), other())

    asyncio.run(all_at_once())
    assert order == ["other", "a", "b", "c"]


def test_a_deadline_includes_the_time_of_a_computation() -> None:
    now = [0.0]

    async def takes_a_second() -> ComputeQueue:
        turns = ComputeQueue(lambda: now[0])
        async with turns:
            assert not turns.too_late(0.0, 1)  # no computation was measured yet
            now[0] += 1.0
        return turns

    turns = asyncio.run(takes_a_second())  # the moving average is a tenth of it: 0.1 s
    assert not turns.too_late(1.0, 101)
    assert turns.too_late(1.0, 99)
    assert not turns.too_late(0.0, None)


def test_a_cancelled_place_in_the_queue_is_passed_on() -> None:
    async def give_up() -> bool:
        turns = ComputeQueue(Ticking())
        waiting = asyncio.create_task(turns.__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        async with turns:
            return True

    assert asyncio.run(give_up())
