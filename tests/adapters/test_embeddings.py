"""An embeddings endpoint on this machine that answers well, badly, late or too much."""

import json
import logging
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import numpy as np
import pytest

from nearline.adapters import embeddings
from nearline.adapters.embeddings import BATCH_TEXTS, KEY, EmbeddingsEndpoint
from nearline.errors import EncoderFailed, InvalidInput

Answer = tuple[int, bytes, dict[str, str]]


def vectors(asked: dict[str, Any]) -> Answer:
    """A vector of each text: its length and a one; the last text first."""
    data = [
        {"object": "embedding", "index": index, "embedding": [len(text), 1.0]}
        for index, text in enumerate(asked["input"])
    ]
    return 200, json.dumps({"data": data[::-1], "model": "m"}).encode(), {}


class Server:
    """Answers each request by the next of `answers`, or by `vectors`."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.answers: list[Callable[[dict[str, Any]], Answer]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.asked.append((self.path, headers, body))
                answer = outer.answers.pop(0) if outer.answers else vectors
                status, content, more = answer(body)
                self.send_response(status)
                for name, value in {"content-length": str(len(content)), **more}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", KEY):
        monkeypatch.delenv(name, raising=False)
    server = Server()
    yield server
    server.close()


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def encoder(server: Server, time: Time) -> Iterator[EmbeddingsEndpoint]:
    encoder = EmbeddingsEndpoint(f"{server.url}/#tiny", sleep=time.sleep, timer=lambda: time.now)
    yield encoder
    encoder.close()


def says(status: int, content: object = b"", **headers: str) -> Callable[[Any], Answer]:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return lambda _: (status, body, headers)


def test_vectors_are_unit_length_and_in_input_order(
    server: Server, encoder: EmbeddingsEndpoint
) -> None:
    texts = ["x" * n for n in range(1, BATCH_TEXTS + 4)]
    steps: list[tuple[int, int]] = []
    found = encoder.encode(texts, lambda done, total, _: steps.append((done, total)))
    expected = np.array([[n, 1] / np.hypot(n, 1) for n in range(1, BATCH_TEXTS + 4)])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert steps == [(0, 67), (64, 67), (67, 67)]
    path, headers, body = server.asked[1]
    assert path == "/v1/embeddings"
    assert body == {"model": "tiny", "input": texts[64:], "encoding_format": "float"}
    assert "authorization" not in headers
    assert len(encoder.encode([])) == 0


def test_the_key_is_sent_and_never_logged(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(KEY, "secret-1")
    server.answers = [says(401, b"secret-1 is wrong")]
    encoder = EmbeddingsEndpoint(f"{server.url}#tiny")
    with caplog.at_level(logging.DEBUG), pytest.raises(EncoderFailed, match="401") as failed:
        encoder.encode(["a"])
    encoder.close()
    assert server.asked[0][1]["authorization"] == "Bearer secret-1"
    assert "secret-1" not in caplog.text + str(failed.value)
    monkeypatch.setenv(KEY, "two\nlines")
    with pytest.raises(InvalidInput, match="is not a valid key"):
        EmbeddingsEndpoint(f"{server.url}#tiny")


def test_transient_errors_are_retried(
    server: Server, encoder: EmbeddingsEndpoint, time: Time
) -> None:
    server.answers = [says(429, b"", **{"retry-after": "7"}), says(503), says(500)]
    assert len(encoder.encode(["a"])) == 1
    assert time.slept == [7.0, 1.0, 2.0]
    server.answers = [says(503)] * 9
    with pytest.raises(EncoderFailed, match="503"):
        encoder.encode(["a"])
    assert len(server.asked) == 4 + 5


def test_long_pauses_are_capped_and_the_deadline_fails_the_batch(
    server: Server, encoder: EmbeddingsEndpoint, time: Time
) -> None:
    server.answers = [says(429, b"", **{"retry-after": "3600"})] * 9
    with pytest.raises(EncoderFailed, match="429"):
        encoder.encode(["a"])
    assert time.slept == [30.0] * 4


def test_an_exception_of_progress_ends_the_retries(
    server: Server, encoder: EmbeddingsEndpoint
) -> None:
    server.answers = [says(503)] * 9
    calls = []

    def stop(*_: object) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encoder.encode(["a"], stop)
    assert len(server.asked) == 2


def one(*embedding: object, index: int = 0) -> dict[str, Any]:
    return {"data": [{"index": index, "embedding": embedding}]}


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (says(400, b"bad"), "status 400"),
        (says(301, b"", location="http://127.0.0.1:1/"), "status 301"),
        (says(200, b"no json"), "does not follow"),
        (says(200, b"[" * 100_000), "does not follow"),
        (says(200, {"data": []}), "0 vectors for 1 texts"),
        (says(200, one(1.0, index=3)), "1 vectors for 1 texts"),
        (says(200, one("1")), "does not follow"),
        (says(200, one(0.0, 0.0)), "zero or not finite"),
        (says(200, b'{"data": [{"index": 0, "embedding": [1e999, 1]}]}'), "not"),
    ],
)
def test_invalid_responses_are_reported(
    server: Server, encoder: EmbeddingsEndpoint, answer: Callable[[Any], Answer], told: str
) -> None:
    server.answers = [answer]
    with pytest.raises(EncoderFailed, match=told):
        encoder.encode(["a"])
    assert len(server.asked) == 1


def test_an_oversized_response_is_rejected(
    server: Server, encoder: EmbeddingsEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embeddings, "MAX_ANSWER_BYTES", 1_000)
    server.answers = [says(200, b" " * 2_000)]
    with pytest.raises(EncoderFailed, match="too large"):
        encoder.encode(["a"])


def test_an_unreachable_endpoint_fails(server: Server, time: Time) -> None:
    encoder = EmbeddingsEndpoint("http://127.0.0.1:9/v1#m", sleep=time.sleep)
    with pytest.raises(EncoderFailed, match="cannot be reached"):
        encoder.encode(["a"])
    encoder.close()
    assert time.slept == [0.5, 1.0, 2.0, 4.0]


@pytest.mark.parametrize("name", ["http://h/v1", "http://#m", "http://u:p@h/v1#m"])
def test_names_without_model_or_host_are_rejected(name: str) -> None:
    with pytest.raises(InvalidInput, match="BASE_URL#MODEL"):
        EmbeddingsEndpoint(name)


def test_the_fingerprint_depends_on_address_and_model() -> None:
    names = ["http://h/v1#a", "http://h/v1#b", "http://g/v1#a", "http://h/v1#a"]
    found = [EmbeddingsEndpoint(name).fingerprint for name in names]
    assert len(set(found)) == 3
    assert found[0] == found[3]
