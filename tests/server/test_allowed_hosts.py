"""Requests of web pages of other sites are refused by their Host and Origin headers."""

from collections.abc import Iterator

import pytest
from litestar.testing import TestClient

from nearline.engine import Recommender
from nearline.errors import InvalidInput
from nearline.server import create_app
from nearline.server.gateway import Gateway
from nearline.server.middleware.allowed_hosts import allowed_names

EVENT = {"user_id": "u", "item_id": "i"}
LOCAL = [
    "localhost",
    "localhost:8080",
    "LOCALHOST:8080",
    "shop.localhost",
    "127.0.0.1",
    "127.0.0.1:8080",
    "127.1.2.3:80",
    "[::1]",
    "[::1]:8080",
]
FOREIGN = [
    "evil.example",
    "rebound.evil.example:8080",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "10.0.0.1",
    "0.0.0.0:8080",
    "evil.example@127.0.0.1",
    "127.0.0.1:evil",
    "",
    ":8080",
    "[::1",
]


def client(*allow_hosts: str) -> TestClient[Gateway]:
    names = allowed_names("127.0.0.1", allow_hosts)
    return TestClient(create_app(Recommender, allowed_hosts=names))


def ready(http: TestClient[Gateway]) -> TestClient[Gateway]:
    while http.get("/readyz", headers={"host": "localhost"}).status_code != 200:
        pass
    return http


@pytest.fixture(scope="module")
def local() -> Iterator[TestClient[Gateway]]:
    with client() as http:
        yield ready(http)


@pytest.fixture(scope="module")
def shop() -> Iterator[TestClient[Gateway]]:
    with client("shop.example") as http:
        yield ready(http)


@pytest.mark.parametrize("host", LOCAL)
def test_names_of_this_machine_are_allowed(host: str, local: TestClient[Gateway]) -> None:
    assert local.get("/docs", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", FOREIGN)
def test_other_names_are_refused(host: str, local: TestClient[Gateway]) -> None:
    for _ in range(2):
        refused = local.get("/docs", headers={"host": host})
        assert refused.status_code == 403
        assert "--allow-host" in refused.json()["detail"]
    assert local.get("/livez", headers={"host": host}).status_code == 200


def test_a_name_that_was_allowed_is_answered_with_any_port() -> None:
    with client("shop.example") as http:
        for host in ("shop.example", "Shop.Example:8443"):
            assert http.get("/docs", headers={"host": host}).status_code == 200
        assert http.get("/docs", headers={"host": "a.shop.example"}).status_code == 403


def test_an_address_reachable_from_outside_accepts_all_names_unless_some_are_listed() -> None:
    assert allowed_names("0.0.0.0", ()) is None
    assert allowed_names("192.0.2.1", ("shop.example",)) == frozenset({"shop.example"})
    assert allowed_names("::1", ()) == frozenset()


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080", 200),
        ("127.0.0.1:8080", "HTTP://127.0.0.1:8080", 200),
        ("127.0.0.1:8080", "http://127.0.0.1:3000", 403),
        ("127.0.0.1:8080", "http://localhost:8080", 403),
        ("127.0.0.1:8080", "https://evil.example", 403),
        ("127.0.0.1:8080", "null", 403),
        ("127.0.0.1:8080", "", 403),
        ("127.0.0.1:8080", "file://", 403),
        ("127.0.0.1:8080", "https://shop.example", 200),
        ("127.0.0.1:8080", "https://shop.example:8443", 200),
        ("127.0.0.1:8080", "https://shop.example.evil.example", 403),
    ],
)
def test_pages_of_other_origins_are_refused(
    host: str, origin: str, status: int, shop: TestClient[Gateway]
) -> None:
    headers = {"host": host, "origin": origin}
    assert shop.post("/v1/events", json=EVENT, headers=headers).status_code == status
    assert shop.get("/docs", headers=headers).status_code == status


@pytest.mark.parametrize("name", ["http://shop.example", "shop.example:80", "a/b", "", "a b@c"])
def test_invalid_host_names_are_refused_at_the_start(name: str) -> None:
    with pytest.raises(InvalidInput, match="without scheme and port"):
        allowed_names("127.0.0.1", [name])


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded"])
@pytest.mark.parametrize("path", ["/v1/events", "/v1/jobs", "/v1/items", "/v1/rank"])
def test_a_body_without_the_type_of_json_is_refused(
    content_type: str | None, path: str, local: TestClient[Gateway]
) -> None:
    headers = {"host": "localhost"}
    if content_type is not None:
        headers["content-type"] = content_type
    refused = local.post(path, content=b'{"user_id":"a","item_id":"i"}', headers=headers)
    assert refused.status_code == 415
    assert "application/json" in refused.json()["detail"]
