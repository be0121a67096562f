"""Requests made from the OpenAPI document, with every state of authentication.

`schemathesis` makes valid and invalid requests for each operation. A key that is missing, wrong,
expired, revoked or of another namespace opens nothing, a scope opens its own operations, and no
request of any of them makes an internal error.
"""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar.testing import TestClient
from tests.server.serving import wait_until_ready

from nearline.engine import Recommender
from nearline.server import create_app
from nearline.server.routes import OPERATIONS, V1
from nearline.server.routes.snapshots import PROMOTE
from nearline.server.security import PUBLIC, SCOPE
from nearline.trust.grants import OPEN, SCOPES
from nearline.trust.keys import KeyStore

schemathesis = pytest.importorskip("schemathesis")

NOW, EXAMPLES = 1_000.0, 4
NO_KEY, REFUSED = "none", ("none", "wrong", "expired", "revoked")
STATES = (*REFUSED, *SCOPES, "elsewhere", "publishable")
# These have no end, or end the work of others.
LEFT_OUT = ("/flow",)


def needed_scopes() -> dict[tuple[str, str], tuple[str, bool]]:
    """Return the scope of each operation, and whether publishable keys may call it."""
    found: dict[tuple[str, str], tuple[str, bool]] = {}
    for prefix, handlers in (("", OPERATIONS), ("/v1", V1)):
        for handler in handlers:
            for path in handler.paths:
                plain = (prefix + path).replace(":str}", "}")
                for method in handler.http_methods:
                    opt = handler.opt
                    found[str(method), plain] = (opt[SCOPE], bool(opt.get(PUBLIC)))
    return found


NEEDED = needed_scopes()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("keys")
    store = KeyStore(folder)
    made = {scope: store.create([scope], now=1.0).key for scope in SCOPES}
    made["elsewhere"] = store.create(["admin"], now=1.0, namespaces=["a"]).key
    made["publishable"] = store.create(
        ["read"], now=1.0, publishable=True, origins=["https://shop.example"]
    ).key
    made["expired"] = store.create(["admin"], now=1.0, expires=NOW - 1).key
    revoked = store.create(["admin"], now=1.0)
    store.revoke(revoked.id, now=2.0)
    return made | {"revoked": revoked.key, "wrong": "nl_wrong", "folder": folder}


@pytest.fixture(scope="module")
def client(keys: dict[str, Any]) -> Iterator[TestClient[Any]]:
    app = create_app(
        lambda: Recommender(clock=lambda: NOW), keys=keys["folder"], log_stream=io.StringIO()
    )
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_until_ready(client.get)
        yield client


@pytest.fixture(scope="module")
def operations(client: TestClient[Any], keys: dict[str, Any]) -> list[Any]:
    headers = {"authorization": f"Bearer {keys['admin']}"}
    document = client.get("/openapi.json", headers=headers).json()
    schema = schemathesis.openapi.from_dict(document)
    found = [one.ok() for one in schema.get_all_operations()]
    return [one for one in found if not one.path.endswith(LEFT_OUT)]


@pytest.mark.parametrize("state", STATES)
def test_generated_requests(
    client: TestClient[Any], keys: dict[str, Any], operations: list[Any], state: str
) -> None:
    assert len(operations) > 40

    @settings(
        max_examples=EXAMPLES * len(operations) // 4,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def ask(data: st.DataObject) -> None:
        operation = data.draw(st.sampled_from(operations))
        case = data.draw(operation.as_strategy())
        check(client, keys, state, operation, case)

    ask()


def check(
    client: TestClient[Any], keys: dict[str, Any], state: str, operation: Any, case: Any
) -> None:
    """Send one request, and compare its status with what the state allows."""
    given_ = case.as_transport_kwargs(base_url="http://testserver")
    headers = {
        name: value
        for name, value in dict(given_.pop("headers", None) or {}).items()
        if name.lower() not in ("authorization", "x-api-key", "user-agent", "host")
    }
    if state != NO_KEY:
        headers["authorization"] = f"Bearer {keys[state]}"
    options = {
        name: given_[name] for name in ("params", "json", "data", "content") if name in given_
    }
    status = client.request(given_["method"], given_["url"], headers=headers, **options).status_code
    name = f"{state}: {operation.method.upper()} {given_['url']} gave {status}"
    assert status < 500 or status == 503, name
    # The verb is a part of the last segment, which the handler of the path takes.
    path = operation.path.removesuffix(PROMOTE)
    needed, public = NEEDED[operation.method.upper(), path]
    if needed == OPEN:
        assert status not in (401, 403), name
    elif state in REFUSED:
        assert status in (400, 401, 404, 405), name
        assert status != 200, name
    elif state == "elsewhere":
        assert status in (400, 403, 404, 405), name
    elif state == "publishable":
        assert status in (400, 403, 404, 405) or public, name
    elif state in (needed, "admin"):
        assert status not in (401, 403), name
    else:
        assert status in (400, 403, 404, 405), name
