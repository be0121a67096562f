"""Minimal client of chat endpoints that are compatible with OpenAI's.

It sends ``POST {base_url}/chat/completions`` and reads at most `MAX_ANSWER_BYTES` of the response.
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
    """Answer of a language model.

    Attributes
    ----------
    text : str
        Text of the answer.
    tokens : int
        Number of tokens of prompt and answer; 0 if the endpoint does not report it.
    """

    text: str
    tokens: int


class ChatFailed(Exception):
    """Error of a request to a chat endpoint that returned no valid completion.

    Parameters
    ----------
    reason : str
        ``refused`` (the status is not 200), ``unreachable``, ``too_large`` or ``junk`` (the
        response does not follow the protocol).
    retry_after : float
        Seconds in the header Retry-After; 0 without one.
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
    """Client of one chat endpoint, to be used from a single event loop.

    It has no timeout of its own; callers must set one.

    Parameters
    ----------
    config : LlmConfig
        Settings that `LlmConfig.check` has validated.
    key : str or None
        Bearer token, or None for no authorisation. It is sent only to the configured address,
        since redirects are not followed.
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
        """Close all connections."""
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
