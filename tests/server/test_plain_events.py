"""Plain events are answered without the framework, byte for byte as by the route."""

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient
from tests.server.serving import wait_until_ready

from nearline.engine import Recommender
from nearline.server import Gateway, create_app
from nearline.server.middleware.plain_events import PATH

EVENT = {"user_id": "u1", "item_id": "i1", "timestamp": 1_600_000_005}
# Equivalent to application/json, but not accepted as plain.
WITH_CHARSET = "application/json; charset=utf-8"
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
def test_plain_and_routed_responses_are_equal(
    clients: list[TestClient[Gateway]], body: bytes
) -> None:
    quick, slow = clients
    for _ in range(2):  # the event IDs of the second round are duplicates
        assert answer_of(quick, body, "application/json") == answer_of(slow, body, WITH_CHARSET)
    for path in ("/v1/users/u1", "/v1/users/u1/recommendations"):
        assert quick.get(path).content == slow.get(path).content


def test_plain_events_bypass_the_framework(
    clients: list[TestClient[Gateway]], monkeypatch: pytest.MonkeyPatch
) -> None:
    routed: list[str] = []
    call = Litestar.__call__

    async def spy(api: Litestar, scope: Any, receive: Any, send: Any) -> None:
        routed.append(scope["path"])
        await call(api, scope, receive, send)

    monkeypatch.setattr(Litestar, "__call__", spy)
    assert clients[0].post("/v1/events", json=EVENT).json()["accepted"] == 1
    assert clients[0].post("/v1/events", json={**EVENT, "user_id": ""}).status_code == 400
    assert routed.count(PATH) == 1  # the invalid event
    metrics = clients[0].get("/metrics").text
    assert 'nearline_requests_total{method="POST",route="/v1/events",status="200"} 1' in metrics


def test_refusal_of_the_log_is_reported(
    apps: list[Gateway], clients: list[TestClient[Gateway]]
) -> None:
    apps[0].host.engine.close()
    answer = clients[0].post("/v1/events", json=EVENT)
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:nearline:problem:closed")
