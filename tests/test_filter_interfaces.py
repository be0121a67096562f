"""Filters, boosts and fields through Python, HTTP and the command line give the same lists."""

from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient
from tests.cli.running import run_json
from tests.server.serving import wait_until_ready

import nearline as nl
from nearline.schema import RecommendationRequest
from nearline.server import Limits, create_app

OPTIONS: dict[str, Any] = {
    "filter": 'price < user.budget && (brand == "own" || context.app)',
    "boost": 'brand == "own" ? 1.5 : 1.0',
    "fields": ["title", "price"],
    "context": {"app": True},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filters") / "store"
    with nl.Recommender(folder) as rec:
        for n in range(8):
            attributes: Any = {"price": 5 * n, "brand": "own" if n % 2 else "x"}
            title = "" if n == 5 else f"tea {n}"
            rec.put_item(f"i{n}", title=title, text="green tea leaves", attributes=attributes)
        rec.observe("u", "i0")
        rec.put_user("u", budget=30)
    return folder


def told(lines: list[dict[str, Any]]) -> list[Any]:
    return [(line["item_id"], line["score"], line["fields"]) for line in lines]


def test_the_same_lists_through_every_interface(store: Path) -> None:
    with nl.Recommender(store) as rec:
        python = [(one.item_id, one.score, one.fields) for one in rec.recommend("u", **OPTIONS)]
        similar = rec.similar("i0", filter="price > 10", boost="price", fields="price")
        ranked = rec.rank("u", ["i1", "i6", "i7"], filter="price < 33", boost="2", fields="price")
        why = rec.explain("u", "i1", boost=OPTIONS["boost"])
    assert {item for item, *_ in python} == {"i1", "i2", "i3", "i4", "i5"}
    assert {item: fields for item, _, fields in python}["i5"] == {"price": 25}
    flags = ["--filter", OPTIONS["filter"], "--boost", OPTIONS["boost"], "--fields", "title,price"]
    context = ["--context", "app=true"]
    found = run_json("recommend", "--store", store, "u", *flags, *context)
    assert told(found["items"]) == python
    flags = ["--filter", "price > 10", "--boost", "price", "--fields", "price"]
    found = run_json("similar", "--store", store, "i0", *flags)
    assert told(found["items"]) == [(one.item_id, one.score, one.fields) for one in similar]
    assert run_json("explain", "--store", store, "u", "i1", "--boost", OPTIONS["boost"]) == {
        "user_id": "u",
        "item_id": "i1",
        "score": why.score,
        "tier": why.tier,
        "parts": [
            {"source": part.source, "relation": part.relation, "amount": part.amount}
            for part in why.parts
        ],
        "factor": 1.5,
    }
    with TestClient(create_app(lambda: nl.Recommender(store), Limits())) as client:
        wait_until_ready(client.get)
        query = {**OPTIONS, "fields": "title,price", "context": "app:true"}
        read = client.get("/v1/users/u/recommendations", params=query)
        assert told(read.json()["items"]) == python
        body = {**OPTIONS, "user_ids": ["u"]}
        batch = client.post("/v1/recommendations:batch", json=body).json()["items"][0]["items"]
        assert told(batch) == python
        near = client.get(
            "/v1/items/i0/similar",
            params={"filter": "price > 10", "boost": "price", "fields": "price"},
        )
        assert told(near.json()["items"]) == [(x.item_id, x.score, x.fields) for x in similar]
        body = {"user_id": "u", "item_ids": ["i1", "i6", "i7"], "filter": "price < 33"}
        lines = client.post("/v1/rank", json={**body, "boost": "2", "fields": ["price"]}).json()
        assert told(lines["items"]) == [(x.item_id, x.score, x.fields) for x in ranked]
        told_why = client.get("/v1/users/u/explanations/i1", params={"boost": OPTIONS["boost"]})
        assert told_why.json()["score"] == why.score


def test_lists_that_depend_on_the_time_are_known(store: Path) -> None:
    with nl.Recommender(store) as rec:
        for text, timed in (("price > 1", False), ("price > 1 && now > 5", True)):
            assert rec.uses_time(RecommendationRequest(filter=text)) == timed
            assert rec.uses_time(RecommendationRequest(boost=f"{text} ? 2 : 1")) == timed
        assert rec.uses_time(RecommendationRequest(filter="days_since(timestamp) < 3"))


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"filter": "prise < 3"}, "filter"),
        ({"filter": "price <"}, "filter"),
        ({"filter": "(" * 2_000}, "filter"),
        ({"boost": "-1"}, "boost"),
        ({"boost": "1 / 0"}, "boost"),
        ({"min_score": "nan"}, "min_score"),
        ({"min_score": "much"}, "min_score"),
        ({"fields": "prise"}, "fields"),
    ],
)
def test_wrong_values_are_refused_by_name(store: Path, query: dict[str, str], field: str) -> None:
    with TestClient(create_app(lambda: nl.Recommender(store), Limits())) as client:
        wait_until_ready(client.get)
        for path in ("/v1/users/u/recommendations", "/v1/items/i0/similar"):
            refused = client.get(path, params=query)
            assert (refused.status_code, refused.json()["field"]) == (400, field)
