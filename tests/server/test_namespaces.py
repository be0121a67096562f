"""Namespaces: several stores in one server, none of which sees another's data."""

import io
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient
from tests.server.serving import wait_until_ready

from nearline.engine import Recommender
from nearline.server import Gateway, Stores, create_app

Client = TestClient[Gateway]


def opened(folder: Path, most_open: int = 2) -> TestClient[Gateway]:
    stores = Stores(folder=folder, open_store=Recommender, most_open=most_open)
    app = create_app(None, stores=stores, log_stream=io.StringIO())
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with opened(tmp_path / "stores") as test_client:
        wait_until_ready(test_client.get)
        yield test_client


def fill(client: Client, name: str) -> None:
    assert client.put(f"/v1/ns/{name}").json() == {"name": name, "open": True, "created": True}
    events = [{"user_id": "u", "item_id": f"{name}-{n}"} for n in range(3)]
    assert client.post(f"/v1/ns/{name}/events", json=events).status_code == 200


def n_open(client: Client) -> int:
    return sum(one["open"] for one in client.get("/v1/ns").json()["namespaces"])


def lists(client: Client, name: str) -> set[str]:
    answer = client.get(f"/v1/ns/{name}/users/someone/recommendations")
    assert answer.status_code == 200, answer.text
    return {line["item_id"] for line in answer.json()["items"]}


def test_no_namespace_sees_the_data_of_another(client: Client, tmp_path: Path) -> None:
    names = ["a", "b", "Shop.2", "d-_"]
    for name in names:
        fill(client, name)
    generator = random.Random(5)
    for _ in range(60):
        name = generator.choice(names)
        assert lists(client, name) == {f"{name}-{n}" for n in range(3)}
        assert n_open(client) <= 2
    found = client.get("/v1/ns").json()["namespaces"]
    assert [one["name"] for one in found] == sorted(names)
    assert sum(one["open"] for one in found) == 2
    assert client.get("/v1/ns/a").json()["name"] == "a"
    assert client.put("/v1/ns/a").json()["created"] is False
    assert sorted(path.name for path in (tmp_path / "stores").iterdir()) == sorted(names)


def test_cached_answers_and_plain_requests_belong_to_their_namespace(client: Client) -> None:
    for name in ("a", "b"):
        client.put(f"/v1/ns/{name}")
        events = [{"user_id": user, "item_id": f"{name}{n}"} for user in "uv" for n in range(3)]
        client.post(
            f"/v1/ns/{name}/events", json=[*events, {"user_id": "w", "item_id": f"{name}0"}]
        )
    for _ in range(3):
        for name in ("a", "b"):
            found = client.get(f"/v1/ns/{name}/users/w/recommendations?k=2").json()["items"]
            assert {line["item_id"][0] for line in found} == {name}
    scenario = client.put("/v1/ns/a/scenarios/home", json={"k": 1})
    assert scenario.status_code == 200
    assert len(client.get("/v1/ns/a/users/w/recommendations?scenario=home").json()["items"]) == 1
    assert client.get("/v1/ns/b/users/w/recommendations?scenario=home").status_code == 404
    assert client.request("DELETE", "/v1/ns/a/users/u").json()["erased"] == 3
    assert client.get("/v1/ns/b/users/u").status_code == 200


def test_a_closed_store_is_opened_again_with_its_data(tmp_path: Path) -> None:
    with opened(tmp_path, 1) as client:
        wait_until_ready(client.get)
        fill(client, "a")
        fill(client, "b")
        assert n_open(client) == 1
        assert lists(client, "a") == {"a-0", "a-1", "a-2"}
    with Recommender(tmp_path / "b") as rec:  # closed with the server
        assert rec.offset == 3


@pytest.mark.parametrize(
    "name",
    [
        *("..", "%2E%2E", "..%2Fx", "a%2Fb", "%00", "a%00", ".hidden", "-x", "x" * 65, "caf%C3%A9"),
        *("a%20b", "x" * 5_000, "%FF", "%", "a%5Cb", "~", "a%0A"),
    ],
)
def test_wrong_names_are_refused_and_create_nothing(
    client: Client, tmp_path: Path, name: str
) -> None:
    for method, path in (("PUT", ""), ("GET", ""), ("GET", "/users/u"), ("POST", "/events")):
        url = f"http://testserver.local/v1/ns/{name}{path}"
        answer = client.request(method, url, json={} if method == "POST" else None)
        assert answer.status_code in (400, 404, 405), (answer.status_code, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    folder = tmp_path / "stores"
    assert not folder.exists() or not list(folder.iterdir())
    assert [path.name for path in tmp_path.iterdir()] in ([], ["stores"])


def test_unknown_namespaces_are_refused(client: Client, tmp_path: Path) -> None:
    fill(client, "shop")
    (tmp_path / "stores" / "empty").mkdir()
    for name in ("shpo", "empty", "Shop"):
        answer = client.get(f"/v1/ns/{name}/users/u/recommendations")
        assert (answer.status_code, answer.json()["type"]) == (
            404,
            "urn:nearline:problem:unknown-namespace",
        )
    assert "did you mean 'shop'" in client.get("/v1/ns/shpo").json()["detail"]
    assert client.put("/v1/ns/SHOP").status_code == 400
    assert client.put("/v1/ns/shop/ns/inner").status_code == 404
    assert client.get("/v1/ns//users/u").status_code == 400
    for path in ("users/u/recommendations", "scenarios", "items/i"):
        assert "/v1/ns/NAME" in client.get(f"/v1/{path}").json()["detail"]


def test_operations_work_without_a_store(client: Client) -> None:
    fill(client, "a")
    lists(client, "a")
    assert client.get("/livez").status_code == 200
    metrics = client.get("/metrics").text
    assert 'route="/v1/ns/{namespace}/events"' in metrics
    assert "/v1/ns/{name}" in client.get("/openapi.json").json()["paths"]


def test_a_server_with_one_store_says_so() -> None:
    with TestClient(create_app(Recommender, log_stream=io.StringIO())) as client:
        wait_until_ready(client.get)
        answers: list[Any] = [client.get("/v1/ns"), client.put("/v1/ns/a"), client.get("/v1/ns/a")]
        for answer in answers:
            assert answer.status_code == 404
            assert "--stores" in answer.json()["detail"]
