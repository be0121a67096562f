"""Cost of a model: time and memory of its fit, and its response times.

Clocks are parameters, so that tests can replace them. Memory is the resident memory of this
process, as reported by the operating system.
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

# Number of users whose single responses are timed: enough for a 99th percentile.
SINGLE_ANSWERS = 300
WARM_UP_USERS = 200


class Cost(NamedTuple):
    """Time and memory of an operation.

    Attributes
    ----------
    wall_s : float
        Wall-clock time in seconds.
    cpu_s : float
        CPU time in seconds, summed over all cores.
    peak_bytes : int or None
        Largest increase of resident memory over its value at the start, in bytes; None if the
        system does not report it. Memory that the process already held but did not use is not
        counted.
    """

    wall_s: float
    cpu_s: float
    peak_bytes: int | None


class AnswerTimes(NamedTuple):
    """Median and 99th percentile of the response time for one user, in seconds."""

    median_s: float
    p99_s: float


def measured(work: Callable[[], T], *, wall: Clock, cpu: Clock) -> tuple[T, Cost]:
    """Call `work`; return its result and its cost, with the clocks `wall` and `cpu` in seconds."""
    # Freed memory is returned to the system first, since its reuse would not be counted.
    gc.collect()
    give_back()
    peak = _Peak()
    start, start_cpu = wall(), cpu()
    result = work()
    return result, Cost(wall() - start, cpu() - start_cpu, peak.growth())


def array_bytes(model: Model) -> int:
    """Return the total size in bytes of the arrays of `model`."""
    return sum(array.nbytes for array in model.arrays().values())


def time_answers(model: Model, histories: Histories, k: int, *, wall: Clock) -> AnswerTimes:
    """Measure response times: rank `k` items for one history at a time, after a warm-up call.

    Parameters
    ----------
    model : Model
        Fitted model.
    histories : Histories
        Histories of the users, at least one.
    k : int
        Length of the lists.
    wall : callable
        Clock in seconds.
    """
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
    """Fit a copy of `model` on a few users, so that the timed fit does not compile functions.

    An error of this fit is ignored: if it is not due to the small data, the timed fit raises it
    too.
    """
    with suppress(NearlineError):
        some = _first_users(data, WARM_UP_USERS)
        fitted = type(model)(model.config).fit(some)
        fitted.recommend_from(some.histories, 10)


def _first_users(data: Dataset, n_users: int) -> Dataset:
    """Restrict `data` to its first `n_users` users with interactions, and to their items."""
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
    """Measurement of the peak resident memory of this process, from construction on."""

    def __init__(self) -> None:
        self._resets = _reset_peak()
        self._start = _status("VmRSS") if self._resets else _highest()

    def growth(self) -> int | None:
        """Return the increase of the peak in bytes; None if the system does not report it.

        It is relative to the memory at construction or, if the system cannot reset the peak, to
        the previous peak.
        """
        end = _status("VmHWM") if self._resets else _highest()
        return None if self._start is None or end is None else max(0, end - self._start)


def _reset_peak() -> bool:
    """Reset the peak of resident memory that Linux reports; return whether that was possible."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _status(field: str) -> int | None:
    found = re.search(rf"^{field}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.M)
    return int(found[1]) * 1024 if found else None


def _highest() -> int | None:
    """Return the peak resident memory of this process in bytes; None if it is not reported."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
