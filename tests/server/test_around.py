"""Questions around items over HTTP: answers equal those in Python, and bad input is refused."""

from typing import Any

import msgspec
import pytest
from litestar.testing import TestClient

from nearline.server import Gateway

Client = TestClient[Gateway]
SHOP = [
    {"item_id": "sencha", "title": "Green tea", "attributes": {"price": 9}, "categories": ["tea"]},
    {"item_id": "matcha", "title": "Green tea powder", "attributes": {"price": 21}},
    {"item_id": "beans", "title": "Coffee beans", "attributes": {"price": 18}},
    {"item_id": "绿茶", "title": "绿茶 茶叶", "attributes": {"price": 5}},
]


@pytest.fixture
def shop(client: Client) -> Client:
    assert client.post("/v1/items", json=SHOP).status_code == 200
    events = [("ann", "beans"), ("ben", "sencha"), ("cleo", "sencha")]
    for user, item in events:
        event = {"user_id": user, "item_id": item, "context": {"country": "FR"}}
        assert client.post("/v1/events", json=event).status_code == 200
    return client


def get(client: Client, path: str, **query: Any) -> Any:
    answer = client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(found: dict[str, Any]) -> list[str]:
    return [line["item_id"] for line in found["items"]]


def test_answers_equal_those_in_python(shop: Client, app: Gateway) -> None:
    rec = app.host.engine
    questions: list[tuple[str, dict[str, Any], Any]] = [
        ("/v1/search", {"q": "green te", "k": 1}, rec.search("green te", 1)),
        ("/v1/search", {"q": "tea", "filter": "price > 9"}, rec.search("tea", filter="price > 9")),
        ("/v1/search", {"q": "茶", "fields": "price"}, rec.search("茶", fields="price")),
        ("/v1/search", {"q": "tea", "user": "ben"}, rec.search("tea", user="ben")),
        ("/v1/popular", {"k": 2}, rec.popular(2)),
        ("/v1/popular", {"context": "country:FR"}, rec.popular(context={"country": "FR"})),
        ("/v1/trending", {"category": "tea"}, rec.trending(category="tea")),
        (
            "/v1/items/sencha/similar",
            {"relation": "content"},
            rec.similar("sencha", relation="content"),
        ),
        ("/v1/items/sencha/similar", {"user": "ann"}, rec.similar("sencha", user="ann")),
    ]
    for path, query, expected in questions:
        found, plain = get(shop, path, **query)["items"], msgspec.to_builtins(expected)
        assert ids({"items": found}) == ids({"items": plain}), (path, query)
        # Counts of trending items decay while the test runs.
        assert found == (found if path == "/v1/trending" else plain)
        assert found, (path, query)
    people = get(shop, "/v1/items/matcha/audience", k=5)
    assert people == {"users": msgspec.to_builtins(rec.audience("matcha", 5))}
    assert [line["user_id"] for line in people["users"]] == ["ben", "cleo"]


def test_pages_over_http(shop: Client) -> None:
    first = get(shop, "/v1/items", k=3)
    assert ids(first) == ["beans", "matcha", "sencha"]
    assert first["items"][2]["title"] == "Green tea"
    assert "available" not in first["items"][2]
    second = get(shop, "/v1/items", k=3, cursor=first["next"])
    assert (ids(second), second["next"]) == (["绿茶"], None)
    cheap = get(shop, "/v1/items", k=1, filter="price < 10")
    assert ids(cheap) == ["sencha"]
    rest = get(shop, "/v1/items", filter="price < 10", cursor=cheap["next"])
    assert ids(rest) == ["绿茶"]
    shop.put("/v1/users/zoë", json={"attributes": {"age": 3}})
    users = get(shop, "/v1/users", k=3)
    assert [line["user_id"] for line in users["users"]] == ["ann", "ben", "cleo"]
    last = get(shop, "/v1/users", cursor=users["next"])
    assert last == {"users": [{"user_id": "zoë", "attributes": {"age": 3}}], "next": None}


@pytest.mark.parametrize(
    ("url", "field"),
    [
        ("/v1/search", "q"),
        ("/v1/search?q=", "q"),
        ("/v1/search?q=" + "x" * 1_001, "q"),
        ("/v1/search?q=a&k=0", "k"),
        ("/v1/search?q=a&k=1001", "k"),
        ("/v1/search?q=a&k=ten", "k"),
        ("/v1/search?q=a&q=b", "q"),
        ("/v1/search?q=%ff", "query"),
        ("/v1/search?q=a&user=", "user"),
        ("/v1/search?q=a&filter=price+%3C", "filter"),
        ("/v1/search?q=a&text=b", "text"),
        ("/v1/popular?filter=prise+%3C+3", "filter"),
        ("/v1/popular?boost=-1.0", "boost"),
        ("/v1/popular?context=x", "context"),
        ("/v1/trending?k=-1", "k"),
        ("/v1/items?cursor=abc", "cursor"),
        ("/v1/items?cursor=" + "A" * 10_000, "cursor"),
        ("/v1/items?k=0", "k"),
        ("/v1/items?filter=1", "filter"),
        ("/v1/users?cursor=%C3%A9", "cursor"),
        ("/v1/users?filter=true", "filter"),
        ("/v1/items/sencha/similar?relation=liked", "relation"),
        ("/v1/items/sencha/similar?user=", "user"),
        ("/v1/items/sencha/audience?k=0", "k"),
        ("/v1/items/sencha/audience?exclude_seen=maybe", "exclude_seen"),
    ],
)
def test_bad_questions_are_refused(shop: Client, url: str, field: str) -> None:
    refused = shop.get(url)
    assert refused.status_code == 400, refused.text
    assert refused.json()["field"] == field


@pytest.mark.parametrize("path", ["/v1/items/none/audience", "/v1/items/none/similar"])
def test_unknown_items_are_not_found(shop: Client, path: str) -> None:
    assert shop.get(path).status_code == 404
