"""The steps of the measurement of growth with the log, each in a process of its own.

``python -m nearline.bench.size_steps STEP STORE DATA`` runs one step and prints what it took.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

MILLION = 1_000_000
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
    subprocess.run([sys.executable, "-c", code, str(store)], check=False)  # noqa: S603
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


def main() -> None:
    """Run the step that the command line names."""
    step, store, data = sys.argv[1:4]
    found: dict[str, Any] = {}
    STEPS[step](Path(store), Path(data), found)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
