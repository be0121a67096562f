"""`POST /v1/events` past the framework gives byte for byte what the route gives."""

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from litestar.testing import TestClient
from tests.server.serving import wait_until_ready

from nearline.engine import Recommender
from nearline.server import Gateway, create_app, fast_path

EVENT = {"user_id": "u1", "item_id": "i1", "timestamp": 1_600_000_005}
# The same to the standard, but not to the quick way.
SLOWLY = "application/json; charset=utf-8"
BODIES: list[bytes] = [
    json.dumps(body).encode()
    for body in (
        EVENT,
        {**EVENT, "event_id": "e", "value": 2.5, "context": {"page": 3}},
        [EVENT, {**EVENT, "item_id": "ü/%"}],
        [],
        [EVENT] * 101,
        {**EVENT, "user_id": ""},
        {**EVENT, "timestamp": "yesterday"},
        {**EVENT, "colour": "red"},
        {"item_id": "i1"},
        [EVENT, {**EVENT, "item_id": 7}],
        [EVENT, {**EVENT, "event": ""}],
        "event",
    )
] + [b"", b"{", b'{"user_id":"\xff"}', b"[" * 3_000, b'{"value": NaN}', b"  " + b" " * 70_000]


@pytest.fixture
def apps() -> list[Gateway]:
    return [
        create_app(
            lambda: Recommender(clock=lambda: 1.7e9), log_stream=io.StringIO(), new_request_id=str
        )
        for _ in range(2)
    ]


@pytest.fixture
def clients(apps: list[Gateway]) -> Iterator[list[TestClient[Gateway]]]:
    with (
        TestClient(apps[0], raise_server_exceptions=False) as quick,
        TestClient(apps[1], raise_server_exceptions=False) as slow,
    ):
        for client in (quick, slow):
            wait_until_ready(client.get)
        yield [quick, slow]


def answer_of(client: TestClient[Gateway], body: bytes, kind: str) -> tuple[Any, ...]:
    answer = client.post("/v1/events", content=body, headers={"content-type": kind})
    headers = [pair for pair in answer.headers.multi_items() if pair[0] != "server-timing"]
    return answer.status_code, sorted(headers), answer.content


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_both_ways_give_the_same(clients: list[TestClient[Gateway]], body: bytes) -> None:
    quick, slow = clients
    for _ in range(2):  # the second time ids are known
        assert answer_of(quick, body, "application/json") == answer_of(slow, body, SLOWLY)
    for path in ("/v1/users/u1", "/v1/users/u1/recommendations"):
        assert quick.get(path).content == slow.get(path).content


def test_plain_events_pass_the_framework(
    apps: list[Gateway], clients: list[TestClient[Gateway]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    api = apps[0].api

    async def spy(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["path"])
        await api(scope, receive, send)

    monkeypatch.setattr(apps[0], "api", spy)
    assert clients[0].post("/v1/events", json=EVENT).json()["accepted"] == 1
    assert clients[0].post("/v1/events", json={**EVENT, "user_id": ""}).status_code == 400
    # In idle time the server asks for the lists of who was just active, by the same way.
    assert asked.count(fast_path.PATH) == 1
    metrics = clients[0].get("/metrics").text
    assert 'nearline_requests_total{method="POST",route="/v1/events",status="200"} 1' in metrics


def test_what_the_log_refuses_is_told(
    apps: list[Gateway], clients: list[TestClient[Gateway]]
) -> None:
    apps[0].host.engine.close()
    answer = clients[0].post("/v1/events", json=EVENT)
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:nearline:problem:closed")
