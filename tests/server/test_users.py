"""Routes of users: attributes beside the history."""

from typing import Any

import pytest
from litestar.testing import TestClient

URL = "/v1/users/new%2F%C3%BC"


def test_attributes_are_put_patched_and_read(client: TestClient[Any]) -> None:
    assert client.get(URL).status_code == 404
    put = client.put(URL, json={"attributes": {"age": 31, "country": "FR"}})
    assert put.status_code == 200
    assert put.json()["accepted"] == 1
    assert client.patch(URL, json={"attributes": {"age": None, "vip": True}}).status_code == 200
    assert client.get(URL).json() == {
        "user_id": "new/ü",
        "history": [],
        "attributes": {"country": "FR", "vip": True},
        "profiling": True,
    }
    erased = client.delete(URL).json()
    assert erased["erased"] == erased["receipt"]["erased"] == 2
    assert erased["receipt"]["nothing_left"] is True
    assert client.get(URL).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"attributes": [1]},
        {"attributes": {"a": {}}},
        {"attributes": {"a": None}},
        {"attributes": {"": 1}},
        {"age": 1},
        {"attributes": {str(n): 1 for n in range(65)}},
    ],
)
def test_bad_attributes_are_refused(client: TestClient[Any], body: dict[str, Any]) -> None:
    answer = client.put(URL, json=body)
    assert answer.status_code == 400
    assert answer.json()["field"]
    assert client.get(URL).status_code == 404


def test_critiques_are_posted_listed_and_revoked(client: TestClient[Any]) -> None:
    for n in range(6):
        item = {"attributes": {"brand": "acme" if n < 4 else "bolt"}}
        assert client.put(f"/v1/items/i{n}", json=item).status_code == 200

    def listed() -> list[str]:
        answer = client.get(f"{URL}/recommendations?k=4").json()
        return [line["item_id"] for line in answer["items"]]

    before = listed()
    assert before == ["i0", "i1", "i2", "i3"]
    less = client.post(f"{URL}/critiques", json={"less_of": {"brand": "acme"}, "lasting": True})
    assert less.status_code == 200
    assert listed() == ["i0", "i1", "i4", "i5"]
    no = client.post(f"{URL}/critiques", json={"not": "i4"})
    assert listed() == ["i0", "i1", "i5"]
    found = client.get(f"{URL}/critiques").json()["critiques"]
    assert [(one["critique_id"], one["lasting"]) for one in found] == [
        (less.json()["critique_id"], True),
        (no.json()["critique_id"], False),
    ]
    assert found[1]["not"] == "i4"
    about = client.get(f"{URL}/explanations/i3").json()["critiques"]
    assert [one["less_of"] for one in about] == [{"brand": "acme"}]
    for one in found:
        assert client.delete(f"{URL}/critiques/{one['critique_id']}").status_code == 200
    assert listed() == before
    assert client.delete(f"{URL}/critiques/{found[0]['critique_id']}").status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "more_like"),
        ({"more_like": "i1", "not": "i2"}, "not"),
        ({"not": "nowhere"}, "not"),
        ({"less_of": {"a": 1, "b": 2}}, "less_of"),
        ({"less_of": {"a": [1]}}, "less_of"),
        ({"more": "i1"}, "more"),
    ],
)
def test_bad_critiques_are_refused(
    client: TestClient[Any], body: dict[str, Any], field: str
) -> None:
    answer = client.post(f"{URL}/critiques", json=body)
    assert answer.status_code == 400
    assert answer.json()["field"].startswith(field)
    assert client.get(f"{URL}/critiques").json() == {"critiques": []}


def test_a_list_that_a_critique_changes_is_not_kept_beyond_it(client: TestClient[Any]) -> None:
    events = [{"user_id": u, "item_id": f"i{n}"} for u in "abc" for n in range(6)]
    client.post("/v1/events", json=[*events, {"user_id": "d", "item_id": "i0"}])
    client.post("/v1/users/d/critiques", json={"not": "i1"})
    url = "/v1/users/d/recommendations?k=3"
    first = client.get(url).json()
    assert "i1" not in [line["item_id"] for line in first["items"]]
    assert client.get(url).json() == first
