"""What each key may do: every route, with every scope, in every namespace; origins and rates."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar.handlers import HTTPRouteHandler
from litestar.testing import TestClient
from tests.server.serving import wait_until_ready

from nearline.engine import Recommender
from nearline.server import Security, Stores, create_app
from nearline.server.routes import OPERATIONS, V1
from nearline.server.security import PUBLIC, SCOPE
from nearline.trust.grants import OPEN, SCOPES
from nearline.trust.keys import KeyStore
from nearline.trust.tokens import user_token

Client = TestClient[Any]
ORIGIN = "https://shop.example"
ROUTES: list[tuple[HTTPRouteHandler, str]] = [
    *((handler, "") for handler in OPERATIONS),
    *((handler, "/v1") for handler in V1),
]


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_every_route_declares_its_scope() -> None:
    for handler, _ in ROUTES:
        name = handler.handler_name
        assert handler.opt.get(SCOPE) in (*SCOPES, OPEN), f"{name}: opt={{SCOPE: ...}}"
        if handler.opt.get(PUBLIC):
            assert handler.opt[SCOPE] == "read", name


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("keys")
    store = KeyStore(folder)
    made: dict[str, Any] = {scope: store.create([scope], now=1.0).key for scope in SCOPES}
    made["bound"] = store.create(["admin"], now=1.0, namespaces=["a"]).key
    public = store.create(["read"], now=1.0, publishable=True, origins=[ORIGIN])
    return made | {"folder": folder, "public": public.key, "secret": public.token_secret}


@pytest.fixture(scope="module")
def locked(keys: dict[str, Any]) -> Iterator[Client]:
    app = create_app(Recommender, api_key="master", keys=keys["folder"], log_stream=io.StringIO())
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_until_ready(client.get)
        yield client


def bearer(key: str, **more: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}", **more}


def path_of(handler: HTTPRouteHandler, prefix: str) -> str:
    path = next(iter(handler.paths)).replace("/ui/{name:str}", "/ui/app.js")
    for name in ("user_id", "item_id", "name", "job_id", "snapshot_id", "critique_id"):
        path = path.replace(f"{{{name}:str}}", "x")
    for name in ("event_id", "tag"):
        path = path.replace(f"{{{name}:str}}", "x")
    return prefix + path.replace("/flow", "/flow?seconds=0")  # without it, the answer has no end


@pytest.mark.parametrize(("handler", "prefix"), ROUTES, ids=lambda one: getattr(one, "fn", one))
def test_every_route_with_every_scope(
    locked: Client, keys: dict[str, Any], handler: HTTPRouteHandler, prefix: str
) -> None:
    path, needed = path_of(handler, prefix), handler.opt[SCOPE]
    method = next(iter(handler.http_methods))
    statuses = {}
    for sent in (*SCOPES, "none", "wrong", "public", "bound"):
        headers = {} if sent == "none" else bearer(keys.get(sent, "nl_wrong"))
        found = locked.request(method, path, headers=headers)
        statuses[sent] = found.status_code
    if needed == OPEN:
        assert not {401, 403} & set(statuses.values())
        return
    assert statuses["none"] == statuses["wrong"] == 401
    for scope in SCOPES:
        allowed = scope in (needed, "admin")
        assert (statuses[scope] != 403) == allowed, scope
        assert statuses[scope] != 401
    assert statuses["bound"] == 403  # outside of its namespace
    assert statuses["public"] == 403 or handler.opt.get(PUBLIC)
    assert locked.request(method, path, headers=bearer("master")).status_code not in (401, 403)


@pytest.mark.parametrize(
    "path", ["/v1/%75sers/x", "/v1/users/x?k=1", "/v1/users%2Fx", "/v1//users"]
)
def test_other_spellings_of_a_path_open_nothing(
    locked: Client, keys: dict[str, Any], path: str
) -> None:
    assert locked.get(path, headers=bearer(keys["read"])).status_code in (400, 403, 404)


def test_cached_and_plain_answers_need_the_scope_too(locked: Client, keys: dict[str, Any]) -> None:
    event = {"user_id": "u", "item_id": "i"}
    for key, status in ((keys["read"], 403), (keys["events"], 200)):
        assert locked.post("/v1/events", json=event, headers=bearer(key)).status_code == status
    url = "/v1/users/u/recommendations"
    for _ in range(3):
        assert locked.get(url, headers=bearer(keys["read"])).status_code == 200
        assert locked.get(url, headers=bearer(keys["events"])).status_code == 403
        assert locked.get(url, headers={"x-api-key": keys["read"]}).status_code == 200
        assert locked.get(url).status_code == 401


def test_a_publishable_key_reads_for_the_user_of_its_token(
    locked: Client, keys: dict[str, Any]
) -> None:
    token = user_token(keys["secret"], "ann/ü", 4e9)
    mine = bearer(keys["public"], **{"nearline-user-token": token})
    hers = "/v1/users/ann%2F%C3%BC/recommendations"
    assert locked.get(hers, headers=mine).status_code == 200
    assert locked.get(hers, headers=bearer(keys["public"])).status_code == 403
    assert locked.get("/v1/users/bob/recommendations", headers=mine).status_code == 403
    assert locked.get("/v1/users/ann%2F%C3%BC", headers=mine).status_code == 403
    assert locked.get("/v1/popular", headers=bearer(keys["public"])).status_code == 200
    session = {"history": ["i"], "user_id": "bob"}
    assert locked.post("/v1/recommendations", json=session, headers=mine).status_code == 403
    for bad in (token[:-1], user_token(keys["secret"], "ann/ü", 5.0), "x", ""):
        old = bearer(keys["public"], **{"nearline-user-token": bad})
        assert locked.get(hers, headers=old).status_code == 403


def test_pages_of_named_origins_may_use_a_publishable_key(
    locked: Client, keys: dict[str, Any]
) -> None:
    shop = {"origin": ORIGIN}
    answer = locked.get("/v1/popular", headers=bearer(keys["public"], **shop))
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "origin" in answer.headers["vary"].lower()
    preflight = {**shop, "access-control-request-method": "GET"}
    asked = locked.options("/v1/popular", headers=preflight)
    assert asked.status_code < 300
    assert asked.headers["access-control-allow-origin"] == ORIGIN
    assert "authorization" in asked.headers["access-control-allow-headers"]
    other = {"origin": "https://evil.example"}
    assert locked.get("/v1/popular", headers=bearer(keys["public"], **other)).status_code == 403
    assert locked.options("/v1/popular", headers=other).status_code == 403
    secret = locked.get("/v1/popular", headers=bearer(keys["read"], **shop))
    assert secret.status_code == 403
    assert "access-control-allow-origin" not in secret.headers


def test_a_bound_key_reaches_its_namespace_only(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    keys = {
        "a": store.create(["read", "events"], now=1.0, namespaces=["a"]).key,
        "b": store.create(["admin"], now=1.0, namespaces=["b", "c"]).key,
        "all": store.create(["admin"], now=1.0).key,
    }
    stores = Stores(folder=tmp_path, open_store=Recommender)
    app = create_app(None, stores=stores, keys=tmp_path, log_stream=io.StringIO())
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_until_ready(client.get)
        for name in "ab":
            made = client.put(f"/v1/ns/{name}", headers=bearer(keys["all"]))
            assert made.status_code == 200

        def status(key: str, path: str) -> int:
            return client.get(path, headers=bearer(keys[key])).status_code

        popular = "/v1/ns/{}/popular"
        assert [status("a", popular.format(name)) for name in ("a", "b", "%62", "c")] == [
            *(200, 403, 403, 403)
        ]
        assert [status("b", popular.format(name)) for name in ("a", "b", "%62")] == [403, 200, 200]
        assert [status("all", popular.format(name)) for name in "ab"] == [200, 200]
        assert [status(key, "/v1/ns") for key in ("a", "b", "all")] == [403, 403, 200]
        assert status("b", "/v1/ns/b") == 200
        assert status("b", "/v1/ns/a") == 403
        assert client.put("/v1/ns/z", headers=bearer(keys["b"])).status_code == 403
        event = {"user_id": "u", "item_id": "i"}
        for key, name, expected in (("a", "a", 200), ("a", "b", 403)):
            url = f"/v1/ns/{name}/events"
            got = client.post(url, json=event, headers=bearer(keys[key]))
            assert got.status_code == expected
        for _ in range(2):  # computed, then cached
            assert status("a", "/v1/ns/a/users/u/recommendations") == 200
            assert status("b", "/v1/ns/a/users/u/recommendations") == 403


def test_a_server_without_keys_is_open_until_one_is_made(tmp_path: Path) -> None:
    app = create_app(Recommender, keys=tmp_path, log_stream=io.StringIO())
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_until_ready(client.get)
        assert client.get("/v1/popular").status_code == 200
        key = KeyStore(tmp_path).create(["read"], now=1.0).key
        for _ in range(2_000):  # until the server has noticed
            if client.get("/v1/popular").status_code == 401:
                break
        else:
            pytest.fail("the server did not notice the key")
        assert client.get("/v1/popular", headers=bearer(key)).status_code == 200


def test_rates_of_keys_and_addresses(tmp_path: Path) -> None:
    clock = Clock()
    store = KeyStore(tmp_path)
    slow, own = (store.create(["read"], now=1.0, rate=rate).key for rate in (None, 5.0))
    security = Security(key_rate=2.0, address_rate=20.0, burst=1.0)
    app = create_app(
        Recommender, keys=tmp_path, security=security, timer=clock, log_stream=io.StringIO()
    )
    with TestClient(app, raise_server_exceptions=False) as client:
        for _ in range(10_000):
            clock.now += 1.0
            if client.get("/readyz").status_code == 200:
                break
        clock.now += 100.0

        def statuses(key: str, n: int) -> list[int]:
            return [client.get("/v1/popular", headers=bearer(key)).status_code for _ in range(n)]

        assert statuses(slow, 3) == [200, 200, 429]
        assert statuses(own, 6) == [200] * 5 + [429]
        refused = client.get("/v1/popular", headers=bearer(slow))
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["type"] == "urn:nearline:problem:too-many-requests"
        clock.now += 0.5
        assert statuses(slow, 2) == [200, 429]
        assert statuses("nl_guess", 30).count(401) <= 20  # guesses are limited by the address
        assert statuses("nl_guess", 1) == [429]


def test_sec_gpc_means_no_profiling_by_setting() -> None:
    app = create_app(Recommender, security=Security(gpc=True), log_stream=io.StringIO())
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_until_ready(client.get)
        for user, item in (("u", "a"), ("v", "a"), ("v", "b"), ("w", "c"), ("w", "c"), ("x", "c")):
            client.post("/v1/events", json={"user_id": user, "item_id": item})
        gpc = {"sec-gpc": "1"}

        def listed(user: str, headers: dict[str, str]) -> list[Any]:
            found = client.get(f"/v1/users/{user}/recommendations", headers=headers).json()
            return [line["item_id"] for line in found["items"]]

        for _ in range(2):
            mine, stranger = listed("u", {}), listed("nobody", {})
            assert mine != stranger
            assert listed("u", gpc) == stranger
        body = {"history": ["a"]}
        session = client.post("/v1/recommendations", json=body, headers=gpc).json()
        assert [line["item_id"] for line in session["items"]] == stranger


def test_answers_have_security_headers(locked: Client, keys: dict[str, Any]) -> None:
    for path in ("/v1/popular", "/v1/users/u/recommendations", "/v1/nope", "/docs"):
        headers = locked.get(path, headers=bearer(keys["read"])).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
    assert (
        "frame-ancestors 'none'"
        in locked.get("/docs", headers=bearer("master")).headers["content-security-policy"]
    )
