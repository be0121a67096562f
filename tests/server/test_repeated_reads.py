"""Repeated requests for cached lists: what can change is checked each time."""

import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient
from tests.server.serving import wait_until_ready
from tests.server.test_recommendations import trained

from nearline.server import Gateway, Limits, create_app
from nearline.server.flow import Flow
from nearline.server.middleware import repeated_reads
from nearline.server.middleware.cached_answers import LISTS
from nearline.server.security import Security
from nearline.trust.keys import KeyStore

QUIET = Limits(preload_per_second=0)
LIST = "/v1/users/u5/recommendations?k=1"
NOW = 1_800_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, str]:
    store = KeyStore(tmp_path)
    made = {
        "read": store.create(["read"], now=NOW),
        "events": store.create(["events"], now=NOW),
        "elsewhere": store.create(["read"], now=NOW, namespaces=["a"]),
        "short": store.create(["read"], now=NOW, expires=NOW + 60),
        "slow": store.create(["read"], now=NOW, rate=5),
    }
    return {name: new.key for name, new in made.items()}


@pytest.fixture
def status(keys: dict[str, str], tmp_path: Path, clock: Clock) -> Iterator[Callable[[str], int]]:
    """A function that asks for a list with a key, and returns the status."""
    with TestClient(keyed(tmp_path, clock)) as client:
        wait_until_ready(client.get)

        def ask(name: str) -> int:
            headers = {"x-api-key": keys.get(name, name)}
            return client.get(LIST, headers=headers).status_code

        yield ask


def test_a_key_that_expires_stops_repeated_requests(
    status: Callable[[str], int], clock: Clock
) -> None:
    assert [status("short") for _ in range(4)] == [200] * 4
    clock.now += 61
    assert status("short") == 401


def test_keys_of_other_scopes_and_namespaces_read_no_cached_list(
    status: Callable[[str], int],
) -> None:
    for _ in range(3):
        assert status("read") == 200
        assert [status(name) for name in ("events", "elsewhere", "wrong")] == [403, 403, 401]


def test_the_rate_of_a_key_holds_for_repeated_requests(
    status: Callable[[str], int], clock: Clock
) -> None:
    assert [status("slow") for _ in range(7)] == [200] * 5 + [429] * 2
    clock.now += 1
    assert [status("slow") for _ in range(6)] == [200] * 5 + [429]


def keyed(folder: Path, clock: Clock) -> Gateway:
    clocks: Any = {"clock": clock, "timer": lambda: clock.now - NOW}
    return create_app(trained, QUIET, keys=folder, **clocks, log_stream=io.StringIO())


def wait_for_status(ask: Callable[[], int], wanted: int) -> None:
    for _ in range(600):
        if ask() == wanted:
            return
        time.sleep(0.02)
    raise AssertionError(f"the status did not become {wanted}")


def test_a_revoked_key_stops_repeated_requests_and_is_dropped(tmp_path: Path, clock: Clock) -> None:
    store = KeyStore(tmp_path)
    ended, valid = (store.create(["read"], now=NOW) for _ in range(2))
    app = keyed(tmp_path, clock)
    with TestClient(app) as client:
        wait_until_ready(client.get)

        def ask(key: str) -> int:
            return client.get(LIST, headers={"x-api-key": key}).status_code

        assert [ask(key.key) for key in (ended, valid) * 2] == [200] * 4
        assert holds(app, ended.key)
        store.revoke(ended.id, now=NOW)
        wait_for_status(lambda: ask(ended.key), 401)
        assert not holds(app, ended.key)
        assert [ask(valid.key) for _ in range(2)] == [200] * 2
        assert holds(app, valid.key)


def holds(app: Gateway, key: str) -> bool:
    """Return whether the middleware remembers headers with a key."""
    reads = app._http
    assert isinstance(reads, repeated_reads.RepeatedReads)
    return any(key.encode() in value for headers in reads._readers for _, value in headers)


def test_the_first_key_that_is_made_closes_an_open_server(tmp_path: Path, clock: Clock) -> None:
    with TestClient(keyed(tmp_path, clock)) as client:
        wait_until_ready(client.get)
        assert [client.get(LIST).status_code for _ in range(3)] == [200] * 3
        KeyStore(tmp_path).create(["read"], now=NOW)
        wait_for_status(lambda: client.get(LIST).status_code, 401)


def test_headers_with_other_keys_are_not_remembered(
    keys: dict[str, str], tmp_path: Path, clock: Clock
) -> None:
    app = keyed(tmp_path, clock)
    with TestClient(app) as client:
        wait_until_ready(client.get)
        for name in ("read", "events", "elsewhere", "wrong"):
            for _ in range(2):
                client.get(LIST, headers={"x-api-key": keys.get(name, name)})
    assert holds(app, keys["read"])
    assert not any(holds(app, keys.get(name, name)) for name in ("events", "elsewhere", "wrong"))


def test_the_last_use_of_repeated_requests_is_recorded(
    keys: dict[str, str], tmp_path: Path, clock: Clock
) -> None:
    with TestClient(keyed(tmp_path, clock)) as client:
        wait_until_ready(client.get)
        for _ in range(4):
            clock.now += 10
            assert client.get(LIST, headers={"x-api-key": keys["read"]}).status_code == 200
    used = {key.last_used for key in KeyStore(tmp_path).listed(clock.now)}
    assert used == {None, NOW + 40}


@pytest.fixture
def app() -> Gateway:
    return create_app(trained, QUIET, allowed_hosts=frozenset(), log_stream=io.StringIO())


@pytest.fixture
def plain(app: Gateway) -> Iterator[TestClient[Gateway]]:
    with TestClient(app, base_url="http://127.0.0.1") as client:
        wait_until_ready(client.get)
        yield client


def test_other_headers_are_checked_after_repeated_requests(plain: TestClient[Gateway]) -> None:
    assert [plain.get(LIST).status_code for _ in range(3)] == [200] * 3
    assert plain.get(LIST, headers={"host": "evil.example"}).status_code == 403
    assert plain.get(LIST, headers={"origin": "https://evil.example"}).status_code == 403
    assert plain.get(LIST, headers={"x-request-id": "mine"}).headers["x-request-id"] == "mine"
    assert plain.get(LIST, headers={"nearline-min-offset": "x"}).status_code == 400
    assert plain.get(LIST).status_code == 200


def test_the_memory_of_headers_is_bounded(
    app: Gateway, plain: TestClient[Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeated_reads, "MAX_REMEMBERED", 3)
    for n in range(10):
        assert plain.get(LIST, headers={"x-number": str(n)}).status_code == 200
    assert plain.get(LIST, headers={"x-long": "y" * 3_000}).status_code == 200
    reads = app._http
    assert isinstance(reads, repeated_reads.RepeatedReads)
    assert 1 <= len(reads._readers) <= 3
    assert all(sum(map(len, pair)) < 3_000 for headers in reads._readers for pair in headers)


def test_rates_of_addresses_leave_all_requests_to_the_middlewares() -> None:
    app = create_app(trained, QUIET, security=Security(address_rate=1.0), log_stream=io.StringIO())
    with TestClient(app) as client:
        wait_until_ready(client.get)
        assert 429 in [client.get(LIST).status_code for _ in range(5)]


def test_viewers_see_cached_lists(
    app: Gateway, plain: TestClient[Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bytes, str, int]] = []
    monkeypatch.setattr(Flow, "note_answer", lambda _, *noted: seen.append(noted[:3]))
    monkeypatch.setattr(app.context.flow, "viewers", 1)
    before = app.context.cache.hits[False]
    assert [plain.get(LIST).status_code for _ in range(3)] == [200] * 3
    assert app.context.cache.hits[False] >= before + 2
    assert seen == [(LIST.partition("?")[0].encode(), LISTS, 200)] * 3
