"""Multithreading of kernels: functions that release the GIL run on chunks of rows."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

# Maximum number of chunks: enough to balance uneven rows, but few enough for a low overhead.
MOST_CHUNKS = 64


def available_threads() -> int:
    """Return the number of cores available to this process, limited by ``OMP_NUM_THREADS``."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(wanted)) if wanted.isdecimal() and int(wanted) else cores


def map_chunks(
    work: Callable[[int, int], T], n_rows: int, *, least: int = 256, threads: int | None = None
) -> list[T]:
    """Call ``work(first, last)`` in several threads for ranges that cover all rows.

    A range consists of the rows from `first` to ``last - 1``. Ranges depend on `n_rows` and
    `least`, but not on `threads`, so that results are the same on every machine.

    Parameters
    ----------
    work : callable
        Processes one range. It must not write data that another range reads.
    n_rows : int
        Number of rows.
    least : int
        Minimum number of rows in a range, except the last.
    threads : int or None
        Number of threads; None for one per core. A single range runs in the calling thread.

    Returns
    -------
    list
        Return values of `work`, in the order of the ranges.
    """
    size = max(least, -(-n_rows // MOST_CHUNKS))
    ranges = [(first, min(first + size, n_rows)) for first in range(0, n_rows, size)]
    if len(ranges) > 1:
        threads = min(threads or available_threads(), len(ranges))
    if len(ranges) <= 1 or threads == 1:
        return [work(first, last) for first, last in ranges]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda bounds: work(*bounds), ranges))
