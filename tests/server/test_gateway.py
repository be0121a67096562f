"""Concerns of every request: IDs, keys, readiness, errors, log lines, metrics."""

import io
import json
import threading
from typing import Any

import pytest
from litestar.testing import TestClient
from tests.server.serving import wait_until_ready

from nearline.engine import Recommender
from nearline.errors import InvalidInput, NotTrained, StoreInUse
from nearline.server import Gateway, Limits, create_app

Client = TestClient[Gateway]
KEY = "correct horse"


def lines(logs: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in logs.getvalue().splitlines()]


@pytest.mark.parametrize("path", ["/livez", "/v1/users/u", "/nowhere", "/v1/items/%ff"])
def test_every_response_has_a_request_id(client: Client, path: str) -> None:
    own = client.get(path).headers["x-request-id"]
    assert len(own) == 32
    echoed = client.get(path, headers={"x-request-id": "trace:17_a.b-c"})
    assert echoed.headers["x-request-id"] == "trace:17_a.b-c"
    if echoed.is_error:
        assert echoed.json()["request_id"] == "trace:17_a.b-c"


@pytest.mark.parametrize("sent", ["", "a b", "x" * 129, 'x"}', "é"])
def test_malformed_request_id_is_replaced(client: Client, sent: str) -> None:
    answer = client.get("/livez", headers={b"x-request-id": sent.encode()})
    assert len(answer.headers["x-request-id"]) == 32


def test_unknown_routes_and_methods(client: Client) -> None:
    for path in ("/v1", "/v1/nothing", "/schema", "/favicon.ico"):
        missing = client.get(path)
        assert (missing.status_code, missing.json()["status"]) == (404, 404)
        assert missing.headers["content-type"] == "application/problem+json"
    wrong = client.get("/v1/events")
    assert wrong.status_code == 405
    assert "POST" in wrong.headers["allow"]
    assert wrong.json()["type"] == "urn:nearline:problem:method-not-allowed"


def test_problem_document_has_no_other_fields(client: Client) -> None:
    problem = client.get("/v1/users/nobody", headers={"x-request-id": "r1"}).json()
    assert problem == {
        "type": "urn:nearline:problem:unknown-user",
        "title": "Not Found",
        "status": 404,
        "detail": problem["detail"],
        "request_id": "r1",
    }
    assert "nobody" in problem["detail"]


def test_request_is_logged_in_one_line_without_user_ids(
    app: Gateway, client: Client, logs: io.StringIO
) -> None:
    client.get("/v1/users/alice%2Fsecret/recommendations?k=3", headers={"x-request-id": "r1"})
    app.log.flush()
    (line,) = [line for line in lines(logs) if line.get("request_id") == "r1"]
    assert line == {
        "ts": line["ts"],
        "level": "info",
        "message": "request",
        "request_id": "r1",
        "method": "GET",
        "route": "/v1/users/{user_id}/recommendations",
        "status": 200,
        "ms": line["ms"],
    }
    client.get("/v1/users/alice/secret/")
    client.get("/v1/nothing/alice")
    app.log.flush()
    assert "alice" not in logs.getvalue()


def test_times_come_from_the_given_clocks() -> None:
    logs, ticks = io.StringIO(), iter([10.0, 10.125, 10.25])
    app = create_app(
        Recommender,
        Limits(preload_per_second=0),
        clock=lambda: 0.5,
        timer=lambda: next(ticks, 11.0),
        new_request_id=lambda: "the-id",
        log_stream=logs,
    )
    with TestClient(app) as client:
        headers = client.get("/livez").headers
    assert headers["x-request-id"] == "the-id"
    assert headers["server-timing"] == "app;dur=125.000"
    (line,) = [line for line in lines(logs) if line["message"] == "request"]
    assert (line["ts"], line["ms"]) == ("1970-01-01T00:00:00.500+00:00", 250.0)


class Broken(Recommender):
    """An engine whose lists raise an unexpected error, and whose ranking needs a model."""

    def draft(self, request: object, within: object = None) -> Any:
        raise ZeroDivisionError("inside: alice's secret")

    def rank(self, user_id: str, item_ids: object, **options: Any) -> Any:
        raise NotTrained("rank needs a model; call fit first")


def test_unexpected_error_is_logged_and_hidden_from_the_client(logs: io.StringIO) -> None:
    with TestClient(create_app(Broken, log_stream=logs)) as client:
        wait_until_ready(client.get)
        failed = client.get("/v1/users/u/recommendations", headers={"x-request-id": "r1"})
        untrained = client.post("/v1/rank", json={"user_id": "u", "item_ids": ["a"]})
    assert failed.status_code == 500
    assert "secret" not in failed.text
    assert "r1" in failed.json()["detail"]
    failure, request = [line for line in lines(logs) if line.get("request_id") == "r1"]
    assert "ZeroDivisionError: inside" in failure["traceback"]
    assert (request["level"], request["status"]) == ("error", 500)
    assert (untrained.status_code, untrained.json()["title"]) == (409, "Conflict")


def test_the_api_key() -> None:
    with TestClient(create_app(Recommender, api_key=KEY)) as client:
        wait_until_ready(client.get)  # open without a key

        def status(**headers: str) -> int:
            return client.get("/v1/users/u/recommendations", headers=headers).status_code

        assert status(authorization=f"Bearer {KEY}") == 200
        assert status(authorization=f"bearer  {KEY} ") == 200
        assert status(**{"x-api-key": KEY}) == 200
        assert status() == 401
        assert status(authorization=f"Basic {KEY}") == 401
        assert status(authorization="Bearer wrong") == 401
        assert status(**{"x-api-key": KEY[:-1]}) == 401
        assert client.get("/livez").status_code == 200
        for path in ("/metrics", "/openapi.json", "/docs", "/nowhere"):
            refused = client.get(path)
            assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
            assert "X-API-Key" in refused.json()["detail"]


@pytest.mark.parametrize("key", ["", "  "])
def test_empty_api_key_is_refused(key: str) -> None:
    with pytest.raises(InvalidInput, match="api_key"):
        create_app(Recommender, api_key=key)


def test_only_health_checks_respond_until_the_store_is_open() -> None:
    may_open = threading.Event()

    def open_engine() -> Recommender:
        may_open.wait()
        return Recommender()

    with TestClient(create_app(open_engine)) as client:
        assert client.get("/livez").json() == {"status": "alive"}
        waiting = client.get("/readyz")
        assert (waiting.status_code, waiting.json()) == (
            503,
            {"status": "the store is being opened"},
        )
        early = client.get("/v1/users/u/recommendations")
        assert (early.status_code, early.headers["retry-after"]) == (503, "1")
        assert early.json()["type"] == "urn:nearline:problem:not-ready"
        assert "nearline_ready 0.0" in client.get("/metrics").text
        may_open.set()
        wait_until_ready(client.get)
        assert client.get("/v1/users/u/recommendations").status_code == 200
        assert "nearline_ready 1.0" in client.get("/metrics").text


def test_store_that_cannot_be_opened(logs: io.StringIO) -> None:
    def open_engine() -> Recommender:
        raise StoreInUse("another process has it open")

    failed = threading.Event()
    app = create_app(open_engine, log_stream=logs)
    app.host.on_failure = failed.set
    with TestClient(app) as client:
        assert failed.wait(120)
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json() == {"status": "the store could not be opened (StoreInUse)"}
    assert isinstance(app.host.failure, StoreInUse)
    assert "another process has it open" in logs.getvalue()


def test_engine_is_closed_at_shutdown(logs: io.StringIO) -> None:
    opened: list[Recommender] = []

    def open_engine() -> Recommender:
        opened.append(Recommender())
        return opened[0]

    app = create_app(open_engine, log_stream=logs)
    with TestClient(app) as client:
        wait_until_ready(client.get)
    assert app.host.state == "the store is closed"
    assert [line["message"] for line in lines(logs)][-1] == "store closed"
    with pytest.raises(RuntimeError, match="closed"):
        opened[0].user("u")


def test_metrics_are_counted_by_route_and_read_from_the_engine(client: Client) -> None:
    events = [{"user_id": "u1", "item_id": i, "event_id": i} for i in ("a", "b", "a")]
    client.post("/v1/events", json=events)
    client.get("/v1/users/u1/recommendations?k=0")
    client.request("BREW", "/v1/users/u1")
    text = client.get("/metrics")
    assert text.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    shown = set(text.text.splitlines())
    assert {
        'nearline_requests_total{method="POST",route="/v1/events",status="200"} 1.0',
        'nearline_requests_total{method="GET",route="/v1/users/{user_id}/recommendations"'
        ',status="400"} 1.0',
        'nearline_request_seconds_count{route="/v1/events"} 1.0',
        "nearline_events_accepted_total 2.0",
        "nearline_events_duplicate_total 1.0",
        "nearline_log_offset 2.0",
        "nearline_users 1.0",
        "nearline_items 2.0",
        'nearline_model_info{id="untrained"} 1.0',
    } <= shown
    assert "BREW" not in text.text
    assert 'method="other"' in text.text


def test_apps_have_separate_metrics(client: Client) -> None:
    client.get("/livez")
    with TestClient(create_app(Recommender)) as other:
        assert 'route="/livez"' not in other.get("/metrics").text


@pytest.mark.parametrize(
    ("seconds", "timing"),
    [
        (0.0, "app;dur=0.000"),
        (0.0000621, "app;dur=0.062"),
        (0.00099999, "app;dur=0.999"),
        (0.001, "app;dur=1.000"),
        (12.3456789, "app;dur=12345.678"),
    ],
)
def test_server_timing_has_milliseconds_truncated_to_the_microsecond(
    seconds: float, timing: str
) -> None:
    ticks = iter([0.0, seconds])
    app = create_app(Recommender, Limits(preload_per_second=0), timer=lambda: next(ticks, seconds))
    with TestClient(app) as client:
        assert client.get("/livez").headers["server-timing"] == timing
