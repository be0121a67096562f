"""Make the Grafana dashboard and the Prometheus alerts from the list of metrics.

    python deploy/monitoring.py

Panels of rates and gauges follow from `nearline.server.metric_list`; the panels of durations and
the alerts are written here. Tests hold the files against this program.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from nearline.server.metric_list import METRICS

HERE = Path(__file__).parent
DASHBOARD = HERE / "grafana" / "nearline.json"
ALERTS = HERE / "prometheus" / "alerts.json"
LISTS = 'route=~".*(recommendations|similar|rank|popular|trending|search)"'


class Alert(NamedTuple):
    """A condition that a person should look at, and how long it must hold."""

    name: str
    expr: str
    hold: str
    severity: str
    summary: str


ALERT_LIST = (
    Alert(
        "NearlineDown", 'up{job="nearline"} == 0', "1m", "critical", "The server does not answer."
    ),
    Alert(
        "NearlineNotReady",
        "nearline_ready == 0",
        "5m",
        "critical",
        "The store has not been open for 5 minutes; see the log of the server.",
    ),
    Alert(
        "NearlineErrors",
        'sum by (instance) (rate(nearline_requests_total{status=~"5.."}[5m]))'
        " / sum by (instance) (rate(nearline_requests_total[5m])) > 0.01",
        "5m",
        "warning",
        "More than 1 % of requests fail.",
    ),
    Alert(
        "NearlineOverloaded",
        'sum by (instance) (rate(nearline_requests_total{status="503"}[5m])) > 1',
        "2m",
        "warning",
        "More than one request a second is refused; add servers, or raise the limits.",
    ),
    Alert(
        "NearlineSlowLists",
        "histogram_quantile(0.99, sum by (instance, le) "
        f"(rate(nearline_request_seconds_bucket{{{LISTS}}}[5m]))) > 0.1",
        "10m",
        "warning",
        "The 99th percentile of lists is above 100 ms.",
    ),
    Alert(
        "NearlineDegraded",
        "rate(nearline_degraded_total[5m]) > 1",
        "5m",
        "warning",
        "More than one list a second is made without the model because of its deadline.",
    ),
    Alert(
        "NearlineMemory",
        'nearline_memory_used_bytes{part!="cache"} / nearline_memory_limit_bytes > 0.9',
        "10m",
        "warning",
        "A part of the memory budget is 90 % full; requests will be refused.",
    ),
    Alert(
        "NearlineNoEvents",
        "increase(nearline_events_accepted_total[1h]) == 0",
        "1h",
        "info",
        "No event was stored for two hours; check the producers.",
    ),
    Alert(
        "NearlineSourceLag",
        "nearline_source_lag > 10000 and delta(nearline_source_lag[10m]) >= 0",
        "10m",
        "warning",
        "A source is behind by more than 10,000 messages, and does not catch up.",
    ),
    Alert(
        "NearlineTextsMissed",
        "increase(nearline_texts_missed_total[1h]) > 100",
        "15m",
        "warning",
        "Items are stored without a text vector; check the encoder.",
    ),
    Alert(
        "NearlineLanguageModelPaused",
        'nearline_llm_breaker{state="open"} == 1',
        "10m",
        "info",
        "The language model fails, and is not asked.",
    ),
)


def alerts() -> dict[str, Any]:
    """Return the file of rules; Prometheus reads JSON, which is YAML."""
    rules = [
        {
            "alert": alert.name,
            "expr": alert.expr,
            "for": alert.hold,
            "labels": {"severity": alert.severity},
            "annotations": {"summary": alert.summary},
        }
        for alert in ALERT_LIST
    ]
    return {"groups": [{"name": "nearline", "rules": rules}]}


def panels() -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Return title, unit, and the queries with their legends, of each panel."""
    quantile = (
        "histogram_quantile({q}, sum by (le) (rate(nearline_request_seconds_bucket{of}[5m])))"
    )
    of_lists = "{" + LISTS + "}"
    found = [
        (
            "Response time of lists",
            "s",
            [(quantile.format(q=q, of=of_lists), f"p{q * 100:g}") for q in (0.5, 0.95, 0.99)],
        )
    ]
    for name, entry in METRICS.items():
        title = name.removeprefix("nearline_").removesuffix("_total").replace("_", " ")
        legend = " ".join(f"{{{{{label}}}}}" for label in entry.labels) or title
        by = f" by ({', '.join(entry.labels)})" if entry.labels else ""
        if entry.kind == "counter":
            queries = [(f"sum{by} (rate({name}[5m]))", legend)]
            found.append((f"{title.capitalize()} a second", entry.unit, queries))
        elif entry.kind == "gauge":
            found.append((title.capitalize(), entry.unit, [(name, legend)]))
        else:
            by_route = (
                f"sum by (route) (rate({name}_sum[5m])) / sum by (route) (rate({name}_count[5m]))"
            )
            found.append(("Mean response time by route", entry.unit, [(by_route, "{{route}}")]))
    return found


def dashboard() -> dict[str, Any]:
    """Return the Grafana dashboard, two panels in a row."""
    source = {"type": "prometheus", "uid": "${source}"}
    made = [
        {
            "id": at + 1,
            "type": "timeseries",
            "title": title,
            "datasource": source,
            "gridPos": {"x": 12 * (at % 2), "y": 8 * (at // 2), "w": 12, "h": 8},
            "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
            "targets": [
                {"refId": chr(65 + n), "expr": expr, "legendFormat": legend, "datasource": source}
                for n, (expr, legend) in enumerate(queries)
            ],
        }
        for at, (title, unit, queries) in enumerate(panels())
    ]
    variable = {"name": "source", "label": "Data source", "type": "datasource"}
    return {
        "uid": "nearline",
        "title": "Nearline",
        "tags": ["nearline"],
        "schemaVersion": 39,
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "10s",
        "templating": {"list": [{**variable, "query": "prometheus"}]},
        "panels": made,
    }


def text(value: object) -> str:
    """Return JSON as it is stored."""
    return json.dumps(value, indent=2) + "\n"


if __name__ == "__main__":
    DASHBOARD.write_text(text(dashboard()), encoding="utf-8")
    ALERTS.write_text(text(alerts()), encoding="utf-8")
