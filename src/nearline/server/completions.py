"""The wait of the event loop for futures that other threads resolve."""

import asyncio
from collections import deque
from concurrent.futures import Future
from functools import partial
from threading import local
from typing import Any, TypeVar

T = TypeVar("T")


class Completions:
    """Resolves futures of an event loop, all that are done at a time.

    Waking the loop from another thread costs more than everything else about a future, and the log
    resolves the futures of a whole commit together. `asyncio.wrap_future` wakes it for each.

    Parameters
    ----------
    loop : AbstractEventLoop
        Loop whose tasks wait.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._done: deque[tuple[asyncio.Future[Any], Future[Any]]] = deque()
        self._scheduled = False

    def of(self, future: "Future[T]") -> "asyncio.Future[T]":
        """Return a future of the loop with the result of `future`.

        If its task is cancelled, `future` is not.
        """
        waiter: asyncio.Future[T] = self.loop.create_future()
        future.add_done_callback(partial(self._completed, waiter))
        return waiter

    def _completed(self, waiter: "asyncio.Future[Any]", future: "Future[Any]") -> None:
        self._done.append((waiter, future))
        # Two threads may both schedule; the second call of `_resolve` then has nothing to do.
        if not self._scheduled and not self.loop.is_closed():
            self._scheduled = True
            self.loop.call_soon_threadsafe(self._resolve)

    def _resolve(self) -> None:
        self._scheduled = False  # before the queue is read, so that no later entry is missed
        while self._done:
            waiter, future = self._done.popleft()
            if waiter.done():
                continue
            if future.cancelled():
                waiter.cancel()
            elif error := future.exception():
                waiter.set_exception(error)
            else:
                waiter.set_result(future.result())


_of_thread = local()


def completion(future: "Future[T]") -> "asyncio.Future[T]":
    """Return a future of the running loop with the result of `future`; see `Completions.of`."""
    loop = asyncio.get_running_loop()
    found: Completions | None = getattr(_of_thread, "completions", None)
    if found is None or found.loop is not loop:
        found = _of_thread.completions = Completions(loop)
    return found.of(future)
