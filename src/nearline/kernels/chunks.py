"""Work cut into chunks of rows, run by a few threads over kernels that release the GIL."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

# Chunks in all: enough to even out uneven rows, few enough that scratch is not the main cost.
MOST_CHUNKS = 64


def available_threads() -> int:
    """Cores that this process may use, no more than ``OMP_NUM_THREADS`` where that is set."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(wanted)) if wanted.isdecimal() and int(wanted) else cores


def map_chunks(
    work: Callable[[int, int], T], n_rows: int, *, least: int = 256, threads: int | None = None
) -> list[T]:
    """Call ``work(first, last)`` over half-open ranges that cover ``range(n_rows)``.

    Where the ranges end depends on `n_rows` and `least` alone, never on `threads`, so that results
    are the same on any machine.

    Parameters
    ----------
    work : callable
        Must write nothing that another range reads.
    least : int
        Fewest rows in a range (but the last); a job no longer than this runs in the caller.
    threads : int or None
        Threads to use; None for one a core.

    Returns
    -------
    list
        What `work` returned, in order of the ranges.
    """
    size = max(least, -(-n_rows // MOST_CHUNKS))
    ranges = [(first, min(first + size, n_rows)) for first in range(0, n_rows, size)]
    threads = min(threads or available_threads(), len(ranges))
    if threads <= 1:
        return [work(first, last) for first, last in ranges]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda bounds: work(*bounds), ranges))
