"""Growth of time, memory and bytes written with the number of events in the log.

Each step runs in a process of its own, on the same store: import of a Parquet file, start of the
untrained store, training, start from the checkpoint, start after ``kill -9``, a merge, a
checkpoint, fresh reads and events in lists of 100, and the erasure of a user. Reported are CPU time
(user and system), elapsed time, the peak of resident memory, and bytes written, as counted by the
kernel. CPU time hardly depends on what else the machine does; compare elapsed times only on an idle
machine. Users have 40 events each, and there is an item for 100 events; the items are divided into
clusters of 1,000, with Zipf-distributed popularity.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nearline.bench.harness import BenchFailed, python, run_command
from nearline.bench.plan import Figure, ScenarioReport, figure
from nearline.bench.size_steps import STEPS, write_events
from nearline.common.progress import Progress, no_progress

# Values of a step: key, name and unit.
VALUES = (
    ("wall_s", "elapsed", "s"),
    ("cpu_s", "CPU", "s"),
    ("peak_mb", "peak memory", "MB"),
    ("written_mb", "written", "MB"),
    ("written_per_stored", "bytes written per byte stored", ""),
    ("worker_cpu_s", "CPU of the job", "s"),
    ("worker_peak_mb", "peak memory of the job", "MB"),
    ("fresh_read_ms", "fresh read, p50", "ms"),
    ("list_of_100_ms", "list of 100 events, p50", "ms"),
)
MILLION = 1_000_000


def run(
    events: Sequence[int],
    folder: Path,
    *,
    steps: Sequence[str] = tuple(STEPS),
    progress: Progress = no_progress,
) -> ScenarioReport:
    """Measure all steps at several sizes.

    Parameters
    ----------
    events : sequence of int
        Numbers of events.
    folder : Path
        Scratch folder: about 250 bytes for each event of the largest size.
    """
    rows = list(measure(events, steps, folder, progress=progress, keep=False))
    figures: list[Figure] = []
    curves: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        size, step = row["events"], row["step"]
        figures += [
            figure(f"{step}, {size:,} events: {name}", unit, row[key])
            for key, name, unit in VALUES
            if key in row
        ]
        curves.setdefault(step, []).append((size / MILLION, row["cpu_s"]))
    notes = ["users have 40 events each; there is an item for 100 events"]
    notes.append("compare elapsed times only if the machine did nothing else")
    axes = ("million events", "CPU seconds")
    return ScenarioReport(figures=figures, notes=notes, curves=curves, axes=axes)


def measure(
    events: Sequence[int],
    steps: Sequence[str],
    folder: Path,
    *,
    progress: Progress = no_progress,
    keep: bool = True,
) -> Iterator[dict[str, Any]]:
    """Yield what each step took at each size.

    Parameters
    ----------
    keep : bool
        Whether data and stores stay in `folder`, so that single steps can be run later.

    Raises
    ------
    BenchFailed
        A step failed.
    """
    done, total = 0, len(events) * len(steps)
    for size in events:
        data, store = folder / f"events-{size}.parquet", folder / f"store-{size}"
        progress(done, total, f"{size:,} events: write them to a file")
        if not data.exists():
            write_events(data, size)
        if "import" in steps:
            shutil.rmtree(store, ignore_errors=True)
        for step in steps:
            progress(done, total, f"{size:,} events: {step}")
            command = python("nearline.bench.size_steps", step, store, data)
            lines = run_command(command).splitlines()
            if not lines:
                raise BenchFailed(f"the step {step} of {size:,} events printed nothing")
            yield {"step": step, **json.loads(lines[-1]), "events": size}
            done += 1
        if not keep:
            data.unlink()
            shutil.rmtree(store)
    progress(total, total, "done")
