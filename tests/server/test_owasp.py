"""The ten risks of the OWASP API Security Top 10 of 2023, one test or more for each."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar.testing import TestClient
from tests.server.serving import wait_until_ready

from nearline.engine import Recommender
from nearline.server import Limits, Security, create_app
from nearline.server.routes import V1
from nearline.trust.keys import KeyStore
from nearline.trust.tokens import user_token

Client = TestClient[Any]
NOISE = ["'", '"', "<script>", "../../etc/passwd", "%00", "%2e%2e%2f", "\\", "a" * 600, "'; DROP"]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("keys")
    store = KeyStore(folder)
    made: dict[str, Any] = {
        scope: store.create([scope], now=1.0).key for scope in ("read", "events", "admin")
    }
    public = store.create(["read"], now=1.0, publishable=True)
    return made | {"folder": folder, "public": public.key, "secret": public.token_secret}


@pytest.fixture(scope="module")
def logs() -> io.StringIO:
    return io.StringIO()


@pytest.fixture(scope="module")
def api(keys: dict[str, Any], logs: io.StringIO) -> Iterator[Client]:
    limits = Limits(body_bytes=100_000, list_length=50)
    app = create_app(Recommender, limits, keys=keys["folder"], log_stream=logs)
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_until_ready(client.get)
        yield client


def key(name: str, keys: dict[str, Any], **more: str) -> dict[str, str]:
    return {"x-api-key": keys[name], **more}


def test_1_object_level_authorisation(api: Client, keys: dict[str, Any]) -> None:
    token = {"nearline-user-token": user_token(keys["secret"], "ann", 4e9)}
    for path, status in (
        ("/v1/users/ann/recommendations", 200),
        ("/v1/users/bob/recommendations", 403),
        ("/v1/users/Ann/recommendations", 403),
        ("/v1/users/ann%00/recommendations", 403),
        ("/v1/users/ann%2F..%2Fbob/recommendations", 403),
        ("/v1/users/bob/explanations/i", 403),
        ("/v1/users/ann", 403),
        ("/v1/users/ann/export", 403),
        ("/v1/items/i/similar?user=bob", 403),
        ("/v1/search?q=x&user=bob", 403),
    ):
        assert api.get(path, headers=key("public", keys, **token)).status_code == status, path


@pytest.mark.parametrize("sent", ["", "nl_", "Bearer", "null", "nl_" + "0" * 56, "é", "a" * 5_000])
def test_2_broken_authentication(api: Client, sent: str) -> None:
    for header in ("x-api-key", "authorization"):
        value = sent if header == "x-api-key" else f"Bearer {sent}"
        answer = api.get("/v1/popular", headers=httpx.Headers({header: value}, encoding="utf-8"))
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert len(sent) < 10 or sent not in answer.text


def test_3_properties_that_are_not_theirs(api: Client, keys: dict[str, Any]) -> None:
    event = {"user_id": "u", "item_id": "i", "weight": 99, "offset": 0, "type": "deleted"}
    assert api.post("/v1/events", json=event, headers=key("events", keys)).status_code == 400
    item = {"text": "x", "count": 10**9}
    assert api.put("/v1/items/i", json=item, headers=key("admin", keys)).status_code == 400
    consent = {"profiling": True, "user_id": "another", "timestamp": 0}
    url = "/v1/users/u/consent"
    assert api.put(url, json=consent, headers=key("admin", keys)).status_code == 400
    listed = api.get("/v1/items?k=10", headers=key("read", keys)).json()
    assert set(listed) == {"items", "next"}


def test_4_consumption_of_resources(api: Client, keys: dict[str, Any]) -> None:
    big = {"user_id": "u", "item_id": "x" * 200_000}
    assert api.post("/v1/events", json=big, headers=key("events", keys)).status_code == 413
    many = [{"user_id": "u", "item_id": "i"}] * 51
    assert api.post("/v1/events", json=many, headers=key("events", keys)).status_code == 400
    for query in ("k=1001", "k=0", "k=-1", "k=99999999999999999999"):
        url = f"/v1/users/u/recommendations?{query}"
        assert api.get(url, headers=key("read", keys)).status_code == 400
    deep = b"[" * 50_000
    headers = key("events", keys, **{"content-type": "application/json"})
    assert api.post("/v1/events", content=deep, headers=headers).status_code == 400
    long = {"filter": "(" * 20_000}
    url = "/v1/users/u/recommendations"
    assert api.get(url, params=long, headers=key("read", keys)).status_code in (400, 414)


def test_4_rates(tmp_path: Path) -> None:
    security = Security(address_rate=0.001, burst=5_000.0)
    app = create_app(Recommender, security=security, log_stream=io.StringIO())
    with TestClient(app, raise_server_exceptions=False) as client:
        statuses = [client.get("/livez").status_code for _ in range(10)]
        assert statuses == [200] * 5 + [429] * 5


def test_5_function_level_authorisation(api: Client, keys: dict[str, Any]) -> None:
    for method, path in (
        ("POST", "/v1/jobs"),
        ("DELETE", "/v1/users/u"),
        ("GET", "/v1/users"),
        ("POST", "/v1/snapshots:rollback"),
        ("PUT", "/v1/items/i"),
        ("PUT", "/v1/scenarios/s"),
        ("DELETE", "/v1/events/e"),
    ):
        assert api.request(method, path, headers=key("read", keys)).status_code == 403
        other = {"x-http-method-override": "GET", **key("read", keys)}
        assert api.request(method, path, headers=other).status_code == 403


def test_6_business_flows(api: Client, keys: dict[str, Any]) -> None:
    """One user cannot dominate what is popular: an item counts five times at most."""
    headers = key("events", keys)
    for n in range(30):
        event = {"user_id": "spammer", "item_id": "pushed", "event_id": f"s{n}"}
        api.post("/v1/events", json=event, headers=headers)
    for n in range(7):
        event = {"user_id": f"real{n}", "item_id": "liked"}
        api.post("/v1/events", json=event, headers=headers)
    popular = api.get("/v1/popular?k=2", headers=key("read", keys)).json()["items"]
    assert popular[0]["item_id"] == "liked"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "file:///etc/passwd", "//evil.example"])
def test_7_no_request_makes_the_server_fetch_a_url(
    api: Client, keys: dict[str, Any], url: str
) -> None:
    item = {"text": url, "attributes": {"image": url}}
    assert api.put("/v1/items/u", json=item, headers=key("admin", keys)).status_code == 200
    job = {"kind": "train", "model": url}
    assert api.post("/v1/jobs", json=job, headers=key("admin", keys)).status_code == 400


def test_8_configuration(api: Client, keys: dict[str, Any]) -> None:
    answer = api.get("/v1/popular", headers=key("read", keys))
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in answer.headers
    for path in ("/", "/docs", "/openapi.json", "/metrics", "/v1/transparency"):
        assert api.get(path).status_code == 401
    assert api.request("TRACE", "/v1/popular", headers=key("admin", keys)).status_code == 405
    page = api.get("/docs", headers=key("read", keys)).headers["content-security-policy"]
    assert "default-src 'none'" in page
    evil = {"origin": "https://evil.example"}
    assert api.get("/v1/popular", headers=key("admin", keys, **evil)).status_code == 403


def test_9_every_route_is_known(api: Client, keys: dict[str, Any]) -> None:
    document = api.get("/openapi.json", headers=key("read", keys)).json()
    described = sum(len(item) for path, item in document["paths"].items() if "/v1" in path)
    assert described >= len(V1)
    assert not [handler for handler in V1 if handler.include_in_schema is False]
    for path in (
        "/v0/users",
        "/v2/users",
        "/v1/admin",
        "/debug",
        "/.git/config",
        "/v1/users/../jobs",
    ):
        assert api.get(path, headers=key("read", keys)).status_code in (400, 403, 404)


@pytest.mark.parametrize("noise", NOISE)
def test_10_nothing_from_outside_is_trusted(
    api: Client, keys: dict[str, Any], logs: io.StringIO, noise: str
) -> None:
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", f"/v1/users/{noise}/recommendations", {}),
        ("GET", f"/v1/items/{noise}", {}),
        ("DELETE", f"/v1/users/x/tags/{noise}", {}),
        ("GET", "/v1/popular", {"params": {"filter": noise}}),
        ("GET", "/v1/search", {"params": {"q": noise}}),
        ("POST", "/v1/events", {"json": {"user_id": noise, "item_id": noise}}),
        ("PUT", "/v1/users/x/consent", {"json": {"profiling": noise}}),
    ]
    for method, path, more in requests:
        answer = api.request(method, path, headers=key("admin", keys), **more)
        assert answer.status_code < 500, (method, path)
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
    assert not [line for line in logs.getvalue().splitlines() if "traceback" in json.loads(line)]
