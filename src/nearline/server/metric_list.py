"""The metrics of `/metrics`: kind, labels and meaning of each, and nothing else.

The panels and alerts in ``deploy/`` are made from this list; tests compare it with `/metrics` and
with the documentation.
"""

from typing import NamedTuple


class MetricEntry(NamedTuple):
    """A metric family: its kind, its labels, its unit, and whether it exists only at times."""

    kind: str
    labels: tuple[str, ...] = ()
    unit: str = "short"
    optional: bool = False


METRICS = {
    "nearline_requests_total": MetricEntry("counter", ("method", "route", "status"), "reqps"),
    "nearline_request_seconds": MetricEntry("histogram", ("route",), "s"),
    "nearline_events_accepted_total": MetricEntry("counter", unit="ops"),
    "nearline_events_duplicate_total": MetricEntry("counter", unit="ops"),
    "nearline_events_forgotten_total": MetricEntry("counter", unit="ops"),
    "nearline_degraded_total": MetricEntry("counter", unit="ops"),
    "nearline_cache_hits_total": MetricEntry("counter", ("made",), "ops"),
    "nearline_cache_misses_total": MetricEntry("counter", unit="ops"),
    "nearline_cache_answers": MetricEntry("gauge"),
    "nearline_memory_limit_bytes": MetricEntry("gauge", ("part",), "bytes"),
    "nearline_memory_used_bytes": MetricEntry("gauge", ("part",), "bytes"),
    "nearline_preloaded_total": MetricEntry("counter", unit="ops"),
    "nearline_ready": MetricEntry("gauge"),
    "nearline_log_offset": MetricEntry("gauge"),
    "nearline_users": MetricEntry("gauge"),
    "nearline_items": MetricEntry("gauge"),
    "nearline_texts_missed_total": MetricEntry("counter", unit="ops"),
    "nearline_source_messages_total": MetricEntry("counter", ("source", "outcome"), "ops"),
    "nearline_source_lag": MetricEntry("gauge", ("source",)),
    "nearline_llm_requests_total": MetricEntry("counter", ("outcome",), "reqps", optional=True),
    "nearline_llm_tokens_total": MetricEntry("counter", unit="ops", optional=True),
    "nearline_llm_seconds_total": MetricEntry("counter", unit="s", optional=True),
    "nearline_llm_breaker": MetricEntry("gauge", ("state",), optional=True),
    "nearline_workers": MetricEntry("gauge"),
    "nearline_worker_restarts_total": MetricEntry("counter", unit="ops"),
    "nearline_worker_offset": MetricEntry("gauge"),
    "nearline_model_info": MetricEntry("gauge", ("id",)),
}
