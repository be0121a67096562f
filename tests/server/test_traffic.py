"""Overload: limits on requests in flight, a full log, and deadlines."""

import asyncio
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from litestar.testing import TestClient
from tests.server.serving import wait_until_ready
from tests.server.test_recommendations import ids, trained

from nearline.engine import Recommender
from nearline.errors import Overloaded
from nearline.log import Appended
from nearline.server import Gateway, Limits, create_app
from nearline.server.context import CHECKED_AT_ONCE
from nearline.server.traffic import ComputeQueue

Client = TestClient[Gateway]


class Slow(Recommender):
    """An engine whose events become durable when a test releases them."""

    queued: "Future[Appended]"
    asked: threading.Event

    def append_event(self, event: Any) -> "Future[Appended]":
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
        assert engine.asked.wait(120)
        refused = client.get("/v1/users/u/recommendations")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["type"] == "urn:nearline:problem:overloaded"
        assert client.get("/livez").status_code == client.get("/readyz").status_code == 200
        engine.queued.set_result(Appended(1, 0, 1))
        writer.join()
        assert answers == [200]
        assert client.get("/v1/users/u/recommendations").status_code == 200


def test_long_lists_are_refused_while_the_model_has_much_to_learn() -> None:
    """They are stored in a thread, which must not wait, since other requests need it."""
    engine = Recommender()
    learning = engine._current.learning_memory
    engine._current.learning_memory = learning._replace(limit=0)
    events = [{"user_id": f"u{n}", "item_id": "i"} for n in range(CHECKED_AT_ONCE + 1)]
    items = [{"item_id": f"i{n}"} for n in range(CHECKED_AT_ONCE + 1)]
    with TestClient(create_app(lambda: engine, Limits(preload_per_second=0))) as client:
        wait_until_ready(client.get)
        for path, body in [("events", events), ("events", events[0]), ("items", items)]:
            refused = client.post(f"/v1/{path}", json=body)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert "wait to be learned" in refused.json()["detail"]
        assert (engine.n_users, engine.n_items) == (0, 0)
        engine._current.learning_memory = learning
        assert client.post("/v1/events", json=events).json()["accepted"] == len(events)


class Full(Recommender):
    """An engine whose log is full."""

    def append_events(self, events: Any) -> "Future[Appended]":
        raise Overloaded("100,000 records wait to be written; try again in a second")

    def append_event(self, event: Any) -> "Future[Appended]":
        return self.append_events([event])


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
    limits = Limits(preload_per_second=0, wait_seconds=1e9)
    app = create_app(trained, limits, timer=Ticking())
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


async def taken(turns: ComputeQueue, now: list[float], seconds: float) -> None:
    async with turns:
        now[0] += seconds


def test_the_newest_requests_are_refused_if_they_would_wait_too_long() -> None:
    """Lists take a second each, and a request may wait for 2.5 seconds."""
    now = [0.0]

    async def overload() -> list[bool]:
        turns = ComputeQueue(lambda: now[0], wait_seconds=2.5)
        for _ in range(100):  # the moving average is then one second
            await taken(turns, now, 1.0)
        assert turns.expected_wait == 0.0
        arrived, refused, accepted, going = now[0], [], [], asyncio.Event()

        async def held_up() -> None:
            async with turns:
                await going.wait()

        for _ in range(6):
            refused.append(turns.is_too_long(arrived, None))
            # The deadline of 4 seconds is later than the expected turn of all of them.
            assert not turns.is_too_long(arrived, 4_000)
            if not refused[-1]:
                accepted.append(asyncio.create_task(held_up()))
                await asyncio.sleep(0)
        assert turns.is_too_long(arrived, 2_000)
        going.set()
        await asyncio.gather(*accepted)
        assert not turns.is_too_long(now[0], None)
        return refused

    assert asyncio.run(overload()) == [False, False, False, True, True, True]


def test_a_request_that_waited_much_longer_than_expected_is_refused() -> None:
    now = [0.0]
    turns = ComputeQueue(lambda: now[0], wait_seconds=2.0)
    now[0] = 2.9
    assert not turns.has_waited_too_long(0.0, None)
    now[0] = 3.1
    assert turns.has_waited_too_long(0.0, None)
    assert not turns.has_waited_too_long(0.0, 5_000)  # its deadline decides


def test_a_cancelled_request_no_longer_counts_as_waiting() -> None:
    now = [0.0]

    async def cancelled() -> float:
        turns = ComputeQueue(lambda: now[0], wait_seconds=1.0)
        await taken(turns, now, 1.0)
        async with turns:
            waiting = asyncio.create_task(turns.__aenter__())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        return turns.expected_wait

    assert asyncio.run(cancelled()) == 0.0


class SlowLists(Recommender):
    """An engine whose lists take 30 ms."""

    def draft(self, *args: Any, **options: Any) -> Any:
        time.sleep(0.03)
        return super().draft(*args, **options)


def test_under_overload_lists_are_refused_or_degraded_and_later_answered() -> None:
    limits = Limits(preload_per_second=0, wait_seconds=0.1)
    with TestClient(create_app(SlowLists, limits)) as client:
        wait_until_ready(client.get)
        client.post("/v1/events", json={"user_id": "u", "item_id": "i"})
        url = "/v1/users/v/recommendations"
        for _ in range(40):
            assert client.get(url).status_code == 200

        def ask(number: int) -> tuple[int, str]:
            deadline = "?deadline_ms=90" if number % 2 else ""
            answer = client.get(url + deadline)
            return answer.status_code, answer.headers.get("retry-after", "")

        with ThreadPoolExecutor(40) as pool:
            answers = list(pool.map(ask, range(40)))
        assert set(answers[1::2]) == {(200, "")}
        assert set(answers[::2]) == {(200, ""), (503, "1")}
        assert client.get(url).status_code == 200
