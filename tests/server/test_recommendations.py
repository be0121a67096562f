"""Lists, ranking, explanations and users over HTTP."""

from collections.abc import Iterator

import pyarrow as pa
import pytest
from litestar.testing import TestClient
from tests.server.serving import wait_until_ready

from nearline.engine import Recommender
from nearline.server import Gateway, create_app

Client = TestClient[Gateway]
# All users except u5 interacted with "b" after "a"; "c" occurs alone.
PAIRS = [
    *((user, item) for user in ("u1", "u2", "u3") for item in ("a", "b")),
    ("u4", "c"),
    ("u5", "a"),
]


def trained() -> Recommender:
    users, items = zip(*PAIRS, strict=True)
    times = [1.7e9 + n for n in range(len(PAIRS))]
    return Recommender().fit(pa.table({"user_id": users, "item_id": items, "timestamp": times}))


@pytest.fixture(scope="module")
def trained_shop() -> Iterator[Client]:
    """A trained shop for tests that only read."""
    with TestClient(create_app(trained)) as client:
        wait_until_ready(client.get)
        yield client


@pytest.fixture
def shop() -> Iterator[Client]:
    """A trained shop for a test that writes."""
    with TestClient(create_app(trained)) as client:
        wait_until_ready(client.get)
        yield client


def ids(answer: dict[str, list[dict[str, str]]]) -> list[str]:
    return [line["item_id"] for line in answer["items"]]


def test_a_list_for_a_known_user(trained_shop: Client) -> None:
    answer = trained_shop.get("/v1/users/u5/recommendations").json()
    assert set(answer) == {
        *("recommendation_id", "user_id", "items", "tier", "model", "offset", "next"),
        *("rules", "because"),
    }
    assert ids(answer) == ["b", "c"]
    assert (answer["user_id"], answer["offset"]) == ("u5", 8)
    assert answer["model"] != "untrained"
    assert all(set(line) == {"item_id", "score", "tier"} for line in answer["items"])
    assert answer["tier"] == answer["items"][0]["tier"] == "personal"


def test_an_unknown_user_gets_a_list_too(trained_shop: Client) -> None:
    answer = trained_shop.get("/v1/users/nobody/recommendations").json()
    assert set(ids(answer)) == {"a", "b", "c"}
    assert answer["tier"] in {"trending", "popular"}
    assert trained_shop.get("/v1/users/nobody").status_code == 404


def test_an_empty_store_returns_empty_lists(client: Client) -> None:
    answer = client.get("/v1/users/u/recommendations").json()
    assert (answer["items"], answer["model"], answer["offset"]) == ([], "untrained", 0)


def test_query_values(shop: Client) -> None:
    def listed(query: str) -> list[str]:
        return ids(shop.get(f"/v1/users/u5/recommendations?{query}").json())

    assert listed("k=1") == ["b"]
    assert set(listed("exclude_seen=false")) == {"a", "b", "c"}
    assert listed("exclude=b&exclude=x") == ["c"]
    assert listed("exclude=b&exclude=c") == []
    shop.put("/v1/items/c", json={"categories": ["rare toys"]})
    assert listed("category=rare%20toys") == ["c"]
    assert listed("category=") == ["b", "c"]


def test_explanations_are_returned_on_request(trained_shop: Client) -> None:
    answer = trained_shop.get("/v1/users/u5/recommendations?explain=true").json()
    first = answer["items"][0]
    assert first["item_id"] == "b"
    assert {reason["source"] for reason in first["reasons"]} == {"a"}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("k=0", "k"),
        ("k=1001", "k"),
        ("k=ten", "k"),
        ("k=", "k"),
        ("k=1&k=2", "k"),
        ("k=99999999999999999999999", "k"),
        ("exclude_seen=perhaps", "exclude_seen"),
        ("limit=10", "limit"),
        ("K=10", "K"),
        ("category=%ff", "query"),
        ("exclude=", "exclude"),
        ("&".join(["exclude=x"] * 1001), "exclude"),
        ("context=FR", "context"),
        ("context=", "context"),
        ("context=:FR", "context"),
        ("context=land:FR&context=land:DE", "context"),
        ("context=%00:FR", "context"),
        (f"context=land:{'x' * 513}", "context.land"),
        ("&".join(f"context={n}:x" for n in range(65)), "context"),
    ],
)
def test_bad_query_values_are_refused(trained_shop: Client, query: str, field: str) -> None:
    refused = trained_shop.get(f"/v1/users/u5/recommendations?{query}")
    assert (refused.status_code, refused.json()["field"]) == (400, field)


def test_the_error_for_an_unknown_query_parameter_lists_the_allowed_ones(
    trained_shop: Client,
) -> None:
    refused = trained_shop.get("/v1/items/a/similar?limit=3").json()
    known, _, allowed = refused["detail"].partition("; allowed: ")
    assert known == "query parameter 'limit' is unknown"
    assert {"filter", "k"} <= set(allowed.split(", "))
    none = trained_shop.get("/v1/users/u5?verbose=1").json()
    assert none["detail"] == "query parameter 'verbose' is unknown; allowed: none"


def test_a_session_without_an_account(trained_shop: Client) -> None:
    answer = trained_shop.post("/v1/recommendations", json={"history": ["a"], "k": 2}).json()
    assert ids(answer) == ["b", "c"]
    assert (answer["user_id"], answer["tier"]) == (None, "session")
    named = trained_shop.post(
        "/v1/recommendations", json={"user_id": "u4", "history": ["a"], "exclude": ["c"]}
    ).json()
    assert (named["user_id"], ids(named)) == ("u4", ["b"])
    fresh = trained_shop.post("/v1/recommendations", json={"history": []})
    assert set(ids(fresh.json())) == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "history"),
        ({"history": ["a"], "k": 0}, "k"),
        ({"history": ["a"], "k": 2.5}, "k"),
        ({"history": ["a"], "n": 2}, "n"),
        ({"history": [1]}, "history"),
        ({"history": [""]}, "history"),
        ({"history": ["a"] * 1001}, "history"),
        ({"history": [], "exclude": ["a"] * 1001}, "exclude"),
        ({"history": [], "context": "FR"}, "context"),
        ({"history": [], "context": {"": "FR"}}, "context"),
        ({"history": [], "context": {"land": ["FR"]}}, "context"),
        ({"history": [], "context": {"land": None}}, "context"),
        ({"history": [], "context": {"hour": 1e16}}, "context.hour"),
    ],
)
def test_bad_sessions_are_refused(
    trained_shop: Client, body: dict[str, object], field: str
) -> None:
    refused = trained_shop.post("/v1/recommendations", json=body)
    assert (refused.status_code, refused.json()["field"]) == (400, field)


def test_rank_orders_exactly_the_given_items(trained_shop: Client) -> None:
    answer = trained_shop.post(
        "/v1/rank", json={"user_id": "u5", "item_ids": ["new", "c", "b"]}
    ).json()
    assert ids(answer)[0] == "b"
    assert sorted(ids(answer)) == ["b", "c", "new"]
    too_many = trained_shop.post("/v1/rank", json={"user_id": "u5", "item_ids": ["a"] * 10_001})
    assert (too_many.status_code, too_many.json()["field"]) == (400, "item_ids")


def test_the_parts_sum_to_the_score(trained_shop: Client) -> None:
    answer = trained_shop.get("/v1/users/u5/explanations/b").json()
    assert set(answer) == {"user_id", "item_id", "score", "tier", "parts"}
    assert sum(part["amount"] for part in answer["parts"]) == pytest.approx(answer["score"])
    assert {part["source"] for part in answer["parts"]} == {"a"}
    listed = trained_shop.get("/v1/users/u5/recommendations").json()["items"][0]
    assert listed["score"] == pytest.approx(answer["score"])
    assert trained_shop.get("/v1/users/u5/explanations/nothing").status_code == 404


def test_forgetting_a_user(shop: Client) -> None:
    assert shop.get("/v1/users/u5").json()["user_id"] == "u5"
    assert shop.delete("/v1/users/u5").json()["erased"] == 1
    assert shop.get("/v1/users/u5").status_code == 404
    assert shop.delete("/v1/users/u5").json()["erased"] == 0
    assert shop.delete("/v1/users/nobody").json()["erased"] == 0
