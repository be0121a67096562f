"""Minimal client of OpenAI-compatible chat completions.

Sends ``POST {base_url}/chat/completions`` and streams the response, up to `MAX_ANSWER_BYTES`.
vLLM, llama.cpp, Ollama and many hosted services support this protocol. See
https://platform.openai.com/docs/api-reference/chat.
"""

from typing import Any, NamedTuple

import httpx
import msgspec
from msgspec import Struct

from nearline.adapters.endpoint import headers, retry_after
from nearline.adapters.llm_config import LlmConfig, Prompt

MAX_ANSWER_BYTES = 262_144
MAX_CONNECTIONS = 16


class Completion(NamedTuple):
    """Text of a completion and tokens of prompt and completion; 0 tokens if not reported."""

    text: str
    tokens: int


class ChatFailed(Exception):
    """The endpoint did not return a valid completion.

    Parameters
    ----------
    reason : str
        ``refused``, ``unreachable``, ``too_large`` or ``junk``.
    retry_after : float
        Seconds of the ``Retry-After`` header; 0 without one.
    """

    def __init__(self, reason: str, retry_after: float = 0.0):
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class _Usage(Struct):
    total_tokens: int = 0


class _Message(Struct):
    content: str


class _Choice(Struct):
    message: _Message


class _ChatResponse(Struct):
    choices: list[_Choice]
    usage: _Usage | None = None


class Chat:
    """Client of one endpoint, for use from a single event loop. Callers must set a timeout.

    Parameters
    ----------
    config : LlmConfig
        Validated settings.
    key : str or None
        Bearer token, sent only to this address: redirects are not followed.
    """

    def __init__(self, config: LlmConfig, key: str | None):
        self._url = f"{config.base_url.rstrip('/')}/chat/completions"
        self._fields = {"model": config.model, "temperature": 0.0, "stream": False}
        self._options = config.options
        self._client = httpx.AsyncClient(
            headers=headers(key),
            timeout=None,  # noqa: S113
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS),
        )

    async def ask(self, prompt: Prompt) -> Completion:
        """Send a prompt and return the completion.

        Raises
        ------
        ChatFailed
            The request failed; the message contains no address, key or text.
        """
        try:
            async with self._client.stream("POST", self._url, content=self._body(prompt)) as answer:
                if answer.status_code != httpx.codes.OK:
                    raise ChatFailed("refused", retry_after(answer))
                body = bytearray()
                async for piece in answer.aiter_raw():
                    body += piece
                    if len(body) > MAX_ANSWER_BYTES:
                        raise ChatFailed("too_large")
        except (httpx.HTTPError, httpx.InvalidURL, OSError):
            raise ChatFailed("unreachable") from None
        return _completion(bytes(body))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _body(self, prompt: Prompt) -> bytes:
        fields: dict[str, Any] = {
            **self._fields,
            "max_tokens": prompt.max_tokens,
            "messages": [
                {"role": "system", "content": prompt.system},
                {"role": "user", "content": prompt.data},
            ],
            **self._options,
        }
        return msgspec.json.encode({n: value for n, value in fields.items() if value is not None})


def _completion(body: bytes) -> Completion:
    try:
        answer = msgspec.json.decode(body, type=_ChatResponse)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ChatFailed("junk") from None
    if not answer.choices:
        raise ChatFailed("junk")
    tokens = answer.usage.total_tokens if answer.usage else 0
    return Completion(answer.choices[0].message.content, max(tokens, 0))
