"""An encoder behind its cache: nothing is encoded twice, and nobody waits for it for long."""

import logging
import threading
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from nearline.common.progress import Progress, no_progress
from nearline.encoders import Encoder, TextVectors, VectorCache
from nearline.encoders.base import Floats
from nearline.encoders.text_vectors import BLOCK_TEXTS, REST


class Lengths(Encoder):
    """A text's vector says its length; it remembers what it was asked."""

    name = fingerprint = "lengths"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.go = threading.Event()
        self.go.set()
        self.error: Exception | None = None

    def encode(self, texts: Sequence[str], progress: Progress = no_progress) -> Floats:
        self.go.wait(120)
        progress(0, len(texts), "encode")
        if self.error is not None:
            raise self.error
        self.asked += texts
        return np.array([[len(text), 1] for text in texts], dtype=np.float32)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def encoder() -> Lengths:
    return Lengths()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def texts(encoder: Lengths, clock: Clock) -> Iterator[TextVectors]:
    texts = TextVectors(encoder, VectorCache(None), patience=0.05, timer=clock)
    yield texts
    encoder.go.set()
    texts.close()


def test_each_text_is_encoded_once(texts: TextVectors, encoder: Lengths) -> None:
    assert texts.encode(["aa", "", "b", "aa"]).tolist() == [[2, 1], [0, 0], [1, 1], [2, 1]]
    assert texts.encode(["b", "ccc"]).tolist() == [[1, 1], [3, 1]]
    texts.prepare(["aa", "ccc", ""])
    assert encoder.asked == ["aa", "b", "ccc"]
    assert texts.missed == 0


def test_known_never_encodes(texts: TextVectors, encoder: Lengths) -> None:
    assert texts.known("aa") is None
    texts.prepare(["aa"])
    found = texts.known("aa")
    assert found is not None
    assert found.tolist() == [2, 1]
    assert texts.known("") is None
    assert encoder.asked == ["aa"]


def test_vectors_encoded_before_an_abort_are_kept(texts: TextVectors, encoder: Lengths) -> None:
    many = [str(number) for number in range(3 * BLOCK_TEXTS)]
    told = []

    def stop(done: int, total: int, _what: str) -> None:
        told.append((done, total))
        if done >= BLOCK_TEXTS:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        texts.encode(many, stop)
    assert told == [(0, 3 * BLOCK_TEXTS), (BLOCK_TEXTS, 3 * BLOCK_TEXTS)]
    assert encoder.asked == many[:BLOCK_TEXTS]
    texts.encode(many)
    assert encoder.asked == many


def test_a_failing_encoder_is_not_called_for_a_while(
    texts: TextVectors, encoder: Lengths, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    encoder.error = ValueError("no such model")
    with caplog.at_level(logging.WARNING):
        texts.prepare(["a", "bb"])
    assert "no such model" in caplog.text
    assert texts.missed == 2
    encoder.error = None
    clock.now += REST - 1
    texts.prepare(["a"])
    assert (texts.missed, encoder.asked) == (3, [])
    clock.now += 1
    texts.prepare(["a"])
    assert (texts.missed, encoder.asked) == (3, ["a"])


def test_a_slow_encoder_finishes_in_the_background(
    texts: TextVectors, encoder: Lengths, caplog: pytest.LogCaptureFixture
) -> None:
    encoder.go.clear()
    with caplog.at_level(logging.WARNING):
        texts.prepare(["a"])
    assert "too slow" in caplog.text
    assert (texts.missed, texts.known("a")) == (1, None)
    encoder.go.set()
    texts.encode(["b"])  # waits its turn
    assert encoder.asked == ["a", "b"]
    assert texts.known("a") is not None
