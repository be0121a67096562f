"""Client of a language model with timeout, token budget, circuit breaker and cache.

Calls run on an event loop in a background thread and return a future. The result of the future is
None if there is no usable answer: after a timeout, an error or an invalid response, and while the
budget is exhausted or the circuit breaker is open. Prompts and answers are never logged.
"""

import asyncio
import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from hashlib import blake2b
from threading import Lock, Thread
from typing import Any, TypeVar

import msgspec

from nearline.adapters.chat import Chat, ChatFailed
from nearline.adapters.guards import Breaker, TokenBudget
from nearline.adapters.llm_config import LlmConfig, Prompt, sends_in_the_clear
from nearline.adapters.valkey import SharedCache

T = TypeVar("T")

OUTCOMES = (
    *("answered", "cached", "shared", "late", "refused", "unreachable", "too_large", "junk"),
    *("left_alone", "over_budget"),
)
# Tokens have more bytes than this on average, so that the estimated cost is an upper bound.
BYTES_PER_TOKEN = 3
CLOSE_SECONDS = 2.0
# Start of the keys in the shared cache.
SHARED_PREFIX = "llm:"
_NOTHING = object()

logger = logging.getLogger(__name__)


class LanguageModel:
    """Client of a chat endpoint that limits time and tokens; thread-safe.

    Parameters
    ----------
    config : LlmConfig
        Address of the endpoint, and limits.
    clock : callable
        Clock in Unix seconds for the token budget and the circuit breaker.

    Attributes
    ----------
    outcomes : dict of str to int
        Number of calls by outcome, one of `OUTCOMES`.
    tokens : int
        Number of tokens spent; estimated if the endpoint does not report it.
    seconds : float
        Total duration of calls to the endpoint.

    Raises
    ------
    InvalidInput
        A setting is out of range.
    DataNotFound
        The key file cannot be read.
    """

    def __init__(self, config: LlmConfig, clock: Callable[[], float]) -> None:
        config.check()
        key = config.read_key()
        if key is not None and sends_in_the_clear(config.base_url):
            logger.warning("llm.base_url is plain HTTP: the key can be read on its way; use HTTPS")
        self.config = config
        self.outcomes = dict.fromkeys(OUTCOMES, 0)
        self.tokens = 0
        self.seconds = 0.0
        self._clock = clock
        self._chat = Chat(config, key)
        self._breaker = Breaker(config.failures, config.pause_seconds)
        self._budget = TokenBudget(config.tokens_per_minute, config.tokens_per_day)
        self._cache: OrderedDict[bytes, Any] = OrderedDict()
        shared = config.shared
        self._shared = None if shared is None else SharedCache(shared, clock)
        self._running: set[asyncio.Task[Any]] = set()
        self._lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    @property
    def breaker(self) -> str:
        """State of the circuit breaker: ``closed``, ``half_open`` or ``open``."""
        return self._breaker.state(self._clock())

    def ask(
        self, prompt: Prompt, read: Callable[[str], T | None], within: float | None = None
    ) -> "Future[T | None]":
        """Send a prompt and return a future of the parsed answer.

        The result of the future is None if there is no usable answer; it never raises.

        Parameters
        ----------
        prompt : Prompt
            Prompt to send.
        read : callable
            Parses the text of the answer; returns None if the text is not usable.
        within : float or None
            Timeout in seconds; None, or a value above `LlmConfig.timeout_seconds`, uses that
            setting.
        """
        most = self.config.timeout_seconds
        seconds = most if within is None else min(within, most)
        with self._lock:
            if self._closed:
                nothing: Future[T | None] = Future()
                nothing.set_result(None)
                return nothing
            # Exceeding a timeout shorter than the configured one is not a failure of the model.
            return self._submit(self._ask(prompt, read, seconds, counts=seconds == most))

    def forget(self) -> None:
        """Clear the cache, since cached answers may be based on events of an erased user."""
        self._cache.clear()
        with self._lock:
            if self._shared is not None and not self._closed:
                self._submit(self._forget_shared(self._shared))

    def close(self) -> None:
        """Cancel pending calls, whose futures then have the result None, and stop the thread.

        The method is idempotent.
        """
        with self._lock:
            self._closed, loop = True, self._loop
            self._loop = None
        if loop is None:
            return
        asyncio.run_coroutine_threadsafe(self._end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join()
        loop.close()

    def _submit(self, call: Coroutine[Any, Any, T]) -> "Future[T]":
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            run = self._loop.run_forever
            self._thread = Thread(target=run, name="nearline-llm", daemon=True)
            self._thread.start()
        return asyncio.run_coroutine_threadsafe(call, self._loop)

    async def _ask(
        self, prompt: Prompt, read: Callable[[str], T | None], seconds: float, *, counts: bool
    ) -> T | None:
        task = asyncio.create_task(self._answer(prompt, read))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            # `wait_for` would also wait for the connection to close, so `wait` is used.
            done, _ = await asyncio.wait({task}, timeout=seconds)
            if not done and counts:
                self._failed("late")
            elif not done:
                self.outcomes["late"] += 1
            return task.result() if done and not task.cancelled() else None
        finally:
            task.cancel()

    async def _answer(self, prompt: Prompt, read: Callable[[str], T | None]) -> T | None:
        key = self._key(prompt)
        kept = self._cache.pop(key, _NOTHING)
        if kept is not _NOTHING:
            self._cache[key] = kept
            self.outcomes["cached"] += 1
            return kept  # type: ignore[no-any-return]
        found = await self._found_in_shared(key, read)
        if found is not None:
            return found
        now, cost = self._clock(), _estimate(prompt)
        if not self._breaker.admits(now):
            self.outcomes["left_alone"] += 1
            return None
        if not self._budget.take(cost, now):
            self._breaker.gave_up()
            self.outcomes["over_budget"] += 1
            return None
        value, text = await self._call(prompt, read, cost)
        if value is not None:
            self._keep(key, value)
            if self._shared is not None:
                name, seconds = SHARED_PREFIX + key.hex(), self.config.shared_seconds
                await self._shared.put(name, text.encode(), seconds)
        return value

    def _keep(self, key: bytes, value: object) -> None:
        if not self.config.cache_entries:
            return
        self._cache[key] = value
        if len(self._cache) > self.config.cache_entries:
            self._cache.popitem(last=False)

    async def _found_in_shared(self, key: bytes, read: Callable[[str], T | None]) -> T | None:
        """Return an answer that another server stored; it is read like one of the model."""
        if self._shared is None:
            return None
        text = await self._shared.get(SHARED_PREFIX + key.hex())
        try:
            value = None if text is None else read(text.decode())
        except (UnicodeDecodeError, ValueError):
            return None
        if value is not None:
            self.outcomes["shared"] += 1
            self._keep(key, value)
        return value

    async def _forget_shared(self, shared: SharedCache) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        if await shared.connected():
            await shared.clear(SHARED_PREFIX)

    async def _call(
        self, prompt: Prompt, read: Callable[[str], T | None], cost: int
    ) -> tuple[T | None, str]:
        """Return the parsed answer of the model, and its text."""
        timer = asyncio.get_running_loop().time
        start = timer()
        self.tokens += cost
        value, text, reason, retry_after = None, "", "junk", 0.0
        try:
            text, tokens = await self._chat.ask(prompt)
            if tokens:
                self._budget.correct(tokens - cost)
                self.tokens += tokens - cost
            value = read(text)
        except ChatFailed as failure:
            reason, retry_after = failure.reason, failure.retry_after
        except asyncio.CancelledError:
            self._breaker.gave_up()
            raise
        except Exception as error:  # callers continue without an answer
            logger.warning("language model: %s", type(error).__name__)
        finally:
            self.seconds += timer() - start
        if value is None:
            self._failed(reason, retry_after)
        else:
            self._breaker.succeeded()
            self.outcomes["answered"] += 1
        return value, text

    def _failed(self, reason: str, retry_after: float = 0.0) -> None:
        self.outcomes[reason] += 1
        if self._breaker.failed(self._clock(), retry_after):
            logger.warning("language model: %s; calls are paused", reason)

    def _key(self, prompt: Prompt) -> bytes:
        content = msgspec.json.encode((self.config.model, prompt))
        return blake2b(content, digest_size=16).digest()

    async def _end(self) -> None:
        for task in self._running:
            task.cancel()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=CLOSE_SECONDS)
        await self._chat.close()
        if self._shared is not None:
            await self._shared.close()


def _estimate(prompt: Prompt) -> int:
    """Return an upper estimate of the number of tokens of prompt and answer."""
    size = len(prompt.system.encode()) + len(prompt.data.encode())
    return math.ceil(size / BYTES_PER_TOKEN) + prompt.max_tokens
