"""Settings of a language model behind a chat endpoint, the key that opens it, and a prompt."""

import os
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from msgspec import Struct

from nearline.errors import DataNotFound, InvalidInput

MAX_CANDIDATES = 100
# The request says these itself.
_OURS = ("messages", "model", "n", "stream")


class Prompt(NamedTuple):
    """What a model is asked: how to behave, the data, and how many tokens its answer may have."""

    system: str
    data: str
    max_tokens: int


class LlmConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A language model behind an OpenAI-compatible chat endpoint. The key is no setting of it.

    Attributes
    ----------
    base_url : str
        Address of the API; ``/chat/completions`` is added.
    model : str
        Name of the model, as the endpoint knows it.
    key_env : str
        Variable of the environment that holds the key; no key is sent where it is not set.
    key_file : str or None
        File that holds the key, read instead of the variable.
    candidates : int
        First lines of a list that are put in order, 2 to 100.
    timeout_seconds : float
        Longest that a request waits for the model, all in all.
    tokens_per_minute, tokens_per_day : int
        Tokens that may be spent, questions and answers; beyond, the model is not asked.
    failures : int
        Failures in a row after which it is left alone.
    pause_seconds : float
        For how long; then one request tries again.
    cache_entries : int
        Answers of the model kept in memory, the one used longest ago going first; 0 keeps none.
    options : dict
        Further fields of the request's body, for what an endpoint wants; None leaves one out.
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
    options: dict[str, Any] = {}

    def check(self) -> None:
        """Raise `InvalidInput` where a setting is out of bounds."""
        _check_url(self.base_url)
        if not self.model:
            raise _bad("model", "", "name the model, as the endpoint knows it")
        if not 2 <= self.candidates <= MAX_CANDIDATES:
            raise _bad("candidates", self.candidates, f"it must be 2 to {MAX_CANDIDATES}")
        for name in ("timeout_seconds", "pause_seconds"):
            if not 0 < getattr(self, name) <= 3_600:
                raise _bad(name, getattr(self, name), "it must be above 0, and 3600 at most")
        for name in ("tokens_per_minute", "tokens_per_day", "cache_entries"):
            if getattr(self, name) < 0:
                raise _bad(name, getattr(self, name), "it must be 0 or more")
        if self.failures < 1:
            raise _bad("failures", self.failures, "it must be 1 or more")
        for name in _OURS:
            if name in self.options:
                raise _bad(f"options.{name}", self.options[name], "the request sets it; remove it")

    def read_key(self) -> str | None:
        """Return the key; None where the variable is not set.

        Raises
        ------
        DataNotFound
            There is no such file.
        InvalidInput
            What is there cannot be a key. The message never holds it.
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
                raise DataNotFound(f"llm.key_file {source} cannot be read; mend it") from None
        key = key.strip()
        if not (key and key.isascii() and key.isprintable()):
            raise InvalidInput(
                f"{source} holds no key: it must be printable ASCII on one line", field="llm"
            )
        return key


def sends_in_the_clear(base_url: str) -> bool:
    """Whether what is sent to this address can be read on its way: plain HTTP, not to loopback."""
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
            "llm.base_url holds a user name or password; give the key by the environment",
            field="llm",
        )
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise _bad("base_url", url, "write for example https://api.example.com/v1")


def _bad(name: str, value: object, allowed: str) -> InvalidInput:
    return InvalidInput(f"llm.{name} is {value!r:.100}; {allowed}", field="llm")
