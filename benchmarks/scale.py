"""Growth of time, memory and bytes written with the number of events, from 1 million to 50 million.

    python -m benchmarks.scale [--sizes 1 4] [--large] [--steps import train ...] [--folder DIR]

Each step runs in a process of its own, on the same store: import of a Parquet file, start of the
untrained store, training, start from the checkpoint, start after ``kill -9``, a merge, a
checkpoint, the erasure of a user, fresh reads, and events in lists of 100. Reported are CPU time
(user and system), wall-clock time, the peak of resident memory, and bytes written, as counted by
the kernel. CPU time hardly depends on what else the machine does; compare wall-clock times only on
an idle machine. Users have 40 events each, and there is an item for 100 events; the items are
divided into clusters of 1,000, with Zipf-distributed popularity.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from benchmarks.machine import write

MILLION = 1_000_000
SIZES, LARGE = (1.0, 4.0), (20.0, 50.0)
HISTORY, EVENTS_PER_ITEM, CLUSTER, HOMES, EXPONENT = 40, 100, 1_000, 3, 0.9
BLOCK_USERS = 10_000
START, STEP = 1_700_000_000.0, 60.0
READS, LISTS, LIST = 200, 50, 100


def write_events(path: Path, events: int, seed: int = 0) -> int:
    """Write about `events` events of a synthetic shop to a Parquet file; return their number."""
    rng = np.random.default_rng(seed)
    users, items = max(events // HISTORY, 1), max(events // EVENTS_PER_ITEM, CLUSTER)
    clusters = items // CLUSTER
    mass = np.cumsum(np.arange(1, CLUSTER + 1) ** -EXPONENT)
    columns = [("user_id", pa.string()), ("item_id", pa.string()), ("timestamp", pa.float64())]
    count = 0
    with pq.ParquetWriter(path, pa.schema(columns)) as writer:
        for first in range(0, users, BLOCK_USERS):
            some = min(BLOCK_USERS, users - first)
            lengths = rng.poisson(HISTORY - 1, some) + 1
            user = np.repeat(np.arange(some), lengths)
            homes = rng.integers(clusters, size=(some, HOMES))
            cluster = homes[user, rng.integers(HOMES, size=len(user))]
            item = cluster * CLUSTER + np.searchsorted(mass, rng.random(len(user)) * mass[-1])
            times = START + STEP * rng.integers(0, 500_000, size=len(user))
            names = pa.array([f"user-{first + n}" for n in range(some)]).take(pa.array(user))
            table = pa.table(
                [names, pa.array(np.char.add("item-", item.astype(str))), times],
                ["user_id", "item_id", "timestamp"],
            )
            writer.write_table(table)
            count += len(user)
    return count


@contextmanager
def measured(found: dict[str, Any]) -> Iterator[None]:
    """Add the time, memory and bytes written of the block to `found`."""
    before, wall, written = (
        resource.getrusage(resource.RUSAGE_SELF),
        time.perf_counter(),
        _written(),
    )
    yield
    after = resource.getrusage(resource.RUSAGE_SELF)
    found["wall_s"] = round(time.perf_counter() - wall, 3)
    found["cpu_s"] = round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 3)
    found["peak_mb"] = round(after.ru_maxrss / 1_024, 1)
    found["written_mb"] = round((_written() - written) / 1e6, 3)


def _written() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("write_bytes")).split()[1])


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def run_import(store: Path, data: Path, found: dict[str, Any]) -> None:
    """Import the file as `nearline import` does."""
    from nearline.engine import Recommender

    with measured(found), Recommender(store) as engine:
        engine.add(pq.read_table(data))
        found["events"] = engine.offset
    found["stored_mb"] = round(_size(store) / 1e6, 1)
    found["written_per_stored"] = round(found["written_mb"] / found["stored_mb"], 2)


def run_start(store: Path, _data: Path, found: dict[str, Any]) -> None:
    """Open the store and answer one request."""
    from nearline.engine import Recommender

    with measured(found):
        engine = Recommender(store)
        engine.recommend("user-1", k=10)
    engine.close()


def run_train(store: Path, _data: Path, found: dict[str, Any]) -> None:
    """Train as `nearline train` does."""
    from nearline.engine import Recommender

    steps: dict[str, float] = {}
    begun, last = time.process_time(), ["open"]

    def progress(_done: int, _total: int, what: str) -> None:
        nonlocal begun
        now = time.process_time()
        steps[last[0]] = round(steps.get(last[0], 0.0) + now - begun, 2)
        begun, last[0] = now, what

    with measured(found), Recommender(store) as engine:
        progress(0, 0, "fit")
        engine.fit(seed=0, progress=progress)
        progress(0, 0, "close")
        metrics = engine.metrics
    found["steps_cpu_s"] = steps
    found["ndcg"] = metrics.get("validation_ndcg@10")


def run_killed(store: Path, data: Path, found: dict[str, Any]) -> None:
    """Open the store after a process was killed that had written 20,000 events."""
    code = (
        "import os, sys, nearline as nl; r = nl.Recommender(sys.argv[1]); "
        "[r.append_events([nl.Event(user_id=f'user-{n % 500}', item_id=f'item-{n % 900}', "
        "timestamp=1.73e9 + n) for n in range(at, at + 1000)]).result() "
        "for at in range(0, 20000, 1000)]; "
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(store)], check=False)
    run_start(store, data, found)


def _job(kind: str) -> Callable[[Path, Path, dict[str, Any]], None]:
    def run(store: Path, _data: Path, found: dict[str, Any]) -> None:
        from nearline.engine import Recommender
        from nearline.schema import Event

        with Recommender(store) as engine:
            engine.append_events(
                [
                    Event(
                        user_id=f"user-{n % 700}", item_id=f"item-{n % 990}", timestamp=1.74e9 + n
                    )
                    for n in range(10_000)
                ]
            ).result()
            children = resource.getrusage(resource.RUSAGE_CHILDREN)
            with measured(found):
                engine.jobs.wait(getattr(engine, kind)().id)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            found["worker_cpu_s"] = round(
                after.ru_utime + after.ru_stime - children.ru_utime - children.ru_stime, 3
            )
            found["worker_peak_mb"] = round(after.ru_maxrss / 1_024, 1)

    return run


def run_erasure(store: Path, _data: Path, found: dict[str, Any]) -> None:
    """Erase one user."""
    from nearline.engine import Recommender

    with Recommender(store) as engine:
        with measured(found):
            engine.forget("user-7").result()
        engine.recommend("user-1", k=10)


def run_serving(store: Path, _data: Path, found: dict[str, Any]) -> None:
    """Fresh reads, and lists of events."""
    from nearline.engine import Recommender
    from nearline.schema import Event

    with Recommender(store) as engine:
        users = max(engine.n_users - 1_000, 1)
        reads, lists = [], []
        for n in range(READS):
            user = f"user-{n * 7_919 % users}"
            engine.append_events(
                [Event(user_id=user, item_id=f"item-{n}", timestamp=1.75e9 + n)]
            ).result()
            begun = time.perf_counter()
            engine.recommend(user, k=10)
            reads.append(time.perf_counter() - begun)
        with measured(found):
            for n in range(LISTS):
                begun = time.perf_counter()
                engine.append_events(
                    [
                        Event(
                            user_id=f"user-{(n * LIST + at) * 104_729 % users}",
                            item_id=f"item-{at}",
                            timestamp=1.76e9 + n,
                        )
                        for at in range(LIST)
                    ]
                ).result()
                lists.append(time.perf_counter() - begun)
        found["fresh_read_ms"] = round(float(np.median(reads)) * 1e3, 3)
        found["list_of_100_ms"] = round(float(np.median(lists)) * 1e3, 3)


STEPS: dict[str, Callable[[Path, Path, dict[str, Any]], None]] = {
    "import": run_import,
    "start-untrained": run_start,
    "train": run_train,
    "start": run_start,
    "start-killed": run_killed,
    "merge": _job("merge"),
    "checkpoint": _job("checkpoint"),
    "serving": run_serving,
    "erasure": run_erasure,
}


def measure(sizes: list[float], steps: list[str], folder: Path) -> Iterator[dict[str, Any]]:
    """Yield one row for each size and step."""
    for size in sizes:
        data = folder / f"events-{size:g}.parquet"
        store = folder / f"store-{size:g}"
        if not data.exists():
            write_events(data, round(size * MILLION))
        if "import" in steps:
            shutil.rmtree(store, ignore_errors=True)
        for step in steps:
            command = [sys.executable, "-m", "benchmarks.scale", "--child", step]
            done = subprocess.run(
                [*command, "--folder", str(folder), "--sizes", f"{size:g}"],
                stdout=subprocess.PIPE,
                check=False,
            )
            row = {"million_events": size, "step": step}
            row |= json.loads(done.stdout) if done.returncode == 0 else {"failed": done.returncode}
            print(json.dumps(row), flush=True)
            yield row


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw CPU time and peak memory against the number of events, both logarithmic."""
    from nearline.common.pictures import new_figure, save_picture

    figure = new_figure(9.0, 4.0)
    panels = figure.subplots(1, 2)
    for panel, key, label in zip(panels, ("cpu_s", "peak_mb"), ("CPU s", "MB"), strict=True):
        for step in STEPS:
            own = [row for row in rows if row["step"] == step and key in row]
            panel.plot([r["million_events"] for r in own], [r[key] for r in own], "o-", label=step)
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.set_xlabel("million events")
        panel.set_title(label, fontsize="medium")
        panel.grid(alpha=0.3)
    panels[0].legend(frameon=False, fontsize="small")
    save_picture(figure, path, "Growth with the number of events")


def main() -> None:
    """Measure all sizes, or one step in a child process."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sizes", type=float, nargs="+", default=list(SIZES))
    parser.add_argument("--large", action="store_true", help="also 20 and 50 million events")
    parser.add_argument("--steps", nargs="+", choices=list(STEPS), default=list(STEPS))
    parser.add_argument("--folder", type=Path, help="keep data and stores here")
    parser.add_argument("--picture", type=Path, help="a .svg or .png file to write")
    parser.add_argument("--child", choices=list(STEPS), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        found: dict[str, Any] = {}
        name = f"{asked.sizes[0]:g}"
        store, data = asked.folder / f"store-{name}", asked.folder / f"events-{name}.parquet"
        STEPS[asked.child](store, data, found)
        print(json.dumps(found))
        return
    sizes = [*asked.sizes, *(LARGE if asked.large else ())]
    with tempfile.TemporaryDirectory() as name:
        rows = list(measure(sizes, asked.steps, asked.folder or Path(name)))
    if asked.picture:
        draw(rows, asked.picture)
    print(write("scale", {"sizes": sizes, "steps": asked.steps}, rows))


if __name__ == "__main__":
    main()
