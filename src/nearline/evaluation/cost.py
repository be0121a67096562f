"""What a model costs: time and memory of its fit, time of its answers.

Clocks are passed in; memory is what the operating system says of this process.
"""

import gc
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from nearline.common.memory import give_back
from nearline.data.dataset import Dataset, Histories
from nearline.errors import NearlineError
from nearline.models.base import Model

T = TypeVar("T")
Clock = Callable[[], float]

# Users asked for one at a time: enough for a 99th percentile.
SINGLE_ANSWERS = 300
WARM_UP_USERS = 200


class Cost(NamedTuple):
    """Seconds on the wall, seconds of all cores together, and bytes.

    `peak_bytes` is how far resident memory rose above where it stood, None where the system does
    not say; freed memory that could not be given back and is used again does not show.
    """

    wall_s: float
    cpu_s: float
    peak_bytes: int | None


class AnswerTimes(NamedTuple):
    """Seconds of one answer, over a few hundred users: half and all but 1 % are faster."""

    median_s: float
    p99_s: float


def measured(work: Callable[[], T], *, wall: Clock, cpu: Clock) -> tuple[T, Cost]:
    """Call `work`; return what it returned, and what it cost."""
    # Or using it again would not count.
    gc.collect()
    give_back()
    peak = _Peak()
    start, start_cpu = wall(), cpu()
    result = work()
    return result, Cost(wall() - start, cpu() - start_cpu, peak.growth())


def array_bytes(model: Model) -> int:
    """Bytes of everything that a snapshot of `model` holds."""
    return sum(array.nbytes for array in model.arrays().values())


def time_answers(model: Model, histories: Histories, k: int, *, wall: Clock) -> AnswerTimes:
    """Time `recommend_from` for each of `histories` alone; the first is asked twice."""
    rows = [histories.select(np.array([row])) for row in range(len(histories))]
    model.recommend_from(rows[0], k)
    seconds = []
    for row in rows:
        start = wall()
        model.recommend_from(row, k)
        seconds.append(wall() - start)
    median, high = np.quantile(seconds, [0.5, 0.99])
    return AnswerTimes(float(median), float(high))


def warm_up(model: Model, data: Dataset) -> None:
    """Fit a copy of `model` on a few users, so that no kernel is compiled while time is taken.

    Where the few do not suffice, nothing is warmed: the fit that is timed will say what is wrong.
    """
    with suppress(NearlineError):
        some = _some(data, WARM_UP_USERS)
        fitted = type(model)(model.config).fit(some)
        fitted.recommend_from(some.histories, 10)


def _some(data: Dataset, n_users: int) -> Dataset:
    """Cut out the first users who did anything, and the items that they touched."""
    users = np.flatnonzero(np.diff(data.histories.indptr))[:n_users]
    kept = np.isin(data.user_of_each(), users)
    histories = data.histories.select(users)
    items, numbers = np.unique(histories.items, return_inverse=True)
    return Dataset(
        user_ids=[data.user_ids[user] for user in users],
        item_ids=[data.item_ids[item] for item in items],
        histories=replace(histories, items=numbers.astype(np.int32)),
        values=data.values[kept],
        texts=None if data.texts is None else [data.texts[item] for item in items],
        categories=None if data.categories is None else [data.categories[item] for item in items],
        vectors={name: column[items] for name, column in data.vectors.items()},
    )


class _Peak:
    """Watches how high the resident memory of this process rises."""

    def __init__(self) -> None:
        self._resets = _reset_peak()
        self._start = _status("VmRSS") if self._resets else _highest()

    def growth(self) -> int | None:
        """Bytes above the start; without a reset, above what was highest before."""
        end = _status("VmHWM") if self._resets else _highest()
        return None if self._start is None or end is None else max(0, end - self._start)


def _reset_peak() -> bool:
    """Let the kernel count the highest resident memory from now on (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _status(field: str) -> int | None:
    found = re.search(rf"^{field}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.M)
    return int(found[1]) * 1024 if found else None


def _highest() -> int | None:
    """Highest resident memory since the process began, where the system counts it."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
