"""Plain requests for lists are answered without the framework, byte for byte as by the route."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient
from tests.server.serving import wait_until_ready

from nearline import Event
from nearline.engine import Recommender
from nearline.schema import MAX_K
from nearline.server import Gateway, Limits, create_app

USERS = ("u1", "u-2_~.x", "unknown", "9" * 512)
# Each plain query, and one that is equal but passes the framework.
QUERIES = [
    ("", "exclude_seen=true"),
    ("k=1", "k=1&exclude_seen=true"),
    ("k=7", "k=7&deadline_ms=60000"),
]
REFUSED = ["k=0", "k=-1", f"k={MAX_K + 1}", "k=ten", "k=1&k=2", "size=3", "k=", "k=%31%30x"]
ROUTE = "/v1/users/{user_id}/recommendations"


def make_engine() -> Recommender:
    engine = Recommender(clock=lambda: 1.7e9)
    events = [
        Event(user_id=user, item_id=f"i{(number + shift) % 9}", timestamp=1.69e9 + number)
        for shift, user in enumerate(("u1", "u-2_~.x", "u3"))
        for number in range(6)
    ]
    engine.append_events(events).result()
    engine.fit()
    return engine


def make_app() -> Gateway:
    # Lists that are made ahead would pass the framework, too.
    limits = Limits(preload_per_second=0)
    return create_app(make_engine, limits, log_stream=io.StringIO(), new_request_id=lambda: "id")


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient[Gateway]]:
    with TestClient(make_app(), raise_server_exceptions=False) as client:
        wait_until_ready(client.get)
        yield client


@pytest.fixture
def routed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which each path that the framework handles is added."""
    paths: list[str] = []
    call = Litestar.__call__

    async def spy(api: Litestar, scope: Any, receive: Any, send: Any) -> None:
        paths.append(scope["path"])
        await call(api, scope, receive, send)

    monkeypatch.setattr(Litestar, "__call__", spy)
    return paths


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize(("plain", "equal"), QUERIES)
def test_plain_and_routed_responses_are_equal(
    client: TestClient[Gateway], routed: list[str], user: str, plain: str, equal: str
) -> None:
    path = f"/v1/users/{user}/recommendations"
    quick = client.get(f"{path}?{plain}" if plain else path)
    assert not routed
    slow = client.get(f"{path}?{equal}")
    assert routed == [path]
    assert (quick.status_code, quick.content) == (200, slow.content)
    assert quick.headers.keys() == slow.headers.keys()
    for name in ("content-type", "content-length"):
        assert quick.headers[name] == slow.headers[name]


@pytest.mark.parametrize("query", REFUSED)
def test_invalid_queries_are_refused_by_the_route(client: TestClient[Gateway], query: str) -> None:
    answer = client.get(f"/v1/users/u1/recommendations?{query}")
    assert answer.status_code == 400
    assert answer.json()["type"] == "urn:nearline:problem:invalid-input"


def test_k_beyond_the_limit_is_refused_alike(client: TestClient[Gateway]) -> None:
    path = f"/v1/users/u1/recommendations?k={MAX_K + 1}"
    plain, with_option = client.get(path), client.get(f"{path}&exclude_seen=true")
    assert plain.json() == with_option.json()


def test_encoded_ids_and_other_methods_pass_the_framework(
    client: TestClient[Gateway], routed: list[str]
) -> None:
    assert client.get("/v1/users/u%201/recommendations").json()["user_id"] == "u 1"
    assert client.post("/v1/users/u1/recommendations").status_code == 405
    assert len(routed) == 2


def test_plain_lists_are_counted_and_cached(client: TestClient[Gateway]) -> None:
    def count() -> float:
        line = f'nearline_requests_total{{method="GET",route="{ROUTE}",status="200"}} '
        for text in client.get("/metrics").text.splitlines():
            if text.startswith(line):
                return float(text.removeprefix(line))
        return 0.0

    before = count()
    first = client.get("/v1/users/u3/recommendations?k=3")
    again = client.get("/v1/users/u3/recommendations?k=3")
    assert first.content == again.content
    assert count() == before + 2


def test_closed_engine_is_reported() -> None:
    app = make_app()
    with TestClient(app, raise_server_exceptions=False) as closed:
        wait_until_ready(closed.get)
        app.host.engine.close()
        answer = closed.get("/v1/users/u1/recommendations")
        slow = closed.get("/v1/users/u1/recommendations?exclude_seen=true")
    assert (answer.status_code, answer.json()) == (slow.status_code, slow.json())
