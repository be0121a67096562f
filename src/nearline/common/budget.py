"""The memory budget of a process, and its division among the parts that are bounded in bytes."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

# Range of a budget.
LEAST_BYTES, MOST_BYTES = 128_000_000, 1_000_000_000_000_000
# Limits of the control group of the process, in versions 2 and 1.
CGROUP_FILES = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
# Bytes if neither the machine nor a control group reports its memory.
_UNKNOWN_BYTES = 4_000_000_000


class MemoryBudget(NamedTuple):
    """Maximum bytes of each part.

    Attributes
    ----------
    bodies : int
        Bodies of requests in flight.
    answers : int
        Large answers that clients have not read yet.
    cache : int
        Cached answers.
    queue : int
        Encoded records that are waiting to be written to the log, texts included.
    learning : int
        Stored changes that are waiting to be learned by a model.
    job : int
        Memory of the process of one job.
    """

    bodies: int
    answers: int
    cache: int
    queue: int
    learning: int
    job: int


class MemoryUse(NamedTuple):
    """A part of the budget for metrics: its maximum, and a function that returns its bytes."""

    limit: int
    used: Callable[[], int]


def divided(memory: int | None) -> MemoryBudget:
    """Divide a budget in bytes; None means half of the memory of the machine.

    A part in the server is a fraction of the budget and has a maximum, since more than that is of
    no use. A job may use half of the budget.
    """
    if memory is None:
        memory = max(LEAST_BYTES, machine_memory() // 2)
    return MemoryBudget(
        bodies=min(memory // 16, 256_000_000),
        answers=min(memory // 32, 128_000_000),
        cache=min(memory // 16, 256_000_000),
        queue=min(memory // 16, 256_000_000),
        learning=min(memory // 16, 256_000_000),
        job=memory // 2,
    )


def machine_memory() -> int:
    """Return the bytes of memory that the process can use: of the machine, or its control group."""
    found = [_UNKNOWN_BYTES]
    with suppress(OSError, ValueError, AttributeError):
        found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for path in CGROUP_FILES:
        with suppress(OSError, ValueError):  # "max" is not a number
            found.append(int(path.read_text()))
    return min(found)


def process_memory(pid: int) -> int:
    """Return the bytes of a process that are not mapped from files; 0 if they are unknown."""
    with suppress(OSError, ValueError, IndexError):
        status = Path(f"/proc/{pid}/status").read_text()
        return 1_024 * int(status.split("RssAnon:")[1].split()[0])
    return 0
