"""The catalogue over HTTP: put, get, change, delete, and similar items."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from urllib.parse import quote

import pytest
from litestar.testing import TestClient

from nearline.data import Histories
from nearline.schema import Item
from nearline.server import Gateway
from nearline.state import Added, UsersChanged
from nearline.testing.inspector import inspect

Client = TestClient[Gateway]
TRAIN = {
    "title": "Wooden train",
    "text": "beech",
    "categories": ["toys"],
    "attributes": {"price": 24.9, "colours": ["red", "blue"], "age": 3},
    "vectors": {"image": [0.5, 1.0]},
    "timestamp": "1970-01-02T00:00:00Z",
    "available": True,
    "expires_at": 4e9,
}


def listed(client: Client, user_id: str = "someone", **query: int) -> set[str]:
    answer = client.get(f"/v1/users/{user_id}/recommendations", params={"k": 1000} | query)
    assert answer.status_code == 200
    return {line["item_id"] for line in answer.json()["items"]}


def test_an_entry_is_returned_with_all_fields(client: Client) -> None:
    stored = client.put("/v1/items/i77", json=TRAIN)
    assert stored.json() == {"accepted": 1, "duplicates": 0, "offset": 1}
    found = client.get("/v1/items/i77").json()
    assert found == TRAIN | {"item_id": "i77", "timestamp": 86_400.0}


def test_the_answer_of_get_can_be_put(client: Client) -> None:
    client.put("/v1/items/i77", json=TRAIN)
    entry = client.get("/v1/items/i77").json()
    assert client.put("/v1/items/i77", json=entry).status_code == 200
    assert client.get("/v1/items/i77").json() == entry
    elsewhere = client.put("/v1/items/other", json=entry)
    assert (elsewhere.status_code, elsewhere.json()["field"]) == (400, "item_id")


def test_a_put_resets_fields_that_it_omits(client: Client) -> None:
    client.put("/v1/items/i77", json=TRAIN)
    client.put("/v1/items/i77", json={"title": "Train"})
    entry = client.get("/v1/items/i77").json()
    assert (entry["title"], entry["text"], entry["vectors"]) == ("Train", "", {})


def test_entries_are_stored_atomically(client: Client) -> None:
    entries = [{"item_id": f"i{n}", "title": f"toy {n}"} for n in range(150)]
    assert client.post("/v1/items", json=entries).json()["accepted"] == 150
    assert client.get("/v1/items/i149").json()["title"] == "toy 149"

    bad = [{"item_id": "new"}, {"item_id": "worse", "vectors": {"v": [0.0]}}]
    refused = client.post("/v1/items", json=bad)
    assert refused.status_code == 400
    assert (refused.json()["field"], refused.json()["position"]) == ("vectors.v", 1)
    nameless = client.post("/v1/items", json=[{"title": "x"}])
    assert (nameless.json()["field"], nameless.json()["position"]) == ("item_id", 0)
    assert client.get("/v1/items/new").status_code == 404


def test_a_patch_changes_only_the_given_fields(client: Client) -> None:
    client.put("/v1/items/i77", json=TRAIN)
    client.patch("/v1/items/i77", json={"title": "Tram", "timestamp": 172_800})
    entry = client.get("/v1/items/i77").json()
    assert entry == TRAIN | {"item_id": "i77", "title": "Tram", "timestamp": 172_800.0}
    unknown = client.patch("/v1/items/nothing", json={"title": "x"})
    assert unknown.status_code == 404
    field = client.patch("/v1/items/i77", json={"titel": "x"})
    assert (field.status_code, field.json()["field"]) == (400, "titel")


def test_an_unavailable_item_is_hidden_immediately(client: Client) -> None:
    client.post("/v1/items", json=[{"item_id": "a"}, {"item_id": "b"}])
    assert listed(client) == {"a", "b"}
    client.patch("/v1/items/a", json={"available": False})
    assert listed(client) == {"b"}
    client.patch("/v1/items/a", json={"available": True})
    assert listed(client) == {"a", "b"}


def test_a_deleted_item_is_not_recommended(client: Client) -> None:
    client.post("/v1/items", json=[{"item_id": "a"}, {"item_id": "b"}])
    client.post("/v1/events", json={"user_id": "u", "item_id": "a"})
    assert client.delete("/v1/items/a").json()["accepted"] == 1
    assert listed(client) == {"b"}
    assert listed(client, "u", exclude_seen=False) == {"b"}
    assert client.get("/v1/items/a").status_code == 404
    assert client.delete("/v1/items/never").status_code == 404


def test_similar_items_by_their_texts(client: Client) -> None:
    words = {"a": "wooden train", "b": "wooden train track", "c": "garden hose"}
    client.post("/v1/items", json=[{"item_id": i, "text": text} for i, text in words.items()])
    neighbours = client.get("/v1/items/a/similar", params={"k": 1}).json()["items"]
    assert [line["item_id"] for line in neighbours] == ["b"]
    assert neighbours[0]["score"] > 0
    assert client.get("/v1/items/nothing/similar").status_code == 404


@pytest.mark.parametrize(
    "item_id",
    ["a/b", "..", ".", "%2F", "💥", "a b?c#d", "a+b", "similar", "x" * 512, "a%", "\u202e", "//"],
)
def test_ids_of_any_characters(client: Client, item_id: str) -> None:
    # Dots too, since clients resolve ".." before they send it.
    path = f"/v1/items/{quote(item_id, safe='').replace('.', '%2E')}"
    assert client.put(path, json={"title": item_id[:9]}).status_code == 200
    assert client.get(path).json()["item_id"] == item_id
    assert listed(client) == {item_id}


@pytest.mark.parametrize("path", ["x" * 513, "%ff", "%00", "100%", ""])
def test_invalid_ids_are_refused(client: Client, path: str) -> None:
    refused = client.get(f"/v1/items/{path}")
    assert refused.status_code == 400
    assert refused.json()["field"] in {"item_id", "path"}


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"text": "x" * 100_001}, "text"),
        ({"categories": [""]}, "categories"),
        ({"categories": "toys"}, "categories"),
        ({"attributes": {"a": {"b": 1}}}, "attributes"),
        ({"vectors": {"v": []}}, "vectors.v"),
        ({"vectors": {"v": ["1"]}}, "vectors"),
        ({"timestamp": 1e15}, "timestamp"),
        ({"price": 3}, "price"),
    ],
)
def test_bad_entries_are_refused(client: Client, changed: dict[str, object], field: str) -> None:
    refused = client.put("/v1/items/i77", json=TRAIN | changed)
    assert (refused.status_code, refused.json()["field"]) == (400, field)
    assert client.get("/v1/items/i77").status_code == 404


def test_writes_that_wait_do_not_block_other_requests(client: Client, app: Gateway) -> None:
    """The writer is held up: PUT, PATCH and POST wait for it, and nobody else does."""
    going, reached = Event(), Event()

    class Slow:
        def put_items(self, changed: Sequence[tuple[int, Item | None]]) -> None:
            reached.set()
            assert going.wait(120)

        def add_events(self, added: Added) -> None:
            pass

        def change_users(self, changed: UsersChanged) -> None:
            """Ignore attributes of users."""

        def forget(self, history: Histories) -> None:
            pass

    client.put("/v1/items/a", json={"title": "first"})
    state = inspect(app.host.engine).state
    state.followers = (*state.followers, Slow())
    many = [{"item_id": f"i{n}", "title": f"toy {n}"} for n in range(300)]
    with ThreadPoolExecutor(4) as pool:
        try:
            writes = [pool.submit(client.put, "/v1/items/b", json={"title": "second"})]
            assert reached.wait(120)
            writes += [
                pool.submit(client.patch, "/v1/items/a", json={"title": "third"}),
                pool.submit(client.put, "/v1/items/c", json={"title": "fourth"}),
                pool.submit(client.post, "/v1/items", json=many),
            ]
            for _ in range(20):
                assert client.get("/livez").status_code == 200
                assert client.get("/v1/items/a").json()["title"] == "first"
            assert not any(write.done() for write in writes)
        finally:
            going.set()
        assert [write.result(120).status_code for write in writes] == [200] * 4
    assert client.get("/v1/items/a").json()["title"] == "third"
    assert client.get("/v1/items/i299").status_code == 200
