"""Description of the machine of a benchmark, and output of its figures."""

import json
import os
import platform
import signal
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results")


def describe() -> dict[str, Any]:
    """Return processor, cores, memory (GiB), operating system and Python version."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(pages / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def end_on_signals() -> None:
    """Let SIGTERM and SIGHUP end the process like an exception, so that servers are stopped."""
    for one in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, lambda number, _: sys.exit(128 + number))


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, minimum and maximum of several runs."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def write(
    name: str, settings: dict[str, Any], rows: Sequence[dict[str, Any]], **more: object
) -> Path:
    """Write ``results/<name>.json`` with a description of the machine; return its path.

    `more` are further entries of the document. The file is replaced at once, so that a
    benchmark may write it after each of its steps.
    """
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    content = {"machine": describe(), "settings": settings, "rows": list(rows), **more}
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(content, indent=2) + "\n")
    unfinished.replace(path)
    return path


def rows_of(name: str) -> list[dict[str, Any]]:
    """Return the rows of ``results/<name>.json``; none without the file."""
    path = RESULTS / f"{name}.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text())["rows"] if path.exists() else []
    return rows


def write_page(name: str, part: str, lines: Sequence[str]) -> None:
    """Replace the text between the comments `part:begin` and `part:end` of a documentation page."""
    page = Path(__file__).parents[1] / "docs" / name
    before, begin, rest = page.read_text(encoding="utf-8").partition(f"<!-- {part}:begin -->")
    end, after = rest.partition(f"<!-- {part}:end -->")[1:]
    page.write_text("\n".join((f"{before}{begin}\n", *lines, f"\n{end}{after}")), encoding="utf-8")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except FileNotFoundError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
