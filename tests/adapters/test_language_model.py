"""The language model against a real server that answers well, badly, late, or for ever."""

import json
import logging
import socket
from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

import pytest

from nearline.adapters.language_model import OUTCOMES, LanguageModel
from nearline.adapters.llm_config import LlmConfig, Prompt
from nearline.testing.chat_endpoint import Asked, ChatEndpoint, Reply

PROMPT = Prompt("be brief", "say something", max_tokens=10)
# 8 + 13 bytes at 3 bytes a token, and the answer.
ESTIMATE = 7 + 10
GIGABYTE = 10**9


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NEARLINE_LLM_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def endpoint() -> Iterator[ChatEndpoint]:
    with ChatEndpoint(lambda asked: Reply("yes", tokens=5)) as found:
        yield found


@pytest.fixture
def clock() -> Clock:
    return Clock()


Make = Callable[..., LanguageModel]


@pytest.fixture
def make(endpoint: ChatEndpoint, clock: Clock) -> Iterator[Make]:
    """Makes models of the endpoint, patient and never paused unless told otherwise."""
    made: list[LanguageModel] = []

    def make(**settings: Any) -> LanguageModel:
        given = {"base_url": endpoint.url, "model": "tiny", "timeout_seconds": 30.0, **settings}
        made.append(LanguageModel(LlmConfig(**given), clock))
        return made[-1]

    yield make
    for model in made:
        model.close()


def ask(model: LanguageModel, text: str = PROMPT.data, within: float | None = None) -> Any:
    prompt = Prompt(PROMPT.system, text, PROMPT.max_tokens)
    return model.ask(prompt, lambda said: said or None, within).result(120)


def counted(model: LanguageModel) -> dict[str, int]:
    assert tuple(model.outcomes) == OUTCOMES
    return {name: count for name, count in model.outcomes.items() if count}


def test_the_request_has_the_documented_fields(make: Make, endpoint: ChatEndpoint) -> None:
    assert ask(make(base_url=endpoint.url + "/")) == "yes"
    (asked,) = endpoint.asked
    assert asked.path == "/v1/chat/completions"
    assert json.loads(asked.body) == {
        "model": "tiny",
        "temperature": 0.0,
        "stream": False,
        "max_tokens": 10,
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "say something"},
        ],
    }
    assert "authorization" not in asked.headers
    assert asked.headers["accept-encoding"] == "identity"


def test_options_override_fields_and_none_removes_one(make: Make, endpoint: ChatEndpoint) -> None:
    options = {"temperature": None, "max_tokens": None, "max_completion_tokens": 99}
    assert ask(make(options=options)) == "yes"
    sent = json.loads(endpoint.asked[0].body)
    assert sent.keys() == {"model", "stream", "messages", "max_completion_tokens"}


def test_equal_prompts_are_answered_from_the_cache(make: Make, endpoint: ChatEndpoint) -> None:
    model = make(cache_entries=2)
    assert [ask(model, text) for text in "aab"] == ["yes"] * 3
    assert len(endpoint.asked) == 2
    ask(model, "a")  # used last, so "b" goes when "c" comes
    ask(model, "c")
    ask(model, "a")
    assert len(endpoint.asked) == 3
    ask(model, "b")
    assert len(endpoint.asked) == 4
    model.forget()
    ask(model, "b")
    assert len(endpoint.asked) == 5
    assert counted(model) == {"answered": 5, "cached": 3}


def test_without_a_cache_every_prompt_is_sent(make: Make, endpoint: ChatEndpoint) -> None:
    model = make(cache_entries=0)
    ask(model)
    ask(model)
    assert len(endpoint.asked) == 2


def reply_with(body: Any) -> Reply:
    return Reply(body=body if isinstance(body, bytes) else json.dumps(body).encode())


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (reply_with(b""), "junk"),
        (reply_with(b"<html>hello</html>"), "junk"),
        (reply_with(b"\xff\xfe{}"), "junk"),
        (reply_with(b"[" * 200_000), "junk"),
        (reply_with({}), "junk"),
        (reply_with({"choices": []}), "junk"),
        (reply_with({"choices": [{"message": {"content": None}}]}), "junk"),
        (reply_with({"choices": [{"message": {"content": ["a"]}}]}), "junk"),
        (reply_with({"choices": [{"message": {"content": "a"}}], "usage": 3}), "junk"),
        (Reply(""), "junk"),  # what `read` cannot use
        (Reply(status=401), "refused"),
        (Reply(status=429), "refused"),
        (Reply(status=500, filler=GIGABYTE), "refused"),
        (Reply(status=307, headers={"location": "http://127.0.0.1:1/"}), "refused"),
        (Reply("yes", missing=100), "unreachable"),
        (Reply("yes", filler=GIGABYTE), "too_large"),
        (Reply("yes", headers={"content-length": "x"}), "unreachable"),
    ],
)
def test_invalid_responses_give_none(
    make: Make, endpoint: ChatEndpoint, reply: Reply, outcome: str
) -> None:
    endpoint.answer = lambda asked: reply
    model = make(failures=1)
    assert ask(model) is None
    assert counted(model) == {outcome: 1}
    assert model.breaker == "open"
    assert len(endpoint.asked) == 1
    # What sockets and buffers hold, of a gigabyte that was on its way.
    assert endpoint.sent < 20_000_000


def test_a_closed_port_gives_none(make: Make) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        model = make(base_url=f"http://127.0.0.1:{held.getsockname()[1]}/v1")
        assert ask(model) is None
    assert counted(model) == {"unreachable": 1}


def test_a_silent_server_and_one_of_another_protocol_give_none(make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/v1"
        model = make(base_url=url, timeout_seconds=0.05)
        assert ask(model) is None
        connection, _ = mute.accept()
        connection.close()
    assert counted(model) == {"late": 1}


def test_a_late_answer_gives_none(make: Make, endpoint: ChatEndpoint) -> None:
    release = Event()
    endpoint.answer = lambda asked: Reply("yes", after=release)
    model = make(timeout_seconds=0.05, failures=1)
    assert ask(model) is None
    assert counted(model) == {"late": 1}
    assert model.breaker == "open"
    assert ask(model) is None
    assert counted(model) == {"late": 1, "left_alone": 1}
    release.set()


def test_a_shorter_timeout_does_not_count_as_a_failure(
    make: Make, endpoint: ChatEndpoint, clock: Clock
) -> None:
    release = Event()
    endpoint.answer = lambda asked: Reply("yes", after=release)
    model = make(failures=1)
    assert ask(model, within=0.05) is None
    assert counted(model) == {"late": 1}
    assert model.breaker == "closed"
    release.set()
    assert ask(model, within=100.0) == "yes"  # the configured time holds, if it is shorter


def test_the_breaker_opens_and_closes_with_the_clock(
    make: Make, endpoint: ChatEndpoint, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    model = make(failures=2, pause_seconds=30.0)
    endpoint.answer = lambda asked: Reply(status=500)
    assert [ask(model, text) for text in "abcd"] == [None] * 4
    assert len(endpoint.asked) == 2
    assert "calls are paused" in caplog.text
    endpoint.answer = lambda asked: Reply("yes")
    clock.now += 29.0
    assert ask(model) is None
    assert model.breaker == "open"
    clock.now += 1.0
    assert model.breaker == "half_open"
    assert ask(model) == "yes"
    assert model.breaker == "closed"
    assert counted(model) == {"refused": 2, "left_alone": 3, "answered": 1}


def test_retry_after_is_respected(make: Make, endpoint: ChatEndpoint, clock: Clock) -> None:
    model = make(failures=100, pause_seconds=1.0)
    endpoint.answer = lambda asked: Reply(status=429, headers={"retry-after": "60"})
    ask(model)
    clock.now += 59.0
    assert model.breaker == "open"
    clock.now += 1.0
    assert model.breaker == "half_open"


def test_reported_tokens_replace_the_estimate(
    make: Make, endpoint: ChatEndpoint, clock: Clock
) -> None:
    model = make(tokens_per_minute=ESTIMATE + 5)
    assert ask(model) == "yes"
    assert model.tokens == 5
    endpoint.answer = lambda asked: Reply("yes")  # and tells nothing
    assert ask(model, PROMPT.data[::-1]) == "yes"
    assert model.tokens == 5 + ESTIMATE
    assert ask(model, "x") is None
    assert counted(model) == {"answered": 2, "over_budget": 1}
    clock.now += 60.0
    assert ask(model, "x") == "yes"


def test_the_daily_token_budget_is_respected(make: Make, clock: Clock) -> None:
    model = make(tokens_per_day=ESTIMATE, cache_entries=0)
    assert ask(model) == "yes"
    clock.now += 60.0
    assert ask(model) is None
    clock.now += 86_400.0
    assert ask(model) == "yes"


def test_the_key_is_sent_only_to_the_endpoint(
    make: Make,
    endpoint: ChatEndpoint,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("NEARLINE_LLM_KEY", "sk-secret")
    model = make(failures=1)
    assert ask(model) == "yes"
    endpoint.answer = lambda asked: Reply(status=401)
    ask(model, "again")
    assert [asked.headers["authorization"] for asked in endpoint.asked] == ["Bearer sk-secret"] * 2
    assert "calls are paused" in caplog.text
    assert "sk-secret" not in caplog.text + repr(vars(model)) + repr(vars(model._chat))
    assert "say something" not in caplog.text


def test_a_key_over_plain_http_logs_a_warning(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make(base_url="http://llm.example/v1")
    assert not caplog.records
    monkeypatch.setenv("NEARLINE_LLM_KEY", "sk-secret")
    make(base_url="http://llm.example/v1")
    assert "HTTPS" in caplog.text


def test_closing_cancels_pending_calls(make: Make, endpoint: ChatEndpoint) -> None:
    came, release = Event(), Event()

    def answer(asked: Asked) -> Reply:
        came.set()
        return Reply("yes", after=release)

    endpoint.answer = answer
    model = make()
    waiting = model.ask(PROMPT, str)
    assert came.wait(120)
    model.close()
    assert waiting.result(120) is None
    release.set()
    model.close()
    assert ask(model) is None


def test_cancelling_the_future_cancels_the_call(make: Make, endpoint: ChatEndpoint) -> None:
    came, release = Event(), Event()

    def answer(asked: Asked) -> Reply:
        came.set()
        return Reply("yes", after=release)

    endpoint.answer = answer
    model = make(failures=1)
    waiting = model.ask(PROMPT, str)
    assert came.wait(120)
    assert waiting.cancel()
    release.set()
    assert ask(model, "another") == "yes"
    assert counted(model) == {"answered": 1}


def test_an_exception_in_read_gives_none(make: Make) -> None:
    def read(text: str) -> str:
        raise ValueError(text)

    model = make()
    assert model.ask(PROMPT, read).result(120) is None
    assert counted(model) == {"junk": 1}
