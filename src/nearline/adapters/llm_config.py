"""Settings and API key of a chat endpoint, and the class of prompts."""

import os
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from msgspec import Struct

from nearline.adapters.valkey import parse_address
from nearline.errors import DataNotFound, InvalidInput

MAX_CANDIDATES = 100
# Answers may depend on the history of a user who is erased while Valkey is away.
MAX_SHARED_SECONDS = 86_400
# Fields that the client sets itself.
_RESERVED = ("messages", "model", "n", "stream")


class Prompt(NamedTuple):
    """Prompt of a language model.

    Attributes
    ----------
    system : str
        System message, with the instructions.
    data : str
        User message, with the data.
    max_tokens : int
        Maximum number of tokens of the answer.
    """

    system: str
    data: str
    max_tokens: int


class LlmConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a chat endpoint that is compatible with OpenAI's.

    Attributes
    ----------
    base_url : str
        Address of the API, to which ``/chat/completions`` is added.
    model : str
        Name of the model at the endpoint.
    key_env : str
        Name of the environment variable with the API key. If it is not set, no key is sent.
    key_file : str or None
        Path of a file with the API key, which takes precedence over `key_env`.
    candidates : int
        Number of first items of a list that are reranked, from 2 to 100.
    timeout_seconds : float
        Maximum time that a recommendation request waits for the model, in seconds.
    tokens_per_minute, tokens_per_day : int
        Limits on the tokens of prompts and answers, beyond which the model is not called.
    failures : int
        Number of consecutive failures after which calls are paused (circuit breaker).
    pause_seconds : float
        Length of the pause in seconds, after which a single call is tried.
    cache_entries : int
        Number of answers in the least-recently-used cache; 0 disables it.
    shared : str or None
        Address of a Valkey server (``valkey://host:port``) whose cache several servers share.
    shared_seconds : float
        Seconds for which the shared cache keeps an answer.
    options : dict
        Additional fields of the request body; the value None removes a default field.
    """

    base_url: str
    model: str
    key_env: str = "NEARLINE_LLM_KEY"
    key_file: str | None = None
    candidates: int = 20
    timeout_seconds: float = 0.8
    tokens_per_minute: int = 100_000
    tokens_per_day: int = 5_000_000
    failures: int = 5
    pause_seconds: float = 30.0
    cache_entries: int = 10_000
    shared: str | None = None
    shared_seconds: float = 3_600.0
    options: dict[str, Any] = {}

    def check(self) -> None:
        """Raise `InvalidInput` if a setting is out of range."""
        _check_url(self.base_url)
        if not self.model:
            raise _bad("model", "", "give the model name of the endpoint")
        if not 2 <= self.candidates <= MAX_CANDIDATES:
            raise _bad("candidates", self.candidates, f"it must be 2 to {MAX_CANDIDATES}")
        for name in ("timeout_seconds", "pause_seconds"):
            if not 0 < getattr(self, name) <= 3_600:
                raise _bad(name, getattr(self, name), "it must be above 0, and 3600 at most")
        for name in ("tokens_per_minute", "tokens_per_day", "cache_entries"):
            if getattr(self, name) < 0:
                raise _bad(name, getattr(self, name), "it must be 0 or more")
        if not 0 < self.shared_seconds <= MAX_SHARED_SECONDS:
            most = f"it must be above 0, and {MAX_SHARED_SECONDS} at most"
            raise _bad("shared_seconds", self.shared_seconds, most)
        if self.shared is not None:
            parse_address(self.shared)
        if self.failures < 1:
            raise _bad("failures", self.failures, "it must be 1 or more")
        for name in _RESERVED:
            if name in self.options:
                raise _bad(f"options.{name}", self.options[name], "the request sets it; remove it")

    def read_key(self) -> str | None:
        """Return the API key; None if the environment variable is not set.

        Raises
        ------
        DataNotFound
            The file cannot be read.
        InvalidInput
            The content is not a valid key. The message never contains it.
        """
        if self.key_file is None:
            source, key = f"the variable {self.key_env}", os.environ.get(self.key_env)
            if key is None:
                return None
        else:
            source = self.key_file
            try:
                key = Path(self.key_file).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                raise DataNotFound(f"llm.key_file {source} cannot be read; check it") from None
        key = key.strip()
        if not (key and key.isascii() and key.isprintable()):
            raise InvalidInput(
                f"{source} is not a valid key: it must be printable ASCII on one line", field="llm"
            )
        return key


def sends_in_the_clear(base_url: str) -> bool:
    """Return whether requests to an address are unencrypted and leave this machine."""
    parts = urlsplit(base_url)
    if parts.scheme == "https" or parts.hostname == "localhost":
        return False
    try:
        return not ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return True


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
        parts = urlsplit("")
    if parts.username is not None or parts.password is not None:
        raise InvalidInput(
            "llm.base_url contains a user name or password; set the key in the environment",
            field="llm",
        )
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise _bad("base_url", url, "an example is https://api.example.com/v1")


def _bad(name: str, value: object, allowed: str) -> InvalidInput:
    return InvalidInput(f"llm.{name} is {value!r:.100}; {allowed}", field="llm")
