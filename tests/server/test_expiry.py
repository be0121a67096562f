"""Items that expire leave every list at that time, cached ones too."""

import io
from collections.abc import Iterator

import pytest
from litestar.testing import TestClient
from tests.server.serving import wait_until_ready
from tests.server.test_cache import hits

from nearline.engine import Recommender
from nearline.server import Gateway, Limits, create_app

Client = TestClient[Gateway]
NOW = [1.6e9]


@pytest.fixture
def client() -> Iterator[Client]:
    NOW[0] = 1.6e9
    app = create_app(
        lambda: Recommender(clock=lambda: NOW[0]),
        Limits(preload_per_second=0),
        log_stream=io.StringIO(),
    )
    with TestClient(app, raise_server_exceptions=False) as test_client:
        wait_until_ready(test_client.get)
        yield test_client


def shown(client: Client, url: str) -> list[str]:
    answer = client.get(url)
    assert answer.status_code == 200, answer.text
    return sorted(line["item_id"] for line in answer.json()["items"])


def test_cached_lists_do_not_outlive_an_expiry(client: Client) -> None:
    tea = {"text": "green tea leaves"}
    client.put("/v1/items/seen", json=tea)
    client.put("/v1/items/stays", json=tea)
    client.put("/v1/items/goes", json={**tea, "expires_at": "2020-09-13T12:26:50Z"})  # 1.6e9 + 10
    client.post("/v1/events", json={"user_id": "u", "item_id": "seen"})
    url = "/v1/users/u/recommendations?k=2"
    assert shown(client, url) == ["goes", "stays"]
    before = hits(client)
    NOW[0] += 9.9
    assert shown(client, url) == ["goes", "stays"]
    assert hits(client) == before + 1
    NOW[0] += 0.1
    assert shown(client, url) == ["stays"]
    assert shown(client, "/v1/items/seen/similar") == ["stays"]
    assert hits(client) == before + 1
    assert client.get("/v1/items/goes").json()["expires_at"] == 1.6e9 + 10
    assert client.get("/v1/items/stays").json()["expires_at"] is None
    assert client.patch("/v1/items/goes", json={"expires_at": None}).status_code == 200
    assert shown(client, url) == ["goes", "stays"]
    assert client.patch("/v1/items/goes", json={"expires_at": 1.5e9}).status_code == 200
    assert shown(client, url) == ["stays"]


@pytest.mark.parametrize("bad", ["soon", -1, 1.7e12, True, {}])
def test_bad_times_store_nothing(client: Client, bad: object) -> None:
    refused = client.put("/v1/items/a", json={"expires_at": bad})
    assert (refused.status_code, refused.json()["field"]) == (400, "expires_at")
    assert client.get("/v1/items/a").status_code == 404
