"""Counters of the reader processes of a server, summed by the writer process."""

from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Struct
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric


class RequestCounts(Struct, frozen=True, array_like=True):
    """Requests of one method, route and status: number by duration, and total seconds."""

    method: str
    route: str
    status: int
    buckets: list[int]
    seconds: float


class WorkerCounters(Struct, frozen=True, array_like=True):
    """Counters of one reader: cached answers by how they were made, and others by name."""

    requests: list[RequestCounts]
    hits: list[int]
    misses: int
    made_ahead: int
    degraded: int
    offset: int


NO_COUNTERS = WorkerCounters([], [0, 0], 0, 0, 0, 0)


class Workers:
    """The latest counters of each reader, and the sum of those that have ended.

    Attributes
    ----------
    restarts : int
        Number of readers that ended by themselves and were started again.
    """

    def __init__(self) -> None:
        self.restarts = 0
        self._live: dict[int, WorkerCounters] = {}
        self._ended = NO_COUNTERS

    def started(self, process: int) -> None:
        """Add a reader."""
        self._live[process] = NO_COUNTERS

    def report(self, process: int, body: bytes) -> None:
        """Keep the counters of a reader."""
        if process in self._live:
            self._live[process] = msgspec.msgpack.decode(body, type=WorkerCounters)

    def ended(self, process: int) -> None:
        """Remove a reader; its counters are kept, so that no counter decreases."""
        self._ended = added([self._ended, self._live.pop(process, NO_COUNTERS)])

    def total(self) -> WorkerCounters:
        """Return the sum of the counters of all readers, also of those that have ended."""
        return added([self._ended, *self._live.values()])

    def metrics(self) -> Iterator[Metric]:
        """Yield the metrics about the readers themselves; all are 0 without readers."""
        live = list(self._live.values())
        yield GaugeMetricFamily("nearline_workers", "Reader processes.", value=len(live))
        yield CounterMetricFamily(
            "nearline_worker_restarts",
            "Reader processes that ended and were started again.",
            value=self.restarts,
        )
        yield GaugeMetricFamily(
            "nearline_worker_offset",
            "Log offset that all reader processes reflect.",
            value=min((one.offset for one in live), default=0),
        )


def added(parts: Iterable[WorkerCounters]) -> WorkerCounters:
    """Return the sum of counters."""
    requests: dict[tuple[str, str, int], RequestCounts] = {}
    hits, misses, made_ahead, degraded, offset = [0, 0], 0, 0, 0, 0
    for part in parts:
        for one in part.requests:
            key = one.method, one.route, one.status
            before = requests.get(key)
            if before is None:
                requests[key] = one
                continue
            buckets = [a + b for a, b in zip(before.buckets, one.buckets, strict=True)]
            requests[key] = RequestCounts(*key, buckets, before.seconds + one.seconds)
        hits = [a + b for a, b in zip(hits, part.hits, strict=True)]
        misses, made_ahead = misses + part.misses, made_ahead + part.made_ahead
        degraded, offset = degraded + part.degraded, max(offset, part.offset)
    return WorkerCounters(list(requests.values()), hits, misses, made_ahead, degraded, offset)
