"""Text encoder that calls an embeddings endpoint compatible with OpenAI's.

It sends ``POST {base_url}/embeddings`` with a list of texts and reads at most `MAX_ANSWER_BYTES` of
the response. vLLM, llama.cpp, Ollama, Text Embeddings Inference and many hosted services support
this protocol. See https://platform.openai.com/docs/api-reference/embeddings.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
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
# Number of texts in a request, and of characters in a text: most models read up to 8,192 tokens.
BATCH_TEXTS, TEXT_CHARACTERS = 64, 8_000
# Enough for 64 vectors of 4,096 numbers with 30 characters each.
MAX_ANSWER_BYTES = 1 << 24
# Maximum seconds of a request, and of a batch including retries.
REQUEST_SECONDS, BATCH_SECONDS = 30.0, 120.0
TRIES, FIRST_PAUSE, LONGEST_PAUSE = 5, 0.5, 30.0
_RETRIED = (408, 409, 429, 500, 502, 503, 504)


class _Vector(Struct):
    index: int
    embedding: list[float]


class _EmbeddingsResponse(Struct):
    data: list[_Vector]


class _Retry(Exception):
    """Temporary failure of a request, which may be repeated after `pause` seconds."""

    def __init__(self, reason: str, pause: float = 0.0):
        super().__init__(reason)
        self.pause = pause


class EmbeddingsEndpoint(Encoder):
    """Encoder that calls an embeddings endpoint; thread-safe.

    Parameters
    ----------
    name : str
        ``BASE_URL#MODEL``, such as ``https://api.openai.com/v1#text-embedding-3-small``. The API
        key is read from ``$NEARLINE_EMBEDDINGS_KEY``, sent only to this address and never logged.
    sleep, timer : callable
        Function that sleeps for some seconds, and a monotonic clock in seconds.

    Raises
    ------
    InvalidInput
        The name does not have this form, or the variable does not contain a valid key.

    Notes
    -----
    The fingerprint depends only on the name. If the endpoint serves another model under the same
    name, change the name; otherwise vectors of different models are mixed.
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
        """Encode n texts as unit vectors, float32 [n, d], in batches.

        A batch is retried with growing pauses after a temporary failure. The parameters are those
        of `Encoder.encode`.

        Raises
        ------
        EncoderFailed
            The endpoint rejected a request, was unreachable for `BATCH_SECONDS`, or returned an
            invalid response.
        """
        parts: list[Floats] = []
        for first in range(0, len(texts), BATCH_TEXTS):
            batch = texts[first : first + BATCH_TEXTS]
            report = partial(progress, first, len(texts), "encode texts")
            parts.append(self._batch(batch, report))
            if parts[-1].shape[1] != parts[0].shape[1]:
                raise self._failed("its vectors have different lengths")
        progress(len(texts), len(texts), "encode texts")
        return np.concatenate(parts) if parts else np.zeros((0, 0), dtype=np.float32)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _batch(self, texts: Sequence[str], report: Callable[[], None]) -> Floats:
        """Encode one batch of n texts, float32 [n, d]; retry after temporary failures.

        Parameters
        ----------
        texts : sequence of str
            Texts of the batch; each is truncated to `TEXT_CHARACTERS`.
        report : callable
            Called before each attempt. An exception that it raises ends the encoding.

        Raises
        ------
        EncoderFailed
            The endpoint refused the request or returned an invalid response, or no attempt
            succeeded in time.
        """
        until, pause = self._timer() + BATCH_SECONDS, FIRST_PAUSE
        # Some endpoints reject empty texts.
        given = [text[:TEXT_CHARACTERS] or " " for text in texts]
        body = {"model": self._model, "input": given, "encoding_format": "float"}
        content = msgspec.json.encode(body)
        for left in reversed(range(TRIES)):
            report()
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
                    raise _Retry(f"it returned status {answer.status_code}", retry_after(answer))
                if answer.status_code != httpx.codes.OK:
                    raise self._failed(f"it returned status {answer.status_code}")
                for piece in answer.iter_raw():
                    body += piece
                    if len(body) > MAX_ANSWER_BYTES:
                        raise self._failed("its response is too large")
                    if self._timer() > until:
                        raise _Retry("its response took too long")
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise _Retry(f"it cannot be reached ({type(error).__name__})") from None
        return bytes(body)

    def _vectors(self, body: bytes, count: int) -> Floats:
        try:
            data = msgspec.json.decode(body, type=_EmbeddingsResponse).data
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise self._failed("its response does not follow the embeddings protocol") from None
        if sorted(one.index for one in data) != list(range(count)):
            raise self._failed(f"it returned {len(data)} vectors for {count} texts")
        rows = [one.embedding for one in sorted(data, key=lambda one: one.index)]
        if len({len(row) for row in rows}) != 1:
            raise self._failed("its vectors have different lengths")
        vectors = np.array(rows, dtype=np.float64)
        lengths = np.linalg.norm(vectors, axis=1)
        if not all(math.isfinite(length) and length > 0 for length in lengths):
            raise self._failed("one of its vectors is zero or not finite")
        return unit((vectors / lengths[:, None]).astype(np.float32))

    def _failed(self, reason: str) -> EncoderFailed:
        return EncoderFailed(
            f"the encoder {self.name} failed: {reason}; check the address, the model's "
            f"name and ${KEY}, or try again later"
        )
