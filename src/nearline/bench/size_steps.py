"""The steps of the measurement of growth with the log, each in a process of its own.

``python -m nearline.bench.size_steps STEP STORE DATA`` runs one step and prints what it took.
"""

import json
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nearline.bench.harness import BenchFailed, Server, clean_environment, python, run_command
from nearline.bench.size_data import folder_size, measured, own_memory_watched
from nearline.bench.size_serving import run_erasure, run_job, run_serving

MEMORY, SEARCH_SECONDS = 4_000_000_000, 180.0
# Seconds after which an import is not repeated, and the most repetitions.
LONG_SECONDS, REPEATS = 60.0, 3
# Seconds that a server may take to be ready.
READY_SECONDS = 1_800.0
# Events that a process stores in lists before it is killed.
KILLED, LIST = 20_000, 1_000
KILLED_CODE = f"""
import os, signal, sys
import nearline as nl
engine = nl.Recommender(sys.argv[1])
for first in range(0, {KILLED}, {LIST}):
    engine.append_events([
        nl.Event(user_id=f"user-{{n % 500}}", item_id=f"item-{{n % 900}}", timestamp=1.73e9 + n)
        for n in range(first, first + {LIST})
    ]).result()
print(engine.offset, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def run_import(store: Path, data: Path, found: dict[str, Any]) -> None:
    """Import the file with `nearline import`, a short import several times; keep the median."""
    runs = list[dict[str, Any]]()
    while not runs or (len(runs) < REPEATS and sum(run["wall_s"] for run in runs) < LONG_SECONDS):
        shutil.rmtree(store, ignore_errors=True)
        run: dict[str, Any] = {}
        with measured(run, children=True):
            text = run_command(python("nearline.cli", "import", "--store", store, data, "--json"))
        run["stored"] = json.loads(text)["records_stored"]
        runs.append(run)
    runs.sort(key=lambda run: float(run["wall_s"]))
    found |= runs[len(runs) // 2]
    found["events_per_s"] = round(found["stored"] / found["wall_s"])
    found["events_per_s_all"] = [round(run["stored"] / run["wall_s"]) for run in runs]
    found["cpu_s"] = statistics.median(run["cpu_s"] for run in runs)
    found["events_per_cpu_s"] = round(found["stored"] / found["cpu_s"])
    found["stored_mb"] = round(folder_size(store) / 1e6, 1)
    found["written_per_stored"] = round(found["written_mb"] / found["stored_mb"], 2)


def run_start(store: Path, _data: Path, found: dict[str, Any]) -> None:
    """Start `nearline serve` until it is ready, and read one list."""
    server = Server.of(store, ready_seconds=READY_SECONDS)
    with measured(found, children=True), server:
        ready = server.ready_seconds
        begun = time.perf_counter()
        found["offset"] = server.get("/v1/users/user-1/recommendations")["offset"]
        first = time.perf_counter() - begun
        memory = server.memory
    found["wall_s"] = round(ready + first, 3)
    found["ready_s"] = round(ready, 3)
    found["own_mb"] = round(memory, 1)


def run_train(store: Path, _data: Path, found: dict[str, Any]) -> None:
    """Train as `nearline train --memory 4GB --search-seconds 180` does."""
    from nearline.config import Config
    from nearline.engine import Recommender

    steps: dict[str, list[float]] = {}
    last, at = "open", (time.process_time(), time.perf_counter())

    def progress(_done: int, _total: int, what: str) -> None:
        nonlocal last, at
        now = time.process_time(), time.perf_counter()
        step = steps.setdefault(last, [0.0, 0.0])
        step[0] += now[0] - at[0]
        step[1] += now[1] - at[1]
        last, at = what, now

    config = Config(memory=MEMORY, search_seconds=SEARCH_SECONDS, online=False)
    with (
        measured(found),
        own_memory_watched(found),
        Recommender(store, config=config) as engine,
    ):
        progress(0, 0, "fit")
        engine.fit(seed=0, progress=progress)
        progress(0, 0, "close")
        metrics, found["model"] = engine.metrics, engine.model_id
    progress(0, 0, "")
    found["steps"] = {
        name: {"cpu_s": round(cpu, 2), "wall_s": round(wall, 2)}
        for name, (cpu, wall) in steps.items()
    }
    found["ndcg"] = metrics.get("validation_ndcg@10")


def run_killed(store: Path, data: Path, found: dict[str, Any]) -> None:
    """Start the server after a process was killed that had stored 20,000 events.

    Raises
    ------
    BenchFailed
        The process ended in another way, or the started server lacks an event.
    """
    done = subprocess.run(  # noqa: S603 - a command of ours
        [sys.executable, "-c", KILLED_CODE, str(store)],
        capture_output=True,
        text=True,
        check=False,
        env=clean_environment(),
    )
    if done.returncode != -signal.SIGKILL:
        last = done.stderr.strip().splitlines()[-1:]
        raise BenchFailed(f"the process to kill ended with {done.returncode}: {last}")
    run_start(store, data, found)
    offset, acknowledged = found["offset"], int(done.stdout)
    if offset < acknowledged:
        raise BenchFailed(f"{acknowledged:,} records were acknowledged, and {offset:,} are left")


STEPS: dict[str, Callable[[Path, Path, dict[str, Any]], None]] = {
    "import": run_import,
    "start-untrained": run_start,
    "train": run_train,
    "start": run_start,
    "start-killed": run_killed,
    "serving": run_serving,
    "merge": run_job("merge"),
    "checkpoint": run_job("checkpoint"),
    "erasure": run_erasure,
}


def main() -> None:
    """Run the step that the command line names."""
    step, store, data = sys.argv[1:4]
    found: dict[str, Any] = {}
    STEPS[step](Path(store), Path(data), found)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
