"""Panels and alerts are made from the list of metrics, and each alert fires in a test."""

import json
import os
import re
import runpy
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path
from string import Template
from typing import Any

import pytest
import yaml
from litestar.testing import TestClient
from tests.server.serving import wait_until_ready

from nearline.engine import Recommender
from nearline.server import create_app
from nearline.server.metric_list import METRICS

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
MADE = runpy.run_path(str(DEPLOY / "monitoring.py"))
PROMTOOL = shutil.which("promtool") or os.environ.get("NEARLINE_PROMTOOL")
NAME = re.compile(r"\bnearline_\w+")
SUFFIX = re.compile(r"_(bucket|sum|count)$")
# Samples a minute apart that make each alert fire at the time given, in minutes.
SERIES: dict[str, tuple[int, list[tuple[str, str]]]] = {
    "NearlineDown": (2, [('up{job="nearline"}', "0x10")]),
    "NearlineNotReady": (6, [("nearline_ready", "0x10")]),
    "NearlineErrors": (
        12,
        [
            ('nearline_requests_total{status="200"}', "0+90x20"),
            ('nearline_requests_total{status="500"}', "0+10x20"),
        ],
    ),
    "NearlineOverloaded": (10, [('nearline_requests_total{status="503"}', "0+600x20")]),
    "NearlineSlowLists": (
        20,
        [
            (f'nearline_request_seconds_bucket{{route="/v1/rank",le="{le}"}}', f"0+{step}x30")
            for le, step in (("0.1", 10), ("0.25", 100), ("+Inf", 100))
        ],
    ),
    "NearlineDegraded": (12, [("nearline_degraded_total", "0+600x20")]),
    "NearlineMemory": (
        12,
        [
            ('nearline_memory_used_bytes{part="bodies"}', "95x20"),
            ('nearline_memory_limit_bytes{part="bodies"}', "100x20"),
        ],
    ),
    "NearlineNoEvents": (125, [("nearline_events_accepted_total", "5x130")]),
    "NearlineSourceLag": (25, [('nearline_source_lag{source="orders"}', "20000+10x40")]),
    "NearlineTextsMissed": (80, [("nearline_texts_missed_total", "0+5x90")]),
    "NearlineLanguageModelPaused": (12, [('nearline_llm_breaker{state="open"}', "1x20")]),
}


def served() -> dict[str, str]:
    """Kinds of the metrics in `/metrics`, by name."""
    with TestClient(create_app(Recommender)) as client:
        wait_until_ready(client.get)
        client.get("/v1/users/u/recommendations")
        text = client.get("/metrics").text
    found = dict(re.findall(r"^# TYPE (nearline_\w+) (\w+)$", text, re.MULTILINE))
    return {name: kind for name, kind in found.items() if not name.endswith("_created")}


def test_the_list_has_exactly_the_metrics_that_are_served() -> None:
    found = served()
    listed = {name: entry.kind for name, entry in METRICS.items()}
    assert found.items() <= listed.items()
    always = {name for name, entry in METRICS.items() if not entry.optional}
    assert always <= found.keys()


def test_the_documentation_lists_the_same_metrics() -> None:
    pages = "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md"))
    assert METRICS.keys() <= set(re.findall(r"^\| `(nearline_\w+)` \|", pages, re.MULTILINE))


def test_the_files_were_made_from_the_list() -> None:
    for name in ("dashboard", "alerts"):
        path: Path = MADE["DASHBOARD" if name == "dashboard" else "ALERTS"]
        made = MADE["text"](MADE[name]())
        assert path.read_text(encoding="utf-8") == made, "run python deploy/monitoring.py"


def test_panels_and_alerts_use_metrics_that_exist() -> None:
    text = MADE["text"](MADE["dashboard"]()) + MADE["text"](MADE["alerts"]())
    used = {SUFFIX.sub("", name) for name in NAME.findall(text)} - {"nearline_api_key"}
    assert used <= METRICS.keys()
    panels = {SUFFIX.sub("", name) for name in NAME.findall(MADE["text"](MADE["dashboard"]()))}
    assert panels == METRICS.keys()  # each metric has a panel


def test_every_alert_has_a_test() -> None:
    assert SERIES.keys() == {alert.name for alert in MADE["ALERT_LIST"]}


@pytest.mark.skipif(PROMTOOL is None, reason="needs promtool: apt-get install prometheus")
def test_every_alert_fires(tmp_path: Path) -> None:
    alerts = {alert.name: alert for alert in MADE["ALERT_LIST"]}
    tests: list[dict[str, Any]] = []
    for name, (minute, series) in SERIES.items():
        labels = {"severity": alerts[name].severity}
        if name == "NearlineDown":
            labels["job"] = "nearline"
        if name == "NearlineSourceLag":
            labels["source"] = "orders"
        if name == "NearlineMemory":
            labels["part"] = "bodies"
        if name == "NearlineLanguageModelPaused":
            labels["state"] = "open"
        fired = {"exp_labels": labels, "exp_annotations": {"summary": alerts[name].summary}}
        tests.append(
            {
                "interval": "1m",
                "input_series": [{"series": one, "values": values} for one, values in series],
                "alert_rule_test": [
                    {"eval_time": "0m", "alertname": name, "exp_alerts": []},
                    {"eval_time": f"{minute}m", "alertname": name, "exp_alerts": [fired]},
                ],
            }
        )
    file = tmp_path / "tests.json"
    file.write_text(json.dumps({"rule_files": [str(MADE["ALERTS"])], "tests": tests}))
    assert PROMTOOL is not None
    run = subprocess.run(
        [PROMTOOL, "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    check = [PROMTOOL, "check", "rules", str(MADE["ALERTS"])]
    assert subprocess.run(check, check=False, capture_output=True).returncode == 0


def test_the_compose_file_hardens_the_server_and_names_files_that_exist() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    server = compose["services"]["nearline"]
    assert server["read_only"] is True
    assert server["cap_drop"] == ["ALL"]
    for name, service in compose["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (DEPLOY / source).exists() if source[0] == "." else source in compose["volumes"]
        for other in service.get("depends_on", {}):
            assert other in compose["services"]
        for secret in service.get("secrets", []):
            assert secret in compose["secrets"]


def test_the_image_runs_as_a_user_and_copies_what_exists() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    words = [line.split() for line in lines if line and not line.startswith((" ", "#"))]
    assert ["USER", "10001:10001"] in words
    assert sum(line[0] == "FROM" for line in words) == 2
    assert any(line[0] == "HEALTHCHECK" for line in words)
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    defaults = dict(line[1].split("=") for line in words if line[0] == "ARG" and "=" in line[1])
    for line in words:
        if line[0] == "COPY" and not line[1].startswith("--from"):
            for source in (Template(name).substitute(defaults) for name in line[1:-1]):
                assert (ROOT / source).exists(), source
                assert any(fnmatch(f"!{source}", pattern) for pattern in allowed)
