"""Cached lists: the same bytes as computed ones, never stale, logged and counted like them."""

import io
import json
from collections.abc import Iterator

import httpx
import pyarrow as pa
import pytest
from litestar.testing import TestClient
from tests.server.serving import wait_until_ready
from tests.server.test_recommendations import ids, trained

from nearline.engine import Recommender
from nearline.recommend.language import Draft
from nearline.schema import Answer, RecommendationRequest
from nearline.server import Gateway, Limits, create_app
from nearline.server.cache import AnswerCache
from nearline.server.host import EngineHost
from nearline.server.logs import JsonLog

Client = TestClient[Gateway]
# No lists are computed in advance, so the cache contains only what a test requested.
QUIET = Limits(preload_per_second=0)
LIST = "/v1/users/u5/recommendations?k=1"


def counted(client: Client, name: str) -> float:
    """Return the value of a series in /metrics."""
    lines = client.get("/metrics").text.splitlines()
    return next(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def hits(client: Client) -> float:
    return counted(client, 'nearline_cache_hits_total{made="asked"}')


def cached(client: Client, url: str) -> bool:
    """Whether the response to `url` comes from the cache."""
    before = hits(client)
    assert client.get(url).status_code == 200
    return hits(client) == before + 1


def without_id(answer: httpx.Response) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body, except the request's ID and duration."""
    own = ("x-request-id", "server-timing")
    headers = [pair for pair in answer.headers.multi_items() if pair[0] not in own]
    return answer.status_code, headers, answer.content


@pytest.fixture
def logs() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def engine() -> Recommender:
    return trained()


@pytest.fixture
def app(engine: Recommender, logs: io.StringIO) -> Gateway:
    return create_app(lambda: engine, QUIET, log_stream=logs)


@pytest.fixture
def shop(app: Gateway) -> Iterator[Client]:
    with TestClient(app) as client:
        wait_until_ready(client.get)
        yield client


@pytest.mark.parametrize(
    "url",
    [
        LIST,
        "/v1/users/u5/recommendations?k=1&explain=true",
        "/v1/users/%75%35/recommendations?k=1",
        "/v1/users/u4/recommendations?k=2",
        "/v1/users/u5/recommendations?k=1&deadline_ms=60000",
    ],
)
def test_cached_response_equals_the_computed_one(
    shop: Client, engine: Recommender, url: str
) -> None:
    shop.get("/v1/users/u1/recommendations?k=1")
    first, second = shop.get(url), shop.get(url)
    with TestClient(
        create_app(lambda: engine, Limits(cache_entries=0, preload_per_second=0))
    ) as plain:
        wait_until_ready(plain.get)
        ordinary = [plain.get(url), plain.get(url)]
        assert counted(plain, 'nearline_cache_hits_total{made="asked"}') == 0
    assert without_id(first) == without_id(second) == without_id(ordinary[0])
    assert without_id(ordinary[0]) == without_id(ordinary[1])


def test_answer_is_cached_until_any_record_arrives(shop: Client) -> None:
    assert not cached(shop, LIST)
    assert cached(shop, LIST)
    # An event of another user changes the offset, which is part of the answer.
    shop.post("/v1/events", json={"user_id": "u1", "item_id": "c"})
    answer = shop.get(LIST).json()
    assert (answer["offset"], ids(answer)) == (9, ["b"])
    assert cached(shop, LIST)
    shop.post("/v1/events", json={"user_id": "u5", "item_id": "b"})
    answer = shop.get(LIST).json()
    assert answer["offset"] == 10
    assert "b" not in ids(answer)


def test_change_of_the_catalogue_or_erasure_drops_answers(shop: Client) -> None:
    assert not cached(shop, LIST)
    assert cached(shop, LIST)
    shop.delete("/v1/items/b")
    assert "b" not in ids(shop.get(LIST).json())
    shop.put("/v1/items/b", json={"title": "back"})
    assert ids(shop.get(LIST).json()) == ["b"]
    assert cached(shop, LIST)
    shop.delete("/v1/users/u5")
    assert shop.get(LIST).json()["tier"] in ("trending", "popular")


def test_another_model_drops_answers(shop: Client, engine: Recommender) -> None:
    before = shop.get(LIST).json()
    assert cached(shop, LIST)
    table = {"user_id": ["x", "x", "u5"], "item_id": ["a", "z", "a"], "timestamp": [1.7e9] * 3}
    engine.fit(pa.table(table))
    after = shop.get(LIST).json()
    assert (ids(before), ids(after)) == (["b"], ["z"])
    assert after["model"] == engine.model_id != before["model"]


def test_answers_that_change_with_time_are_not_cached(shop: Client) -> None:
    for url in (
        "/v1/users/nobody/recommendations",  # trending and popular lines alone
        "/v1/users/u5/recommendations?k=10",  # "b" is personal, "c" is not
        "/v1/users/u5/recommendations?exclude=b&exclude=c",  # empty: items may become popular
    ):
        assert not cached(shop, url)
        assert not cached(shop, url)


def test_each_context_is_cached_separately(shop: Client) -> None:
    shop.post("/v1/events", json={"user_id": "u1", "item_id": "c", "context": {"land": "FR"}})
    assert not cached(shop, LIST)
    for land in ("FR", "DE"):
        assert not cached(shop, f"{LIST}&context=land:{land}")
        assert cached(shop, f"{LIST}&context=land:{land}")
    # Lists filled from the context are not cached.
    url = "/v1/users/nobody/recommendations?k=1&context=land:FR"
    assert shop.get(url).json()["tier"] == "context"
    assert not cached(shop, url)


def test_only_get_requests_are_cached(shop: Client) -> None:
    body = {"user_id": "u5", "history": ["a"], "k": 1}
    for _ in range(2):
        assert shop.post("/v1/recommendations", json=body).status_code == 200
    assert shop.get("/v1/recommendations").status_code == 405
    shop.get(LIST)
    assert shop.head(LIST).status_code == 200
    assert shop.post(LIST).status_code == 405
    assert hits(shop) == 0


def test_errors_are_not_cached(shop: Client) -> None:
    for _ in range(2):
        assert shop.get("/v1/users/u5/recommendations?k=0").status_code == 400
    assert counted(shop, "nearline_cache_answers") == 0


class Overtaken(Recommender):
    """Receives an event between computing a list and sending it."""

    def draft(self, request: RecommendationRequest, within: float | None = None) -> Draft[Answer]:
        draft = super().draft(request, within)
        self.observe("u1", "c")
        return draft


def test_outdated_answer_is_not_cached() -> None:
    engine = Overtaken()
    engine.put_items([]).result()
    engine.observe("u", "a")
    for item_id in "ab":
        engine.put_item(item_id, text="the same words")
    with TestClient(create_app(lambda: engine, QUIET)) as client:
        wait_until_ready(client.get)
        start = engine.offset  # a list is also computed before the server is ready
        url = "/v1/users/u/recommendations?k=1"
        offsets = [client.get(url).json()["offset"] for _ in range(3)]
        assert offsets == [start, start + 1, start + 2]
        assert hits(client) == 0


def test_cached_answer_requires_the_key_and_has_its_own_request_id(engine: Recommender) -> None:
    with TestClient(create_app(lambda: engine, QUIET, api_key="key")) as client:
        key = {"x-api-key": "key"}
        wait_until_ready(client.get)
        for headers in (key, {**key, "x-request-id": "trace-1"}):
            answer = client.get(LIST, headers=headers)
            assert answer.status_code == 200
        assert answer.headers["x-request-id"] == "trace-1"
        odd = client.get(LIST, headers={**key, "x-request-id": "a b"})
        again = client.get(LIST, headers=key)
        assert len(odd.headers["x-request-id"]) == len(again.headers["x-request-id"]) == 32
        assert odd.headers["x-request-id"] != again.headers["x-request-id"]
        assert client.get(LIST).status_code == 401
        assert client.get(LIST, headers={"x-api-key": "kez"}).status_code == 401
        text = client.get("/metrics", headers=key).text
    assert 'nearline_cache_hits_total{made="asked"} 3.0' in text


def test_cached_answers_are_logged_and_counted_like_computed_ones(
    app: Gateway, shop: Client, logs: io.StringIO
) -> None:
    answers = [shop.get(LIST, headers={"x-request-id": f"r{n}"}) for n in range(3)]
    app.log.flush()
    found = [json.loads(line) for line in logs.getvalue().splitlines()]
    computed, *cached = [line for line in found if line.get("request_id", "").startswith("r")]
    assert [line["request_id"] for line in cached] == ["r1", "r2"]
    assert list(computed) == [
        "ts",
        "level",
        "message",
        "request_id",
        "method",
        "route",
        "status",
        "ms",
    ]
    for line in cached:
        own = {name: line[name] for name in ("ts", "request_id", "ms")}
        assert list(line) == list(computed)
        assert line == computed | own
    for answer in answers:
        assert list(answer.headers) == list(answers[0].headers)
        assert answer.headers["server-timing"].startswith("app;dur=")
    route = 'route="/v1/users/{user_id}/recommendations"'
    assert counted(shop, f'nearline_requests_total{{method="GET",{route},status="200"}}') == 3
    assert counted(shop, f"nearline_request_seconds_count{{{route}}}") == 3
    assert (hits(shop), counted(shop, "nearline_cache_misses_total")) == (2, 1)


def test_closed_store_answers_nothing(engine: Recommender) -> None:
    app = create_app(lambda: engine, QUIET)
    with TestClient(app) as client:
        wait_until_ready(client.get)
        assert not cached(client, LIST)
        assert cached(client, LIST)
        with client.portal() as portal:
            portal.call(app.host.close)
        assert client.get(LIST).status_code == 503


def held(**bounds: int) -> AnswerCache:
    """Create a cache beside an engine that does not change."""
    host = EngineHost(Recommender, JsonLog(io.StringIO(), lambda: 0.0))
    host.current = Recommender()
    return AnswerCache(host, Limits(**bounds))


def test_no_data_of_an_erased_user_stays_in_memory(engine: Recommender) -> None:
    app = create_app(lambda: engine, Limits())
    with TestClient(app) as client:
        wait_until_ready(client.get)
        assert client.get(LIST).json()["tier"] == "personal"
        client.delete("/v1/users/u5")
        held = [app.context.cache.__dict__, app.context.preloader.__dict__]
        assert "u5" not in repr(held)


@pytest.mark.parametrize(
    ("bounds", "kept"),
    [
        ({"cache_entries": 3}, [0, 1, 2, 0, 1]),
        ({"cache_bytes": 3 * (4 + 1 + 100 + 300)}, [0, 1, 2, 0, 1]),
        ({"cache_bytes": 4 + 1 + 99 + 300}, []),
        ({"cache_entries": 0}, []),
    ],
)
def test_cache_is_bounded(bounds: dict[str, int], kept: list[int]) -> None:
    """Three entries fit; the fourth empties the cache."""
    cache = held(**bounds)
    stamp = cache.stamp
    assert stamp is not None
    sizes = []
    for n in range(5):
        cache.put((b"/u/%d" % n, b"q"), stamp, ((), b"x" * 100, False, None))
        sizes.append(len(cache))
    assert sizes == ([1, 2, 3, 1, 2] if kept else [0] * 5)
    assert (cache.get((b"/u/4", b"q")) is not None) == bool(kept)
    assert cache.get((b"/u/0", b"q")) is None
