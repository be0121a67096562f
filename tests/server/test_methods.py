"""HEAD, OPTIONS and the methods that a refused request is offered."""

import re
from collections.abc import Iterator

import pytest
from litestar.testing import TestClient
from tests.server.serving import wait_until_ready
from tests.server.test_docs import CONTRACT

from nearline.engine import Recommender
from nearline.server import Gateway, create_app

Client = TestClient[Gateway]
IDS = {
    "item_id": "i1",
    "user_id": "u1",
    "tag": "t1",
    "job_id": "j1",
    "event_id": "e1",
    "snapshot_id": "0" * 16,
    "name": "home",
    "critique_id": "c1",
}
PATHS = sorted({path for _, path in CONTRACT} | {"/"})
# Their answers differ from one request to the next. An export has the lists that were made in
# advance meanwhile, too.
CHANGING = {"/metrics", "/v1/flow", "/v1/users/{user_id}/export"}


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """One client for all paths: each test writes what it reads.

    The clock stands still, for what is popular lately has scores that change with time.
    """
    app = create_app(lambda: Recommender(clock=lambda: 1.7e9))
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_until_ready(client.get)
        yield client


def url_of(path: str) -> str:
    # A stream ends at once.
    path = path.replace("/v1/flow", "/v1/flow?seconds=0")
    return re.sub(r"\{(\w+)\}", lambda found: IDS[found[1]], path)


def methods_of(path: str) -> set[str]:
    found = {verb.upper() for verb, described in CONTRACT if described == path} or {"GET"}
    return found | {"OPTIONS"} | ({"HEAD"} if "GET" in found else set())


@pytest.mark.parametrize("path", PATHS)
def test_head_has_the_status_and_headers_of_get_without_a_body(client: Client, path: str) -> None:
    if "GET" not in methods_of(path):
        assert client.head(url_of(path)).status_code == 405
        return
    client.put("/v1/items/i1", json={"title": "tea"})
    client.post("/v1/events", json={"user_id": "u1", "item_id": "i1"})
    client.get(url_of(path))
    got, head = client.get(url_of(path)), client.head(url_of(path))
    assert head.content == b""
    assert head.status_code == got.status_code
    assert head.headers["content-type"] == got.headers["content-type"]
    if path not in CHANGING:  # the documents of errors contain IDs of equal length
        assert head.headers["content-length"] == str(len(got.content))


@pytest.mark.parametrize("path", PATHS)
def test_allow_lists_all_methods(client: Client, path: str) -> None:
    allowed = methods_of(path)
    asked = client.options(url_of(path))
    assert (asked.status_code, asked.content) == (204, b"")
    assert set(asked.headers["allow"].split(", ")) == allowed
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PURGE"} - allowed:
        refused = client.request(method, url_of(path))
        assert refused.status_code == 405, method
        assert set(refused.headers["allow"].split(", ")) == allowed, method
        assert refused.json()["type"] == "urn:nearline:problem:method-not-allowed"


def test_options_of_an_unknown_path_is_not_found(client: Client) -> None:
    assert client.options("/v2/nothing").status_code == 404
