"""Metrics in Prometheus' format, served at `/metrics`.

Counters are plain integers, changed only in the event loop's thread and converted to metric
families when they are scraped, so that counting a request costs less than a microsecond.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from nearline.adapters.guards import BREAKER_STATES
from nearline.common.budget import MemoryUse
from nearline.ingest.connector import Ingested
from nearline.log import Appended
from nearline.server.cache import AnswerCache
from nearline.server.exchange import FORWARDED, Exchange
from nearline.server.host import EngineHost
from nearline.server.worker_metrics import RequestCounts, WorkerCounters, Workers, added

if TYPE_CHECKING:
    from nearline.adapters.language_model import LanguageModel

# Upper bounds of duration buckets in seconds, from a cached read to a bulk import.
LATENCY_BUCKETS = (
    *(0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005),
    *(0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)
_BOUNDS = (*(str(bound) for bound in LATENCY_BUCKETS), "+Inf")


class _Requests:
    """Requests of one method, route and status: number by duration bucket, and total seconds."""

    __slots__ = ("buckets", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * len(_BOUNDS)
        self.seconds = 0.0

    def count(self, seconds: float) -> None:
        """Count one request by its duration."""
        self.buckets[bisect_left(LATENCY_BUCKETS, seconds)] += 1
        self.seconds += seconds


class Metrics(Collector):
    """Counters of one app, in its own registry, and gauges read from the engine.

    Attributes
    ----------
    memory : dict of str to MemoryUse
        Parts of the memory budget.
    workers : Workers
        Counters of the reader processes, which are added.
    """

    def __init__(self, host: EngineHost, cache: AnswerCache):
        self._host = host
        self._cache = cache
        self._requests: defaultdict[tuple[str, str, int], _Requests] = defaultdict(_Requests)
        self.memory: dict[str, MemoryUse] = {}
        self.workers = Workers()
        self._accepted = self._duplicates = self._forgotten = self._degraded = 0
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def completed(self, exchange: Exchange) -> None:
        """Count one request by its route's template, which contains no IDs."""
        if exchange.route == FORWARDED:
            return
        self._requests[exchange.method, exchange.route, exchange.status].count(exchange.seconds)

    def counter(self, method: str, route: str, status: int) -> Callable[[float], None]:
        """Return a function that counts requests with these values by their duration."""
        return lambda seconds: self._requests[method, route, status].count(seconds)

    def appended(self, appended: Appended) -> None:
        """Count the events of one append."""
        self._accepted += appended.accepted
        self._duplicates += appended.duplicates
        self._forgotten += appended.forgotten

    def degraded(self) -> None:
        """Count a list that was made without the model because of its deadline."""
        self._degraded += 1

    def encoded(self) -> bytes:
        """Return the counters of this process for those of the whole server; any thread may call.

        Counters that change meanwhile are in the next report.
        """
        cache, engine = self._cache, self._host.current
        requests = [
            RequestCounts(*key, list(some.buckets), some.seconds)
            for key, some in list(self._requests.items())
        ]
        counts = (list(cache.hits), cache.misses, cache.made_ahead, self._degraded)
        offset = 0 if engine is None else engine.reached
        return msgspec.msgpack.encode(WorkerCounters(requests, *counts, offset))

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def describe(self) -> Iterator[Metric]:
        """Declare no metrics, so that registration doesn't collect them."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield the current value of every metric family."""
        readers = self.workers.total()
        yield from self._of_requests(readers)
        yield _counter("nearline_events_accepted", "Events appended.", self._accepted)
        yield _counter(
            "nearline_events_duplicate", "Events that were already in the log.", self._duplicates
        )
        yield _counter(
            "nearline_events_forgotten",
            "Events that were not stored, since their user was erased after them.",
            self._forgotten,
        )
        yield _counter(
            "nearline_degraded",
            "Lists made without the model because of their deadline.",
            self._degraded + readers.degraded,
        )
        yield from self._of_cache(readers)
        yield from self.workers.metrics()
        yield from self._of_memory()
        yield from self._of_engine()

    def _of_requests(self, readers: WorkerCounters) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "nearline_requests", "Requests answered.", labels=("method", "route", "status")
        )
        routes: defaultdict[str, _Requests] = defaultdict(_Requests)
        own = [RequestCounts(*key, o.buckets, o.seconds) for key, o in self._requests.items()]
        for some in added([replace(readers, requests=[*readers.requests, *own])]).requests:
            labels = some.method, some.route, str(some.status)
            requests.add_metric(labels, sum(some.buckets))
            total = routes[some.route]
            total.buckets = [a + b for a, b in zip(total.buckets, some.buckets, strict=True)]
            total.seconds += some.seconds
        yield requests
        latency = HistogramMetricFamily(
            "nearline_request_seconds",
            "Time from the head of the request to the end of the response.",
            labels=("route",),
        )
        for route, total in routes.items():
            sums = accumulate(total.buckets)
            latency.add_metric((route,), list(zip(_BOUNDS, sums, strict=True)), total.seconds)
        yield latency

    def _of_cache(self, readers: WorkerCounters) -> Iterator[Metric]:
        cache = self._cache
        hits = CounterMetricFamily(
            "nearline_cache_hits", "Lists answered from the cache.", labels=("made",)
        )
        for made, count in zip(("asked", "ahead"), cache.hits, strict=True):
            hits.add_metric((made,), count + readers.hits[made == "ahead"])
        yield hits
        yield _counter(
            "nearline_cache_misses",
            "Requested lists that were not cached.",
            cache.misses + readers.misses,
        )
        ahead = cache.made_ahead + readers.made_ahead
        yield _counter("nearline_preloaded", "Lists computed before any request.", ahead)
        yield GaugeMetricFamily("nearline_cache_answers", "Answers cached.", value=len(cache))

    def _of_memory(self) -> Iterator[Metric]:
        limits = GaugeMetricFamily(
            "nearline_memory_limit_bytes", "Share of the memory budget.", labels=("part",)
        )
        used = GaugeMetricFamily(
            "nearline_memory_used_bytes", "Bytes used of the share.", labels=("part",)
        )
        parts = dict(self.memory)
        if self._host.current is not None:
            parts["queue"] = self._host.current.queue_memory
            parts["learning"] = self._host.current.learning_memory
        for part, use in parts.items():
            limits.add_metric((part,), use.limit)
            used.add_metric((part,), use.used())
        yield from (limits, used)

    def _of_engine(self) -> Iterator[Metric]:
        ready = self._host.state == "ready"
        yield GaugeMetricFamily("nearline_ready", "1 when the store is open.", value=int(ready))
        engine = self._host.current
        if engine is None:
            return
        yield GaugeMetricFamily("nearline_log_offset", "End of the log.", value=engine.offset)
        yield GaugeMetricFamily("nearline_users", "Users with a history.", value=engine.n_users)
        yield GaugeMetricFamily("nearline_items", "Items known.", value=engine.n_items)
        yield from _of_language_model(engine.language.model)
        missed = "Items stored without a text vector."
        yield _counter("nearline_texts_missed", missed, engine.texts_missed)
        yield from _of_sources(engine.ingested)
        model = InfoMetricFamily("nearline_model", "The active snapshot.")
        model.add_metric([], {"id": engine.model_id})
        yield model


def _of_language_model(model: "LanguageModel | None") -> Iterator[Metric]:
    if model is None:
        return
    asked = CounterMetricFamily(
        "nearline_llm_requests", "Requests for the language model.", labels=("outcome",)
    )
    for outcome, count in model.outcomes.items():
        asked.add_metric((outcome,), count)
    yield asked
    yield _counter("nearline_llm_tokens", "Tokens used by the language model.", model.tokens)
    yield _counter("nearline_llm_seconds", "Seconds of calls to the language model.", model.seconds)
    states = GaugeMetricFamily(
        "nearline_llm_breaker", "1 for the current state.", labels=("state",)
    )
    for state in BREAKER_STATES:
        states.add_metric((state,), int(model.breaker == state))
    yield states


def _of_sources(ingested: Mapping[str, Ingested]) -> Iterator[Metric]:
    messages = CounterMetricFamily(
        "nearline_source_messages", "Messages read by source.", labels=("source", "outcome")
    )
    lags = GaugeMetricFamily(
        "nearline_source_lag",
        "Messages of a source that are not read yet, or bytes of files.",
        labels=("source",),
    )
    for source, done in list(ingested.items()):
        used = done.messages - done.skipped - done.quarantined
        outcomes = {"stored": used, "skipped": done.skipped, "quarantined": done.quarantined}
        for outcome, count in outcomes.items():
            messages.add_metric((source, outcome), count)
        lags.add_metric((source,), sum(done.lag.values()))
    yield from (messages, lags)


def _counter(name: str, documentation: str, count: float) -> Metric:
    return CounterMetricFamily(name, documentation, value=count)
