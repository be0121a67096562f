"""`POST /v1/events`: lists are stored atomically and durably, or refused with the reason."""

import pytest
from litestar.testing import TestClient
from tests.server.serving import wait_until_ready

from nearline.engine import Recommender
from nearline.server import Gateway, Limits, create_app

Client = TestClient[Gateway]
EVENT = {"user_id": "u1", "item_id": "i1"}


def history(client: Client, user_id: str) -> list[str]:
    answer = client.get(f"/v1/users/{user_id}")
    return [line["item_id"] for line in answer.json()["history"]] if answer.is_success else []


def test_one_event(client: Client) -> None:
    answer = client.post("/v1/events", json=EVENT)
    assert answer.status_code == 200
    assert answer.json() == {"accepted": 1, "duplicates": 0, "offset": 1}
    assert history(client, "u1") == ["i1"]


def test_a_list_with_every_kind_of_time(client: Client) -> None:
    events = [
        {**EVENT, "item_id": "old", "timestamp": "1970-01-01T00:00:01Z"},
        {**EVENT, "item_id": "mid", "timestamp": 631_152_000.5, "value": 4.5},
        {**EVENT, "item_id": "new", "timestamp": "1990-02-01T00:00:00+01:00", "session_id": "s"},
        {**EVENT, "item_id": "now", "context": {"page": "home", "rank": 3, "ok": True}},
    ]
    assert client.post("/v1/events", json=events).json()["accepted"] == 4
    lines = client.get("/v1/users/u1").json()["history"]
    assert [line["item_id"] for line in lines] == ["now", "new", "mid", "old"]
    assert [line["timestamp"] for line in lines[1:]] == [
        633_826_800.0,
        631_152_000.5,
        1.0,
    ]


def test_events_with_equal_ids_are_stored_once(client: Client) -> None:
    event = {**EVENT, "event_id": "order-17"}
    client.post("/v1/events", json=event)
    again = client.post("/v1/events", json=[event, {**event, "event_id": "order-18"}])
    assert again.json() == {"accepted": 1, "duplicates": 1, "offset": 2}


def test_an_empty_list_stores_nothing(client: Client) -> None:
    answer = client.post("/v1/events", json=[])
    assert answer.json() == {"accepted": 0, "duplicates": 0, "offset": 0}


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"user_id": ""}, "user_id"),
        ({"item_id": "x" * 513}, "item_id"),
        ({"item_id": "a\0b"}, "item_id"),
        ({"event": ""}, "event"),
        ({"event_id": ""}, "event_id"),
        ({"value": 1e16}, "value"),
        ({"timestamp": "1969-12-31T23:59:59Z"}, "timestamp"),
        ({"timestamp": 1e12}, "timestamp"),
        ({"timestamp": 20_210_131}, "timestamp"),
        ({"timestamp": 2021}, "timestamp"),
        ({"timestamp": 44_227.5}, "timestamp"),
        ({"timestamp": 631_151_999}, "timestamp"),
        ({"timestamp": 0}, "timestamp"),
        ({"timestamp": -1}, "timestamp"),
        ({"timestamp": "2999-01-01T00:00:00Z"}, "timestamp"),
        ({"timestamp": "tomorrow"}, "timestamp"),
        ({"context": {"": 1}}, "context"),
        ({"context": {str(n): n for n in range(65)}}, "context"),
        ({"context": {"deep": {"er": 1}}}, "context"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_list_with_one_invalid_event_is_refused(
    client: Client, changed: dict[str, object], field: str
) -> None:
    alone = client.post("/v1/events", json=EVENT | changed)
    assert alone.status_code == 400
    assert alone.headers["content-type"] == "application/problem+json"
    assert alone.json()["field"] == field
    assert "position" not in alone.json()

    listed = client.post("/v1/events", json=[EVENT, EVENT, EVENT | changed])
    assert listed.status_code == 400
    assert (listed.json()["field"], listed.json()["position"]) == (field, 2)
    assert client.get("/v1/users/u1").status_code == 404


def test_all_events_of_a_long_list_are_validated(client: Client) -> None:
    events = [{**EVENT, "item_id": f"i{n}"} for n in range(500)]
    events[321]["event"] = ""
    refused = client.post("/v1/events", json=events)
    assert (refused.status_code, refused.json()["position"]) == (400, 321)
    events[321]["event"] = "view"
    assert client.post("/v1/events", json=events).json()["accepted"] == 500


def test_limits_of_list_and_body() -> None:
    app = create_app(Recommender, Limits(list_length=2, body_bytes=200))
    with TestClient(app) as client:
        wait_until_ready(client.get)
        assert client.post("/v1/events", json=[EVENT] * 2).status_code == 200
        refused = client.post("/v1/events", json=[EVENT] * 3)
        assert (refused.status_code, refused.json()["field"]) == (400, "body")
        large = client.post("/v1/events", json={**EVENT, "session_id": "s" * 200})
        assert (large.status_code, large.json()["status"]) == (413, 413)
        assert "larger than 200 bytes" in large.json()["detail"]


def test_a_body_of_another_type_is_refused(client: Client) -> None:
    form = client.post("/v1/events", data=EVENT)
    assert form.status_code == 415
    assert "application/json" in form.json()["detail"]
    packed = client.post("/v1/events", json=EVENT, headers={"content-encoding": "gzip"})
    assert packed.status_code == 415
    charset = {"content-type": "Application/JSON; charset=utf-8"}
    assert client.post("/v1/events", json=EVENT, headers=charset).status_code == 200
    empty = client.post("/v1/events")
    assert (empty.status_code, empty.json()["field"]) == (400, "body")


def test_one_event_is_deleted(client: Client) -> None:
    for item in ("i1", "i2"):
        client.post("/v1/events", json={**EVENT, "item_id": item, "event_id": f"order/{item}"})
    assert history(client, "u1") == ["i2", "i1"]
    answer = client.delete("/v1/events/order%2Fi1")
    assert (answer.status_code, answer.json()) == (200, {"deleted": 1, "offset": 2})
    assert history(client, "u1") == ["i2"]
    assert client.delete("/v1/events/order%2Fi1").json() == {"deleted": 0, "offset": 2}
