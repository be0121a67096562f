"""The events of the measurement of growth, and what a step took as the kernel counts it."""

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event as Signal
from threading import Thread
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nearline.common.budget import process_memory

HISTORY, EVENTS_PER_ITEM, CLUSTER, HOMES, EXPONENT = 40, 100, 1_000, 3, 0.9
BLOCK_USERS = 10_000
START, STEP = 1_700_000_000.0, 60.0
# Unit of the blocks in `resource.getrusage`.
BLOCK_BYTES = 512
SAMPLE_SECONDS = 0.2


def write_events(path: Path, events: int, seed: int = 0) -> int:
    """Write about `events` events of a synthetic shop to a Parquet file; return their number.

    The file appears under its name once it is complete.
    """
    rng = np.random.default_rng(seed)
    users, items = max(events // HISTORY, 1), max(events // EVENTS_PER_ITEM, CLUSTER)
    clusters = items // CLUSTER
    mass = np.cumsum(np.arange(1, CLUSTER + 1) ** -EXPONENT)
    columns = [("user_id", pa.string()), ("item_id", pa.string()), ("timestamp", pa.float64())]
    count, unfinished = 0, path.with_suffix(".unfinished")
    with pq.ParquetWriter(unfinished, pa.schema(columns)) as writer:
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
    unfinished.replace(path)
    return count


@contextmanager
def measured(found: dict[str, Any], *, children: bool = False) -> Iterator[None]:
    """Add the time, memory and bytes written of the block to `found`.

    The peak of memory is that of the whole process so far, or of its largest child.

    Parameters
    ----------
    children : bool
        Whether to measure the processes that are started, and have ended, within the block instead
        of this one.
    """
    who = resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF
    before, wall = resource.getrusage(who), time.perf_counter()
    yield
    after = resource.getrusage(who)
    found["wall_s"] = round(time.perf_counter() - wall, 3)
    found["cpu_s"] = round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 3)
    found["peak_mb"] = round(after.ru_maxrss / 1_024, 1)
    found["written_mb"] = round((after.ru_oublock - before.ru_oublock) * BLOCK_BYTES / 1e6, 3)


@contextmanager
def own_memory_watched(found: dict[str, Any]) -> Iterator[None]:
    """Add the peak of the memory of this process without mapped files to `found`, sampled."""
    over, most = Signal(), [0.0]

    def watch() -> None:
        while not over.wait(SAMPLE_SECONDS):
            most[0] = max(most[0], process_memory(os.getpid()) / 1e6)

    watching = Thread(target=watch, name="memory")
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()
        found["own_mb"] = round(most[0], 1)


def folder_size(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
