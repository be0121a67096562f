"""What `/metrics` tells Prometheus."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from nearline.log import Appended
from nearline.server.host import EngineHost

# Seconds: from a cached read to a bulk import.
LATENCY_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """Counters of one app, in a registry of their own, and gauges read from the engine."""

    def __init__(self, host: EngineHost):
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "nearline_requests",
            "Requests answered.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._latency = Histogram(
            "nearline_request_seconds",
            "Time from the request's head to the end of its answer.",
            ("route",),
            buckets=LATENCY_BUCKETS,
            registry=self._registry,
        )
        self._accepted = Counter(
            "nearline_events_accepted", "Events appended.", registry=self._registry
        )
        self._duplicates = Counter(
            "nearline_events_duplicate", "Events known already.", registry=self._registry
        )
        self._registry.register(_EngineGauges(host))

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request; `route` is the template, never a path with ids."""
        self._requests.labels(method, route, str(status)).inc()
        self._latency.labels(route).observe(seconds)

    def appended(self, appended: Appended) -> None:
        """Count the events of one append."""
        self._accepted.inc(appended.accepted)
        self._duplicates.inc(appended.duplicates)

    def render(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)


class _EngineGauges(Collector):
    """Reads the engine when it is asked, so that nothing has to be kept in step."""

    def __init__(self, host: EngineHost):
        self._host = host

    def collect(self) -> Iterator[Metric]:
        ready = self._host.state == "ready"
        yield GaugeMetricFamily("nearline_ready", "1 when the store is open.", value=int(ready))
        if not ready:
            return
        engine = self._host.engine
        yield GaugeMetricFamily("nearline_log_offset", "End of the log.", value=engine.offset)
        yield GaugeMetricFamily("nearline_users", "Users with a history.", value=engine.n_users)
        yield GaugeMetricFamily("nearline_items", "Items known.", value=engine.n_items)
        model = InfoMetricFamily("nearline_model", "The snapshot that answers.")
        model.add_metric([], {"id": engine.model_id})
        yield model
