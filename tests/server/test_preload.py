"""Lists that are computed before they are requested."""

import io
import json
import time
from collections.abc import Callable, Iterator
from urllib.parse import quote

import httpx
import pytest
from litestar.testing import TestClient
from tests.server.serving import START_SECONDS, LiveServer, wait_until_ready
from tests.server.test_recommendations import ids, trained

from nearline.engine import Recommender
from nearline.server import Gateway, Limits, create_app
from nearline.server.cache import AnswerCache, Key
from nearline.server.host import EngineHost
from nearline.server.logs import JsonLog
from nearline.server.preload import Preloader
from nearline.server.traffic import Traffic

Client = TestClient[Gateway]
LIST = "/v1/users/u5/recommendations?k=1"


def counted(get: Callable[[str], httpx.Response], name: str) -> float:
    lines = get("/metrics").text.splitlines()
    return next(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def wait_for(get: Callable[[str], httpx.Response], name: str, least: float) -> None:
    """Poll with pauses, in which the server is idle."""
    deadline = time.monotonic() + START_SECONDS
    while counted(get, name) < least:
        assert time.monotonic() < deadline, f"{name} stays below {least}"
        time.sleep(0.03)


@pytest.fixture
def engine() -> Recommender:
    return trained()


@pytest.fixture
def shop(engine: Recommender) -> Iterator[Client]:
    with TestClient(create_app(lambda: engine)) as client:
        wait_until_ready(client.get)
        yield client


def test_after_an_event_the_new_list_is_cached(shop: Client) -> None:
    assert ids(shop.get(LIST).json()) == ["b"]
    shop.post("/v1/events", json={"user_id": "u4", "item_id": "a"})
    wait_for(shop.get, "nearline_preloaded_total", 2)  # the lists of u4 and u5
    misses = counted(shop.get, "nearline_cache_misses_total")
    answer = shop.get(LIST).json()
    assert (ids(answer), answer["offset"]) == (["b"], 9)
    assert counted(shop.get, 'nearline_cache_hits_total{made="ahead"}') == 1
    assert counted(shop.get, "nearline_cache_misses_total") == misses


def test_lists_of_given_users_are_computed_in_advance(shop: Client, engine: Recommender) -> None:
    shop.get(LIST)  # the query of the latest request
    engine.observe("u6", "a")
    answer = shop.post("/v1/preload", json={"user_ids": ["u6", "nobody"]})
    assert (answer.status_code, answer.json()) == (202, {"accepted": 2})
    wait_for(shop.get, "nearline_preloaded_total", 2)
    answer = shop.get("/v1/users/u6/recommendations?k=1")
    assert (ids(answer.json()), answer.json()["offset"]) == (["b"], 9)
    assert counted(shop.get, 'nearline_cache_hits_total{made="ahead"}') == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "user_ids"),
        ({"user_ids": "u5"}, "user_ids"),
        ({"user_ids": ["u5", ""]}, "user_ids"),
        ({"user_ids": ["u5"] * 3}, "user_ids"),
        ({"users": ["u5"]}, "users"),
    ],
)
def test_invalid_requests_are_refused(body: dict[str, object], field: str) -> None:
    with TestClient(create_app(trained, Limits(preload_length=2))) as client:
        wait_until_ready(client.get)
        refused = client.post("/v1/preload", json=body)
        assert (refused.status_code, refused.json()["field"]) == (400, field)


def test_over_a_real_server(live: LiveServer, http: httpx.Client) -> None:
    """After a request and an event, the list of a user with an unusual ID is cached again."""
    items = [{"item_id": f"p{n}", "text": "the same words"} for n in range(5)]
    assert http.post("/v1/items", json=items).status_code == 200
    user, get = "päul/%", http.get
    url = f"/v1/users/{quote(user, safe='')}/recommendations?k=2"
    seen = http.post("/v1/events", json={"user_id": user, "item_id": "p0"}).json()
    assert http.get(url).json()["tier"] == "personal"
    # Lists of other users may be computed first, so a hit can take more than one event.
    for n in range(1, 100):
        before = counted(get, "nearline_preloaded_total")
        hits = counted(get, 'nearline_cache_hits_total{made="ahead"}')
        wanted = http.post("/v1/events", json={"user_id": user, "item_id": "p1"}).json()
        assert wanted["offset"] == seen["offset"] + n
        wait_for(get, "nearline_preloaded_total", before + 1)
        answer = http.get(url).json()
        assert answer["offset"] == wanted["offset"]
        assert not {"p0", "p1"} & set(ids(answer))
        if counted(get, 'nearline_cache_hits_total{made="ahead"}') > hits:
            return
    pytest.fail("no list of this user was made ahead")


class Plan:
    """A preloader without a server, to test the order of users."""

    def __init__(self, per_second: int = 100) -> None:
        self.now = 9 * 3600.0
        self.host = EngineHost(Recommender, JsonLog(io.StringIO(), lambda: 0.0))
        self.engine = self.host.current = Recommender()
        self.cache = AnswerCache(self.host, Limits())
        self.preloader = Preloader(
            self.cache,
            Traffic(10),
            per_second=per_second,
            clock=lambda: self.now,
            timer=lambda: 0.0,
        )

    def make(self) -> list[str]:
        """Compute all lists that are due; return their users in order."""
        users = []
        while (key := self.preloader.due()) is not None:
            stamp = self.cache.stamp
            assert stamp is not None
            self.cache.put(key, stamp, ((), b"", True, None))
            users.append(key[0].decode().split("/")[3])
        return users


def test_the_latest_user_is_first_and_no_user_occurs_twice() -> None:
    plan = Plan()
    plan.preloader.expect(["a", "b", "a"])
    assert plan.make() == ["a", "b"]
    plan.preloader.expect(["c", "b"])
    assert plan.make() == ["c"]
    plan.engine.observe("x", "i")  # the stamp changes, so all are due again
    assert plan.make() == ["b", "c", "a"]


def test_a_list_has_the_query_of_the_latest_request() -> None:
    plan = Plan()
    key: Key = (b"/v1/users/%61/recommendations", b"k=3")
    plan.preloader.asked("a", key)
    plan.preloader.expect(["a"])
    assert plan.preloader.due() == key
    plan.preloader.expect(["b c"])
    assert plan.preloader.due() == (b"/v1/users/b%20c/recommendations", b"k=3")


def test_users_of_this_hour_on_an_earlier_day_are_last() -> None:
    plan = Plan()
    plan.preloader.expect(["early"])
    plan.now += 3_600
    plan.preloader.expect(f"u{n}" for n in range(9_999))
    plan.preloader.expect(["late"])  # "early" is no longer among the 10,000 of late
    assert plan.make()[-1] == "u0"
    plan.now += 23 * 3_600
    plan.preloader.forget("u0")
    plan.engine.observe("x", "i")
    users = plan.make()
    assert (users[0], users[-2], users[-1]) == ("late", "u1", "early")


def test_an_erased_user_is_not_remembered() -> None:
    plan = Plan()
    plan.preloader.expect(["a", "b"])
    plan.preloader.forget("b")
    assert plan.make() == ["a"]


def test_a_failure_is_logged_and_the_next_list_is_computed() -> None:
    logs = io.StringIO()
    app = create_app(trained, log_stream=logs)
    made = []

    async def fail_once(key: Key) -> None:
        made.append(key)
        if len(made) == 1:
            raise ZeroDivisionError
        await Gateway.make_ahead(app, key)

    app.make_ahead = fail_once  # type: ignore[method-assign]
    with TestClient(app) as client:
        wait_until_ready(client.get)
        client.get(LIST)
        client.post("/v1/events", json={"user_id": "u6", "item_id": "a"})
        wait_for(client.get, "nearline_preloaded_total", 1)
    lines = [json.loads(line) for line in logs.getvalue().splitlines()]
    (failure,) = [
        line for line in lines if line["message"] == "a list could not be computed in advance"
    ]
    assert "ZeroDivisionError" in failure["traceback"]
