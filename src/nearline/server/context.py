"""What a handler may reach besides its request, and how it waits for a write."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

from litestar import Request
from msgspec import Struct

from nearline.engine import Recommender
from nearline.server.cache import AnswerCache, Stamp
from nearline.server.host import EngineHost
from nearline.server.limits import Limits
from nearline.server.metrics import Metrics
from nearline.server.preload import Preloader
from nearline.server.traffic import ComputeQueue, Traffic

T = TypeVar("T")

# Longer lists are checked in a thread, so that reads in between need not wait for all of it.
CHECKED_AT_ONCE = 100


class AppContext(Struct, frozen=True, kw_only=True):
    """Everything that the gateway and the handlers of one app share.

    Attributes
    ----------
    batches : asyncio.Lock
        Held while one batch is computed.
    timer : callable
        Gives seconds of a clock that never goes back.
    """

    host: EngineHost
    limits: Limits
    metrics: Metrics
    cache: AnswerCache
    preloader: Preloader
    traffic: Traffic
    compute_queue: ComputeQueue
    batches: asyncio.Lock
    timer: Callable[[], float]
    document: dict[str, Any]


class CachePolicy(NamedTuple):
    """Says of an answer that it is right for as long as a stamp stands, and whose it is.

    `user_id` is None where it is not to be made ahead.
    """

    stamp: Stamp
    user_id: str | None


def app_context(request: Request[Any, Any, Any]) -> AppContext:
    """Return what the app of `request` was made with."""
    context: AppContext = request.app.state["context"]
    return context


def engine_of(request: Request[Any, Any, Any]) -> Recommender:
    """Return the open engine; raise `NotReady` until the store is open."""
    return app_context(request).host.engine


async def durable(write: Callable[[], Future[T]], size: int = 1, *, slow: bool = False) -> T:
    """Call `write`, which checks and queues `size` records, and wait until they are durable.

    What is `slow` before it is queued runs in a thread.

    A client that goes away ends its handler. The wait is shielded from that: the log's writer
    resolves the future, and must not find it cancelled.
    """
    apart = slow or size > CHECKED_AT_ONCE
    future = await asyncio.to_thread(write) if apart else write()
    return await asyncio.shield(asyncio.wrap_future(future))
