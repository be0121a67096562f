"""Reading your own writes: answers to writes name an offset, and reads can ask for one."""

import pytest
from litestar.testing import TestClient

from nearline.server import Gateway, offsets

Client = TestClient[Gateway]
EVENT = {"user_id": "u1", "item_id": "i1"}
LIST = "/v1/users/u1/recommendations"


def test_answers_to_writes_name_their_offset(client: Client) -> None:
    plain = client.post("/v1/events", json=EVENT)
    routed = client.post("/v1/events?", json=[EVENT] * 101)
    put = client.put("/v1/items/i2", json={"title": "Tea"})
    assert [answer.headers["nearline-offset"] for answer in (plain, routed, put)] == [
        "1",
        "102",
        "103",
    ]
    assert "nearline-offset" not in client.get(LIST).headers
    assert "nearline-offset" not in client.post("/v1/events", json={}).headers


def test_a_read_may_ask_for_an_offset(client: Client) -> None:
    token = client.post("/v1/events", json=EVENT).headers["nearline-offset"]
    for _ in range(2):  # computed, and from the cache
        answer = client.get(LIST, headers={"Nearline-Min-Offset": token})
        assert answer.status_code == 200
        assert answer.json()["offset"] >= int(token)
        client.get(LIST)


def test_an_offset_that_is_not_reached_in_time(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offsets, "WAIT_SECONDS", 0.01)
    answer = client.get(LIST, headers={"Nearline-Min-Offset": "7"})
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["type"] == "urn:nearline:problem:not-there-yet"
    assert "asks for 7" in answer.json()["detail"]


@pytest.mark.parametrize("value", ["", "x", "-1", "1.5", "9" * 19, "²"])
def test_an_invalid_offset_is_refused(client: Client, value: str) -> None:
    answer = client.get(LIST, headers=[(b"Nearline-Min-Offset", value.encode("latin-1"))])
    assert answer.status_code == 400
    assert answer.json()["field"] == "Nearline-Min-Offset"
