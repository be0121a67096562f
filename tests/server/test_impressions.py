"""Lists over HTTP that are shaped: impressions, caps, diversity, pages; and what is refused."""

import io
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from litestar.testing import TestClient
from tests.engine.shop import catalogue, clock, shop
from tests.server.serving import wait_until_ready

import nearline as nl
from nearline.server import create_app

LISTS = "/v1/users/{}/recommendations"


@pytest.fixture
def client() -> Iterator[Any]:
    def opened() -> nl.Recommender:
        items = catalogue().append_column("brand", pa.array([["a"], ["b"], ["a"]] * 3))
        return nl.Recommender(clock=clock).fit(shop(), items=items)

    with TestClient(create_app(opened, log_stream=io.StringIO())) as found:
        wait_until_ready(found.get)
        yield found


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [line["item_id"] for line in answer.json()["items"]]


def test_an_impression_hides_an_item(client: Any) -> None:
    path = LISTS.format("ann")
    query = {"k": 3, "max_shown": '{"times": 1}'}
    first = client.get(path, params=query)
    seen = {"recommendation_id": first.json()["recommendation_id"]}
    assert client.post("/v1/impressions", json=seen).json() == {"accepted": 3}
    second = client.get(path, params=query)  # the same request, which must not be cached
    assert not set(ids(first)) & set(ids(second))
    body = {"history": [], "user_id": "ann", "k": 3, "max_shown": {"times": 1, "days": 2}}
    assert ids(client.post("/v1/recommendations", json=body)) == ids(second)
    batch = {"user_ids": ["ann", "bob"], "k": 3, "max_shown": {"times": 1}}
    rows = client.post("/v1/recommendations:batch", json=batch).json()["items"]
    assert [[i["item_id"] for i in row["items"]] for row in rows] == [ids(second), ids(first)]


def test_pages_over_get_and_post(client: Any) -> None:
    seen: list[str] = []
    query: dict[str, Any] = {"k": 4}
    while True:
        page = client.get(LISTS.format("ann"), params=query)
        seen += ids(page)
        if page.json()["next"] is None:
            break
        query["cursor"] = page.json()["next"]
    assert len(seen) == len(set(seen)) == 9
    refused = client.get(LISTS.format("bob"), params=query)
    assert (refused.status_code, refused.json()["field"]) == (400, "cursor")
    body = {"history": ["tea-1"], "k": 2}
    first = client.post("/v1/recommendations", json=body)
    second = client.post("/v1/recommendations", json=body | {"cursor": first.json()["next"]})
    assert not set(ids(first)) & set(ids(second))


def test_options_in_query_strings(client: Any) -> None:
    path = LISTS.format("shoe1")
    shape = {"diversity": "0.5", "diversity_method": "dpp", "calibration": "0.2", "rotation": "0.1"}
    assert ids(client.get(path, params=shape | {"repeats": "include"}))
    as_json = ids(client.get(path, params={"max_per": '{"categories": 1}'}))
    assert as_json == ids(client.get(path, params={"max_per": "categories:1"}))
    assert len(as_json) < 9


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("diversity=2", "diversity"),
        ("diversity=nan", "diversity"),
        ("diversity=much", "diversity"),
        ("diversity_method=x", "diversity_method"),
        ("calibration=-1", "calibration"),
        ("rotation=1.5", "rotation"),
        ("max_per=2", "max_per"),
        ("max_per={", "max_per"),
        ("max_per={}x", "max_per"),
        ("max_per={%22brand%22:0}", "max_per"),
        ("max_per={%22brand%22:1.5}", "max_per"),
        ("max_per={%22brand%22:[1]}", "max_per"),
        ("max_per=" + "{%22a%22:" * 2_000, "max_per"),
        ("max_shown={%22times%22:0}", "max_shown"),
        ("max_shown=days:3", "max_shown"),
        ("max_shown=times:x", "max_shown"),
        ("cursor=", "cursor"),
        ("cursor=abc", "cursor"),
        ("cursor=" + "A" * 20_000, "cursor"),
    ],
)
def test_wrong_values_are_named(client: Any, query: str, field: str) -> None:
    answer = client.get(f"{LISTS.format('ann')}?{query}")
    assert answer.status_code == 400, answer.text
    problem = answer.json()
    assert problem["field"].split(".")[0] == field
    assert len(problem["detail"]) < 400


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "recommendation_id"),
        ({"recommendation_id": "r"}, "recommendation_id"),
        ({"recommendation_id": "r", "item_ids": ["shoe-1"]}, "user_id"),
        ({"recommendation_id": "r", "item_ids": "shoe-1", "user_id": "u"}, "item_ids"),
        ({"recommendation_id": 3, "user_id": "u"}, "recommendation_id"),
        ({"recommendation_id": "r", "more": 1}, "more"),
    ],
)
def test_wrong_impressions_are_named(client: Any, body: dict[str, Any], field: str) -> None:
    answer = client.post("/v1/impressions", json=body)
    assert (answer.status_code, answer.json()["field"]) == (400, field), answer.text
