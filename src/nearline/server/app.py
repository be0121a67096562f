"""Composition of the server: routes, error handling, lifespan of the engine and middlewares."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, TextIO

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.types import ControllerRouterHandler
from msgspec.structs import replace

from nearline.common.budget import MemoryUse
from nearline.engine import Recommender
from nearline.errors import InvalidInput
from nearline.server.auditing import Auditor
from nearline.server.batches import BatchTurns
from nearline.server.cache import AnswerCache
from nearline.server.context import AppContext
from nearline.server.decoding import StrictRequest
from nearline.server.docs import openapi_document
from nearline.server.exchange import LargeAnswers
from nearline.server.flow import Flow
from nearline.server.gateway import Gateway
from nearline.server.host import EngineHost
from nearline.server.limits import Limits
from nearline.server.logs import JsonLog
from nearline.server.metrics import Metrics
from nearline.server.middleware.api_keys import checked_key
from nearline.server.middleware.request_ids import unique_ids
from nearline.server.namespaces import Namespaces, Stores, StoresHost
from nearline.server.preload import Preloader
from nearline.server.problems import problem_response
from nearline.server.queries import refuse_unknown_query
from nearline.server.routes import OPERATIONS, V1
from nearline.server.security import API_HEADERS, Security, check_scope
from nearline.server.traffic import ComputeQueue, Traffic
from nearline.server.upstream import Upstream
from nearline.server.worker_metrics import Workers
from nearline.trust.audit import AuditLine, AuditLog
from nearline.trust.keyring import Keyring
from nearline.trust.keys import KeyStore
from nearline.trust.pseudonyms import Pseudonyms


def create_app(
    open_engine: Callable[[], Recommender] | None,
    limits: Limits | None = None,
    *,
    api_key: str | None = None,
    allowed_hosts: frozenset[str] | None = None,
    clock: Callable[[], float] = time.time,
    timer: Callable[[], float] = time.perf_counter,
    new_request_id: Callable[[], str] | None = None,
    log_stream: TextIO | None = None,
    stores: Stores | None = None,
    security: Security | None = None,
    keys: Path | None = None,
    keep_open: bool = False,
    upstream: Path | None = None,
    workers: Workers | None = None,
) -> Gateway:
    """Create the HTTP API as an ASGI application.

    The application's lifespan opens the engine in a thread and closes it at shutdown. ``/livez``
    responds immediately; routes that need the engine respond with 503 until it is open.

    Parameters
    ----------
    open_engine : callable or None
        Opens the store and returns the engine; called once, in a thread. None with `stores`.
    limits : Limits or None
        Limits on single requests and on the server; None for the defaults.
    api_key : str or None
        Key that requests must carry; None accepts all requests.
    allowed_hosts : frozenset of str or None
        Host names that are accepted, in addition to those of this machine; None accepts all.
    clock, timer : callable
        Clock in Unix seconds for log lines, and monotonic clock in seconds for durations.
    new_request_id : callable or None
        Returns an ID for a request that has none; None uses 16 random digits, which are the same
        for all requests of this application, followed by a counter.
    log_stream : TextIO or None
        Stream of log lines; None for standard error.
    stores : Stores or None
        Folder of several stores, which are then served as namespaces.
    security : Security or None
        Rates and other settings that concern security; None for the defaults.
    keys : Path or None
        Folder with the keys that ``nearline keys`` makes, and with the audit log. Once there is a
        key, requests need one.
    keep_open : bool
        Leave the engine open at shutdown; it was open before.
    upstream : Path or None
        Unix socket of the writer process, if this process is one of its readers.
    workers : Workers or None
        Counters of the readers, if this process is their writer.

    Raises
    ------
    InvalidInput
        `api_key` cannot be sent in a header; there is neither `open_engine` nor `stores`.
    """
    api_key = checked_key(api_key)
    security = security or Security()
    log = JsonLog(log_stream or sys.stderr, clock)
    log.show_ids = security.show_ids
    if (open_engine is None) == (stores is None):
        raise InvalidInput("give either open_engine or stores")
    audit = _audit_log(keys, clock) if security.audit else None
    keyring = None if keys is None else Keyring(KeyStore(keys), clock)
    host = (
        StoresHost(log)
        if open_engine is None
        else EngineHost(open_engine, log, warm=not keep_open, keep_open=keep_open)
    )
    context = _make_context(host, limits or Limits(), security, clock=clock, timer=timer)
    if audit is not None:
        context = replace(context, auditor=Auditor(audit, timer))
    if upstream is not None:
        context = replace(context, upstream=Upstream(upstream))
    if workers is not None:
        context.metrics.workers = workers
    if stores is not None:
        context = replace(context, namespaces=Namespaces(stores, context, log))

    api = Litestar(
        _routes(),
        exception_handlers={Exception: problem_response},
        guards=[check_scope],
        response_headers={name.decode(): value.decode() for name, value in API_HEADERS},
        lifespan=[lambda _: _running(gateway, keyring, audit)],
        logging_config=None,
        openapi_config=None,
        request_class=StrictRequest,
        request_max_body_size=context.limits.body_bytes,
        state=State({"context": context}),
    )
    gateway = Gateway(
        api,
        context,
        api_key=api_key,
        keyring=keyring,
        pseudonyms=_pseudonyms(security, keys),
        allowed_hosts=allowed_hosts,
        log=log,
        new_request_id=new_request_id or unique_ids(),
    )
    return gateway


def _pseudonyms(security: Security, folder: Path | None) -> Pseudonyms | None:
    if not security.pseudonyms:
        return None
    if folder is None:
        raise InvalidInput("pseudonyms need a folder for their key; give keys, such as the store's")
    return Pseudonyms(folder)


def _audit_log(keys: Path | None, clock: Callable[[], float]) -> AuditLog:
    if keys is None:
        raise InvalidInput("the audit log needs a folder; give keys, the folder of the store")
    keys.mkdir(parents=True, exist_ok=True)
    return AuditLog(keys, clock)


@asynccontextmanager
async def _running(
    gateway: Gateway, keyring: Keyring | None, audit: AuditLog | None
) -> AsyncIterator[None]:
    """Start the parts that run beside requests, and stop them in the opposite order."""
    context, log = gateway.context, gateway.log
    log.start()
    if keyring is not None:
        keyring.start()
    if audit is not None:
        audit.start()
        audit.append(AuditLine("open"))
    context.host.start()
    preloading = asyncio.create_task(context.preloader.run(gateway.make_ahead, log))
    try:
        yield
    finally:
        context.flow.close()
        preloading.cancel()
        if context.namespaces is not None:
            await context.namespaces.close()
        if context.upstream is not None:
            await context.upstream.close()
        await context.host.close()
        if keyring is not None:
            await asyncio.to_thread(keyring.stop)
        if audit is not None:
            audit.append(AuditLine("close"))
            await asyncio.to_thread(audit.close)
        await asyncio.to_thread(log.stop)


@cache
def _routes() -> list[ControllerRouterHandler]:
    """Return the routes, which each application copies."""
    return [*OPERATIONS, Router("/v1", route_handlers=V1, before_request=refuse_unknown_query)]


@cache
def _document(limits: Limits) -> dict[str, Any]:
    """Return the OpenAPI document, which depends only on the limits.

    It takes a few hundred milliseconds the first time, so it is not made at the start.
    """
    return openapi_document(_routes(), limits)


def _make_context(
    host: EngineHost,
    limits: Limits,
    security: Security,
    *,
    clock: Callable[[], float],
    timer: Callable[[], float],
) -> AppContext:
    cache, traffic = AnswerCache(host, limits), Traffic(limits.in_flight)
    budget, metrics = limits.budget, Metrics(host, cache)
    large_answers = LargeAnswers(budget.answers)
    metrics.memory["answers"] = MemoryUse(budget.answers, lambda: large_answers.held)
    metrics.memory["cache"] = MemoryUse(budget.cache, lambda: cache.held)
    per_second = limits.preload_per_second
    return AppContext(
        host=host,
        limits=limits,
        metrics=metrics,
        cache=cache,
        preloader=Preloader(cache, traffic, per_second=per_second, clock=clock, timer=timer),
        traffic=traffic,
        large_answers=large_answers,
        clock=clock,
        compute_queue=ComputeQueue(timer, limits.wait_seconds),
        batches=BatchTurns(traffic, timer),
        timer=timer,
        document=partial(_document, limits),
        security=security,
        flow=Flow(),
    )
