"""Growth of time, memory and bytes written with the number of events in the log.

Each step runs in a process of its own, on the same store: import of a Parquet file, start of the
untrained store, training, start from the checkpoint, start after ``kill -9``, single events with
lists right after them and lists of 100 events, a merge, a checkpoint, and the erasure of users.
The last three run alone and then with events beside them. Reported are elapsed time, CPU time (user
and system), the peak of resident memory, and bytes written, as counted by the kernel. CPU time
hardly depends on what else the machine does; compare elapsed times only on an idle machine. Users
have 40 events each, and there is an item for 100 events; the items are divided into clusters of
1,000, with Zipf-distributed popularity.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nearline.bench.harness import BenchFailed, python, run_command
from nearline.bench.plan import Figure, ScenarioReport, figure
from nearline.bench.size_data import write_events
from nearline.bench.size_steps import STEPS
from nearline.common.progress import Progress, no_progress

MILLION = 1_000_000
# Number of events with which these steps run in advance.
WARM_EVENTS = 30_000
WARM_STEPS = tuple(STEPS)
# Steps whose work is every event in the log; the work of the others is the same at each size.
WHOLE_LOG = ("import", "start-untrained", "train")


class Value(NamedTuple):
    """A value of a step: name, unit, and whether its growth is reported."""

    name: str
    unit: str
    grows: bool = False


VALUES = {
    "wall_s": Value("elapsed", "s", grows=True),
    "cpu_s": Value("CPU", "s", grows=True),
    "peak_mb": Value("peak memory", "MB"),
    "own_mb": Value("memory without mapped files", "MB"),
    "written_mb": Value("written", "MB"),
    "written_per_stored": Value("bytes written per byte stored", "", grows=True),
    "events_per_s": Value("events per second", "1/s"),
    "events_per_cpu_s": Value("events per CPU second", "1/s"),
    "ready_s": Value("ready", "s", grows=True),
    "worker_cpu_s": Value("CPU of the job", "s", grows=True),
    "worker_peak_mb": Value("peak memory of the job", "MB"),
    "single_event_ms": Value("single event, p50", "ms", grows=True),
    "single_event_p99_ms": Value("single event, p99", "ms"),
    "fresh_read_ms": Value("fresh read, p50", "ms", grows=True),
    "fresh_read_p99_ms": Value("fresh read, p99", "ms"),
    "event_to_list_ms": Value("event to changed list, p50", "ms", grows=True),
    "event_to_list_p99_ms": Value("event to changed list, p99", "ms"),
    "event_and_list_cpu_ms": Value("event and list, CPU", "ms", grows=True),
    "list_of_100_ms": Value("list of 100 events, p50", "ms", grows=True),
    "list_of_100_p99_ms": Value("list of 100 events, p99", "ms"),
    "list_cpu_ms": Value("list of 100 events, CPU", "ms", grows=True),
    "erasure_ms": Value("erasure of a user, p50", "ms", grows=True),
    "erasure_p99_ms": Value("erasure of a user, p99", "ms"),
    "erasure_cpu_ms": Value("erasure of a user, CPU", "ms", grows=True),
    "beside_ms": Value("event beside it, p50", "ms"),
    "beside_p99_ms": Value("event beside it, p99", "ms"),
    "beside_max_ms": Value("event beside it, largest", "ms"),
}


def run(
    events: Sequence[int],
    folder: Path,
    *,
    steps: Sequence[str] = tuple(STEPS),
    progress: Progress = no_progress,
    kept: Callable[[ScenarioReport], None] = lambda _: None,
) -> ScenarioReport:
    """Measure all steps at several sizes.

    Parameters
    ----------
    events : sequence of int
        Numbers of events.
    folder : Path
        Scratch folder: about 250 bytes for each event of the largest size.
    kept : callable
        Called after each step with the report so far.
    """
    rows = []
    for row in measure(events, steps, folder, progress=progress, keep=False):
        rows.append(row)
        kept(report_of(rows))
    return report_of(rows)


def report_of(rows: Sequence[dict[str, Any]]) -> ScenarioReport:
    """Return the report of measured steps."""
    figures: list[Figure] = []
    curves: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        size, step = row["events"], row["step"]
        figures += [
            figure(f"{step}, {size:,} events: {value.name}", value.unit, row[key])
            for key, value in VALUES.items()
            if key in row
        ]
        curves.setdefault(step, []).append((size / MILLION, row["cpu_s"]))
    for ratio in ratios(rows):
        per = " per event" if ratio["per_event"] else ""
        name = f"{ratio['step']}, {ratio['events']:,} events: {VALUES[ratio['value']].name}{per}"
        figures.append(figure(f"{name}, growth", "x", ratio["ratio"]))
    notes = ["users have 40 events each; there is an item for 100 events"]
    notes.append(
        "growth: of the value for a unit of work, from the smallest size; a unit of work is an "
        f"event for {', '.join(WHOLE_LOG)}, and the same change for the other steps"
    )
    notes.append("compare elapsed times only if the machine did nothing else")
    axes = ("million events", "CPU seconds")
    return ScenarioReport(figures=figures, notes=notes, curves=curves, axes=axes)


def ratios(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the growth of each value for a unit of work from the smallest size to each other one.

    Parameters
    ----------
    rows : sequence of dict
        Results of `measure`.

    Returns
    -------
    list of dict
        `step`, `value`, `events`, `from` (the smallest size), `per_event` and `ratio`.
    """
    found = []
    for step in dict.fromkeys(row["step"] for row in rows):
        same = sorted((row for row in rows if row["step"] == step), key=lambda row: row["events"])
        least = same[0]
        for row in same[1:]:
            for key, value in VALUES.items():
                if not (value.grows and least.get(key) and key in row):
                    continue
                per_event = step in WHOLE_LOG and value.unit == "s"
                more = row["events"] / least["events"] if per_event else 1.0
                found.append(
                    {
                        "step": step,
                        "value": key,
                        "events": row["events"],
                        "from": least["events"],
                        "per_event": per_event,
                        "ratio": round(row[key] / least[key] / more, 3),
                    }
                )
    return found


def measure(
    events: Sequence[int],
    steps: Sequence[str],
    folder: Path,
    *,
    progress: Progress = no_progress,
    keep: bool = True,
    warm: bool = True,
) -> Iterator[dict[str, Any]]:
    """Yield what each step took at each size.

    Parameters
    ----------
    keep : bool
        Whether data and stores stay in `folder`, so that single steps can be run later.
    warm : bool
        Whether kernels may have to be compiled, so that all steps run on few events first.

    Raises
    ------
    BenchFailed
        A step failed.
    """
    done, total = 0, len(events) * len(steps)
    if warm:
        progress(done, total, "compile kernels")
        _compile(folder / "warm")
    for size in events:
        data, store = folder / f"events-{size}.parquet", folder / f"store-{size}"
        progress(done, total, f"{size:,} events: write them to a file")
        if not data.exists():
            write_events(data, size)
        for step in steps:
            progress(done, total, f"{size:,} events: {step}")
            load = round(os.getloadavg()[0], 2)
            yield {"step": step, "events": size, "load_before": load, **_run(step, store, data)}
            done += 1
        if not keep:
            data.unlink()
            shutil.rmtree(store)
            store.with_suffix(".txt").unlink(missing_ok=True)  # the output of the server
    progress(total, total, "done")


def _compile(folder: Path) -> None:
    """Run the steps on few events, so that no measured step compiles kernels."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    data, store = folder / "events.parquet", folder / "store"
    write_events(data, WARM_EVENTS)
    for step in WARM_STEPS:
        _run(step, store, data)
    shutil.rmtree(folder)


def _run(step: str, store: Path, data: Path) -> dict[str, Any]:
    lines = run_command(python("nearline.bench.size_steps", step, store, data)).splitlines()
    if not lines:
        raise BenchFailed(f"the step {step} of {data.name} printed nothing")
    found: dict[str, Any] = json.loads(lines[-1])
    return found
