"""Text vectors from an endpoint that speaks OpenAI's embeddings protocol.

``POST {base_url}/embeddings`` with a list of texts; many servers speak it (vLLM, llama.cpp, Ollama,
Text Embeddings Inference, hosted ones). See
https://platform.openai.com/docs/api-reference/embeddings. Answers are read as they come and never
beyond `MAX_ANSWER_BYTES`.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
from hashlib import blake2b

import httpx
import msgspec
import numpy as np
from msgspec import Struct

from nearline.adapters.endpoint import headers, retry_after
from nearline.adapters.llm_config import LlmConfig, sends_in_the_clear
from nearline.common.progress import Progress, no_progress
from nearline.encoders.base import Encoder, Floats, unit
from nearline.errors import EncoderFailed, InvalidInput

logger = logging.getLogger(__name__)

KEY = "NEARLINE_EMBEDDINGS_KEY"
# Texts of one request, and characters of one text: most models read 8,192 tokens or fewer.
BATCH_TEXTS, TEXT_CHARACTERS = 64, 8_000
# 64 vectors of 4,096 numbers, 30 characters each, and room.
MAX_ANSWER_BYTES = 1 << 24
# Seconds for one request, and for a batch with all that is tried again.
REQUEST_SECONDS, BATCH_SECONDS = 30.0, 120.0
TRIES, FIRST_PAUSE, LONGEST_PAUSE = 5, 0.5, 30.0
_RETRIED = (408, 409, 429, 500, 502, 503, 504)


class _Vector(Struct):
    index: int
    embedding: list[float]


class _EmbeddingsResponse(Struct):
    data: list[_Vector]


class _Retry(Exception):
    """Worth another try, after some seconds."""

    def __init__(self, reason: str, pause: float = 0.0):
        super().__init__(reason)
        self.pause = pause


class EmbeddingsEndpoint(Encoder):
    """An encoder behind an address; any number of threads may encode at once.

    Parameters
    ----------
    name : str
        ``BASE_URL#MODEL``, such as ``https://api.openai.com/v1#text-embedding-3-small``. The key
        comes from ``$NEARLINE_EMBEDDINGS_KEY``, goes to this address alone and is never logged.
    sleep, timer : callable
        Wait some seconds; give seconds of a clock that never goes back.

    Raises
    ------
    InvalidInput
        The name is not of this form, or the variable holds no key.

    Notes
    -----
    The fingerprint is that of the name: whoever puts another model behind it names it anew.
    """

    def __init__(
        self,
        name: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        base_url, _, model = name.partition("#")
        config = LlmConfig(base_url=base_url, model=model, key_env=KEY)
        try:
            config.check()
            key = config.read_key()
        except InvalidInput as error:
            raise InvalidInput(
                f"encoder must be BASE_URL#MODEL: {error.message}", field="encoder"
            ) from None
        self.name, self._model = name, model
        self._sleep, self._timer = sleep, timer
        self._url = f"{base_url.rstrip('/')}/embeddings"
        if key is not None and sends_in_the_clear(base_url):
            logger.warning("the encoder's address is plain HTTP: use HTTPS, or no key")
        self._client = httpx.Client(headers=headers(key), timeout=REQUEST_SECONDS)

    @property
    def fingerprint(self) -> str:
        """Hash of the name."""
        return blake2b(self.name.encode(), digest_size=16).hexdigest()

    def encode(self, texts: Sequence[str], progress: Progress = no_progress) -> Floats:
        """Encode texts in batches; one that fails is tried again, at growing distances.

        Raises
        ------
        EncoderFailed
            It refused, was out of reach for `BATCH_SECONDS`, or its answer is none.
        """
        parts: list[Floats] = []
        for first in range(0, len(texts), BATCH_TEXTS):
            batch = texts[first : first + BATCH_TEXTS]
            parts.append(self._batch(batch, lambda: progress(first, len(texts), "encode texts")))  # noqa: B023 (called at once)
            if parts[-1].shape[1] != parts[0].shape[1]:
                raise self._failed("its vectors are of different lengths")
        progress(len(texts), len(texts), "encode texts")
        return np.concatenate(parts) if parts else np.zeros((0, 0), dtype=np.float32)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _batch(self, texts: Sequence[str], told: Callable[[], None]) -> Floats:
        """One batch, tried until it works or is not worth it; `told` may raise to end it."""
        until, pause = self._timer() + BATCH_SECONDS, FIRST_PAUSE
        # An empty text is refused by some endpoints.
        given = [text[:TEXT_CHARACTERS] or " " for text in texts]
        body = {"model": self._model, "input": given, "encoding_format": "float"}
        content = msgspec.json.encode(body)
        for left in reversed(range(TRIES)):
            told()
            try:
                return self._vectors(self._post(content), len(texts))
            except _Retry as error:
                wait = max(pause, min(error.pause, LONGEST_PAUSE))
                if not left or self._timer() + wait > until:
                    raise self._failed(str(error)) from None
            self._sleep(wait)
            pause *= 2
        raise AssertionError  # the last try returns or raises

    def _post(self, content: bytes) -> bytes:
        until = self._timer() + REQUEST_SECONDS
        body = bytearray()
        try:
            with self._client.stream("POST", self._url, content=content) as answer:
                if answer.status_code in _RETRIED:
                    raise _Retry(f"it answered {answer.status_code}", retry_after(answer))
                if answer.status_code != httpx.codes.OK:
                    raise self._failed(f"it answered {answer.status_code}")
                for piece in answer.iter_raw():
                    body += piece
                    if len(body) > MAX_ANSWER_BYTES:
                        raise self._failed("its answer is too large")
                    if self._timer() > until:
                        raise _Retry("its answer took too long")
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise _Retry(f"it cannot be reached ({type(error).__name__})") from None
        return bytes(body)

    def _vectors(self, body: bytes, count: int) -> Floats:
        try:
            data = msgspec.json.decode(body, type=_EmbeddingsResponse).data
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise self._failed("its answer is not of this protocol") from None
        if sorted(one.index for one in data) != list(range(count)):
            raise self._failed(f"it gave {len(data)} vectors for {count} texts")
        rows = [one.embedding for one in sorted(data, key=lambda one: one.index)]
        if len({len(row) for row in rows}) != 1:
            raise self._failed("its vectors are of different lengths")
        vectors = np.array(rows, dtype=np.float64)
        lengths = np.linalg.norm(vectors, axis=1)
        if not all(math.isfinite(length) and length > 0 for length in lengths):
            raise self._failed("one of its vectors is zero or not finite")
        return unit((vectors / lengths[:, None]).astype(np.float32))

    def _failed(self, reason: str) -> EncoderFailed:
        return EncoderFailed(
            f"the encoder {self.name} gave no vectors: {reason}; check the address, the model's "
            f"name and ${KEY}, or try again later"
        )
