"""Lists of many users in one request."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from litestar.testing import TestClient
from tests.server.serving import wait_until_ready
from tests.server.test_recommendations import PAIRS, trained

from nearline.engine import Recommender
from nearline.server import Gateway, Limits, batches, create_app
from nearline.server.batches import BatchTurns
from nearline.server.traffic import Traffic

Client = TestClient[Gateway]
URL = "/v1/recommendations:batch"
USERS = ["u5", "nobody", "u4", "u1", "ü/%"]


def trained_from_pandas() -> Recommender:
    return Recommender().fit(pa.table(columns()).to_pandas())


def columns() -> dict[str, list[Any]]:
    users, items = zip(*PAIRS, strict=True)
    return {
        "user_id": list(users),
        "item_id": list(items),
        "timestamp": [1.7e9 + n for n in range(len(PAIRS))],
    }


@pytest.fixture(scope="module", params=[trained, trained_from_pandas, Recommender])
def shop(request: pytest.FixtureRequest) -> Iterator[Client]:
    app = create_app(request.param, Limits(batch_lines=100, preload_per_second=0))
    with TestClient(app) as client:
        wait_until_ready(client.get)
        yield client


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_a_batch_has_the_same_lists_as_single_requests(shop: Client, exclude_seen: bool) -> None:
    body = {"user_ids": USERS, "k": 3, "exclude_seen": exclude_seen}
    answer = shop.post(URL, json=body)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert [line["user_id"] for line in answer.json()["items"]] == USERS
    query = f"k=3&exclude_seen={str(exclude_seen).lower()}"
    for line in answer.json()["items"]:
        path = f"/v1/users/{line['user_id'].replace('%', '%25').replace('/', '%2F')}"
        alone = shop.get(f"{path}/recommendations?{query}").json()
        assert [entry["item_id"] for entry in line["items"]] == [
            entry["item_id"] for entry in alone["items"]
        ]
        assert [entry["score"] for entry in line["items"]] == pytest.approx(
            [entry["score"] for entry in alone["items"]], rel=1e-5
        )
        assert all(set(entry) == {"item_id", "score"} for entry in line["items"])
        assert (answer.json()["model"], answer.json()["offset"]) == (
            alone["model"],
            alone["offset"],
        )


def test_a_user_who_occurs_twice_gets_two_lists(shop: Client) -> None:
    one, other, again = shop.post(URL, json={"user_ids": ["u5", "u4", "u5"]}).json()["items"]
    assert one == again
    assert other["user_id"] == "u4"
    assert shop.post(URL, json={"user_ids": []}).json()["items"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "user_ids"),
        ({"user_ids": [""]}, "user_ids"),
        ({"user_ids": ["u"], "k": 0}, "k"),
        ({"user_ids": ["u"], "k": 1001}, "k"),
        ({"user_ids": ["u"] * 11}, "user_ids"),
        ({"user_ids": ["u"] * 2, "k": 51}, "user_ids"),
        ({"user_ids": ["u"], "n": 2}, "n"),
    ],
)
def test_bad_batches_are_refused(shop: Client, body: dict[str, object], field: str) -> None:
    refused = shop.post(URL, json=body)
    assert (refused.status_code, refused.json()["field"]) == (400, field)
    assert shop.post("/v1/recommendations%3Abatch", json=body).status_code == 400


class Gated(Recommender):
    """An engine whose batches end when a test releases them."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.gate = threading.Event(), threading.Event()

    def recommend_lists(self, *args: Any, **options: Any) -> Any:
        self.entered.set()
        assert self.gate.wait(120)
        return super().recommend_lists(*args, **options)


def test_other_requests_are_answered_during_a_batch() -> None:
    engine = Gated()
    with TestClient(create_app(lambda: engine)) as client:
        wait_until_ready(client.get)
        answers: list[Any] = []
        body = {"user_ids": ["u"]}
        asking = threading.Thread(target=lambda: answers.append(client.post(URL, json=body)))
        asking.start()
        assert engine.entered.wait(120)
        event = client.post("/v1/events", json={"user_id": "u", "item_id": "a"})
        assert event.json()["offset"] == 1
        assert client.get("/v1/users/u").json()["history"][0]["item_id"] == "a"
        assert not answers
        engine.gate.set()
        asking.join()
        # The lists reflect all records before the offset.
        assert answers[0].json()["offset"] == 0


def test_a_batch_yields_after_each_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """After each block of users and after each piece that was encoded; the answer is the same."""
    monkeypatch.setattr(batches, "BLOCK_USERS", 2)
    monkeypatch.setattr(batches, "PIECE_ITEMS", 3)
    calls: list[str] = []
    monkeypatch.setattr(BatchTurns, "give_way", lambda self: calls.append("piece"))
    body = {"user_ids": USERS, "k": 3}
    with TestClient(create_app(trained, Limits(preload_per_second=0))) as client:
        wait_until_ready(client.get)
        pieces = client.post(URL, json=body)
        assert pieces.status_code == 200
        # Five users in blocks of two, and lists of three items one by one.
        assert len(calls) == 3 + 5
        monkeypatch.undo()
        assert client.post(URL, json=body).content == pieces.content


class Sleeps:
    """A clock that only sleeping advances; after `busy` sleeps, a request has been answered."""

    def __init__(self, traffic: Traffic, busy: int) -> None:
        self.now, self.count = 0.0, 0
        self.traffic, self.busy = traffic, busy

    def timer(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.count += 1
        if self.count == self.busy:
            self.traffic.in_flight -= 1


@pytest.mark.parametrize(
    ("others", "busy", "sleeps"),
    [
        (0, 0, 0),  # no request waits
        (1, 3, 3),  # until the request is answered
        (1, 1_000, 20),  # at most twice as long as the piece took
    ],
)
def test_a_batch_waits_for_other_requests(others: int, busy: int, sleeps: int) -> None:
    traffic = Traffic(100)
    clock = Sleeps(traffic, busy)
    turns = BatchTurns(traffic, clock.timer, clock.sleep)

    async def work() -> None:
        async with turns:
            traffic.in_flight = 1 + others
            clock.now += 0.0101
            turns.give_way()

    asyncio.run(work())
    assert clock.count == pytest.approx(sleeps, abs=1 if busy == 1_000 else 0)


def test_waiting_batches_are_not_other_requests() -> None:
    traffic = Traffic(100)
    clock = Sleeps(traffic, 1_000)
    turns = BatchTurns(traffic, clock.timer, clock.sleep)

    async def work() -> None:
        async with turns:
            waiting = asyncio.create_task(turns.__aenter__())
            await asyncio.sleep(0)
            traffic.in_flight = 2
            clock.now += 1.0
            turns.give_way()
        await waiting

    asyncio.run(work())
    assert clock.count == 0
