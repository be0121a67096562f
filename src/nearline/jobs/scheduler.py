"""The scheduler: queue checkpoints, merges and embedding jobs by the log's offset and the time."""

import logging
import math
from collections.abc import Sequence
from threading import Event, Thread
from typing import Protocol, Self

from nearline.deployment.active import ActiveDeployment
from nearline.errors import NearlineError
from nearline.jobs.queue import Job, Jobs

logger = logging.getLogger(__name__)

# Under constant writes the scheduler looks ten times a second, not after every commit.
PAUSE_SECONDS = 0.1
# It looks once a minute even if nothing seems to be due.
LONGEST_SECONDS = 60.0
# Wait after a job that could not be queued.
RETRY_SECONDS = 5.0
NEVER = math.inf


class Recurring(Protocol):
    """Work of one kind that is queued again and again.

    Attributes
    ----------
    kind : str
        Kind of its jobs.
    """

    kind: str

    def remaining(self, now: float) -> float:
        """Return the seconds from `now` until a job is due.

        Zero or less: it is due. `NEVER`: not before the log or the store changes. `now` is in
        seconds of `ActiveDeployment.elapsed`.
        """
        ...

    def submit(self) -> Job:
        """Queue a job."""
        ...


class Scheduler:
    """Queues the recurring jobs of an open recommender, from a thread of its own.

    The thread sleeps until the log changes (`ActiveDeployment.changed`) or the next job is due. A
    kind of which a job is queued or running is left alone. While an import or a training runs in
    the foreground, nothing is queued.

    Parameters
    ----------
    current : ActiveDeployment
    jobs : Jobs
    works : sequence of Recurring
    """

    def __init__(self, current: ActiveDeployment, jobs: Jobs, works: Sequence[Recurring]) -> None:
        self._current, self._jobs, self._works = current, jobs, works
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="nearline-scheduler", daemon=True)

    def start(self) -> Self:
        """Start the thread."""
        # A recommender in memory without an encoder has nothing to checkpoint, merge or embed.
        if self._current.path is not None or self._current.texts is not None:
            self._thread.start()
        return self

    def stop(self) -> None:
        """Stop the thread; nothing is queued once this returns. Idempotent."""
        self._stopping.set()
        self._current.changed.set()
        if self._thread.ident is not None:
            self._thread.join()

    def run_due(self) -> float:
        """Queue the jobs that are due now; return the seconds until the next look."""
        if self._current.in_foreground:
            return LONGEST_SECONDS  # the end of the foreground work wakes the thread
        now = self._current.elapsed()
        return min([LONGEST_SECONDS, *(self._run_one(work, now) for work in self._works)])

    def _run_one(self, work: Recurring, now: float) -> float:
        try:
            if self._jobs.has_unfinished(work.kind):
                return LONGEST_SECONDS
            remaining = work.remaining(now)
            if remaining > 0:
                return remaining
            work.submit()
        except NearlineError as error:
            logger.warning("a %s job is due and could not be queued: %s", work.kind, error)
        except Exception:  # the other kinds, and later jobs of this one, must not suffer
            logger.exception("a %s job is due and could not be queued", work.kind)
        return RETRY_SECONDS

    def _run(self) -> None:
        while not self._stopping.is_set():
            # Cleared before looking: what changes from here on wakes the next wait.
            self._current.changed.clear()
            seconds = self.run_due()
            self._stopping.wait(PAUSE_SECONDS)
            if not self._stopping.is_set():
                self._current.changed.wait(seconds)
