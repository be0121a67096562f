"""The language model over HTTP: tiers, the cache, and concurrent requests."""

import io
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from litestar.testing import TestClient
from tests.recommend.test_llm import ITEMS, USER, backwards, endpoint, shop
from tests.server.serving import wait_until_ready

from nearline.server import Gateway, Limits, create_app
from nearline.testing.chat_endpoint import Asked, ChatEndpoint, Reply

__all__ = ["endpoint"]
LISTS = f"/v1/users/{USER}/recommendations"
Client = TestClient[Gateway]


@pytest.fixture
def logs() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def app(endpoint: ChatEndpoint, logs: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    monkeypatch.setenv("NEARLINE_LLM_KEY", "sk-secret")
    # No lists are computed in advance, so the cache contains only requested lists.
    quiet = Limits(preload_per_second=0)
    return create_app(lambda: shop(endpoint.url, failures=3), quiet, log_stream=logs)


@pytest.fixture
def client(app: Gateway) -> Iterator[Client]:
    with TestClient(app) as found:
        wait_until_ready(found.get)
        yield found


def get(client: Client, path: str = LISTS, **query: Any) -> Any:
    answer = client.get(path, params=query)
    assert answer.status_code == 200
    return answer.json()


def ids(answer: Any) -> list[str]:
    return [line["item_id"] for line in answer["items"]]


def metric(client: Client, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith(name)).rpartition(" ")[2])


def test_the_tier_shows_the_language_model(client: Client, endpoint: ChatEndpoint) -> None:
    plain, better = get(client, k=4), get(client, k=4, rerank=True)
    assert (plain["tier"], better["tier"]) == ("personal", "personal+llm")
    assert {line["tier"] for line in better["items"]} == {"personal+llm"}
    assert ids(better) != ids(plain)
    session = {"history": [ITEMS[0]], "k": 3}
    answer = client.post("/v1/recommendations", json={**session, "rerank": True}).json()
    assert answer["tier"] == "session+llm"
    assert client.post("/v1/recommendations", json=session).json()["tier"] == "session"
    # The request for the model does not depend on whose history it is.
    assert metric(client, 'nearline_llm_requests_total{outcome="answered"}') == 1
    assert metric(client, 'nearline_llm_requests_total{outcome="cached"}') == 1
    assert metric(client, 'nearline_llm_breaker{state="closed"}') == 1
    assert metric(client, "nearline_llm_tokens_total") > 100


def test_a_list_without_the_language_model_is_not_cached_as_reordered(
    client: Client, endpoint: ChatEndpoint
) -> None:
    endpoint.answer = lambda asked: Reply("no")
    assert get(client, rerank=True)["tier"] == "personal"
    assert metric(client, "nearline_cache_answers") == 0
    endpoint.answer = backwards
    better = get(client, rerank=True)
    assert better["tier"] == "personal+llm"
    assert metric(client, "nearline_cache_answers") == 1
    asked = len(endpoint.asked)
    assert get(client, rerank=True) == better
    assert metric(client, 'nearline_cache_hits_total{made="asked"}') == 1
    assert len(endpoint.asked) == asked

    # Any event changes the stamp: the list is computed again, with another model request.
    event = {"user_id": USER, "item_id": ITEMS[3]}
    assert client.post("/v1/events", json=event).status_code == 200
    assert ITEMS[3] not in ids(get(client, rerank=True))
    assert len(endpoint.asked) == asked + 1


def test_an_answer_that_becomes_outdated_during_the_model_request_is_not_cached(
    client: Client, endpoint: ChatEndpoint
) -> None:
    def overtaken(asked: Asked) -> Reply:
        client.post("/v1/events", json={"user_id": "another", "item_id": ITEMS[5]})
        return backwards(asked)

    endpoint.answer = overtaken
    assert get(client, rerank=True)["tier"] == "personal+llm"
    assert metric(client, "nearline_cache_answers") == 0


def test_lists_are_not_reordered_in_advance(client: Client, app: Gateway) -> None:
    assert get(client, rerank=True)["tier"] == "personal+llm"
    preloader = app.api.state["context"].preloader
    assert not preloader._recent
    assert preloader._query == b""


def test_other_requests_are_answered_during_a_model_request(
    client: Client, endpoint: ChatEndpoint
) -> None:
    came, release = threading.Event(), threading.Event()

    def slow(asked: Asked) -> Reply:
        came.set()
        return backwards(asked)._replace(after=release)

    endpoint.answer = slow
    found: list[Any] = []
    waiting = threading.Thread(target=lambda: found.append(get(client, rerank=True)))
    waiting.start()
    assert came.wait(120)
    assert get(client)["tier"] == "personal"
    assert client.post("/v1/recommendations", json={"history": [ITEMS[2]]}).status_code == 200
    assert not found
    release.set()
    waiting.join()
    assert found[0]["tier"] == "personal+llm"


def test_a_deadline_is_kept(client: Client, endpoint: ChatEndpoint) -> None:
    release = threading.Event()
    endpoint.answer = lambda asked: backwards(asked)._replace(after=release)
    assert get(client, rerank=True, deadline_ms=200)["tier"] == "personal"
    release.set()
    assert get(client, rerank=True, deadline_ms=60_000)["tier"] == "personal+llm"


def test_the_state_of_the_breaker_is_a_metric(
    client: Client, endpoint: ChatEndpoint, logs: io.StringIO
) -> None:
    endpoint.answer = lambda asked: Reply(status=503, headers={"retry-after": "60"})
    assert get(client, rerank=True)["tier"] == "personal"
    assert get(client, rerank=True)["tier"] == "personal"
    assert len(endpoint.asked) == 1
    assert metric(client, 'nearline_llm_breaker{state="open"}') == 1
    assert metric(client, 'nearline_llm_requests_total{outcome="refused"}') == 1
    assert metric(client, 'nearline_llm_requests_total{outcome="left_alone"}') == 1


def test_the_sentence_of_an_explanation(client: Client, endpoint: ChatEndpoint) -> None:
    path = f"/v1/users/{USER}/explanations/{ITEMS[1]}"
    plain, explanation = get(client, path), get(client, path, words=True)
    assert explanation == {**plain, "words": "You chose a red cup.", "worded_by": "llm"}
    assert "words" not in plain
    endpoint.answer = lambda asked: Reply("see www.evil.example")
    other = get(client, f"/v1/users/{USER}/explanations/{ITEMS[2]}", words=True)
    assert other["worded_by"] == "template"
    assert "green cup" in other["words"]


def test_the_key_is_in_no_log_and_no_answer(
    client: Client, endpoint: ChatEndpoint, logs: io.StringIO
) -> None:
    shown = client.get(LISTS, params={"rerank": True}).text
    endpoint.answer = lambda asked: Reply(status=401)
    shown += client.get(LISTS, params={"rerank": True, "k": 2, "category": "none"}).text
    shown += client.get("/metrics").text + client.get("/openapi.json").text + logs.getvalue()
    assert endpoint.asked[0].headers["authorization"] == "Bearer sk-secret"
    assert "sk-secret" not in shown
    shown = client.get("/metrics").text  # all earlier log lines are written before this response
    assert "cup" not in shown + logs.getvalue()


def test_the_document_describes_the_tiers(client: Client) -> None:
    document = client.get("/openapi.json").json()
    parameters = document["paths"]["/v1/users/{user_id}/recommendations"]["get"]["parameters"]
    assert "rerank" in [parameter["name"] for parameter in parameters]
    assert "+llm" in document["paths"]["/v1/users/{user_id}/recommendations"]["get"]["description"]
    assert "+llm" in document["paths"]["/v1/recommendations"]["post"]["description"]
