"""Objects that the handlers of an application share, and the wait for durable writes."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from litestar import Request
from litestar.types import Scope
from msgspec import Struct

from nearline.engine import Recommender
from nearline.server.auditing import Auditor
from nearline.server.batches import BatchTurns
from nearline.server.cache import AnswerCache
from nearline.server.completions import completion
from nearline.server.exchange import LargeAnswers
from nearline.server.flow import Flow
from nearline.server.host import EngineHost
from nearline.server.limits import Limits
from nearline.server.metrics import Metrics
from nearline.server.preload import Preloader
from nearline.server.security import Security
from nearline.server.traffic import ComputeQueue, Traffic
from nearline.server.upstream import Upstream

T = TypeVar("T")

# Maximum number of records that are validated in the event loop. Longer lists are validated in a
# thread, so that reads are answered at the same time.
CHECKED_AT_ONCE = 100


class AppContext(Struct, frozen=True, kw_only=True):
    """Objects that the middlewares and handlers of an application share.

    Attributes
    ----------
    batches : BatchTurns
        Turn of a batch, which is computed while no other is.
    clock, timer : callable
        Clock in Unix seconds, and monotonic clock in seconds.
    document : callable
        Returns the OpenAPI document. Its first call takes long enough for a thread.
    auditor : Auditor or None
        Writes the audit log, if there is one.
    namespaces : Namespaces or None
        Stores of the server; None if it has a single one.
    upstream : Upstream or None
        The writer process, in a process that only reads.
    """

    host: EngineHost
    limits: Limits
    metrics: Metrics
    cache: AnswerCache
    preloader: Preloader
    traffic: Traffic
    large_answers: LargeAnswers
    compute_queue: ComputeQueue
    batches: BatchTurns
    clock: Callable[[], float]
    timer: Callable[[], float]
    document: Callable[[], dict[str, Any]]
    flow: Flow
    security: Security
    auditor: Auditor | None = None
    namespaces: Any = None
    upstream: Upstream | None = None


def app_context(request: Request[Any, Any, Any]) -> AppContext:
    """Return the context of the store that a request is for."""
    return context_of(request.scope)


def context_of(scope: Scope) -> AppContext:
    """Return the context of the store to which an ASGI scope belongs."""
    context: AppContext = scope["state"]["context"]
    return context


def engine_of(request: Request[Any, Any, Any]) -> Recommender:
    """Return the open engine; raise `NotReady` until the store is open."""
    return app_context(request).host.engine


async def durable(write: Callable[[], Future[T]], size: int = 1, *, slow: bool = False) -> T:
    """Call a function that validates and queues records, and wait until they are durable.

    Parameters
    ----------
    write : callable
        Validates and queues the records; returns a future of the log.
    size : int
        Number of records.
    slow : bool
        Whether `write` takes long, so that it must be called in a thread.

    Returns
    -------
    object
        Result of the future.

    Notes
    -----
    A handler is cancelled when its client disconnects. The future is not cancelled, since the log
    must resolve it.
    """
    apart = slow or size > CHECKED_AT_ONCE
    future = await asyncio.to_thread(write) if apart else write()
    return await completion(future)
