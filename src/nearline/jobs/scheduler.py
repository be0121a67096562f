"""The scheduler, which queues checkpoints, merges and encoding jobs when they are due."""

import logging
import math
from collections.abc import Sequence
from threading import Event, Thread
from typing import Protocol, Self

from nearline.deployment.active import ActiveDeployment
from nearline.errors import NearlineError
from nearline.jobs.queue import Job, Jobs

logger = logging.getLogger(__name__)

# Seconds between checks under constant writes, instead of a check after each commit.
PAUSE_SECONDS = 0.1
# Maximum seconds between checks.
LONGEST_SECONDS = 60.0
# Seconds until the next check after a job could not be queued.
RETRY_SECONDS = 5.0
NEVER = math.inf


class Recurring(Protocol):
    """Work of one kind that is queued repeatedly.

    Attributes
    ----------
    kind : str
        Kind of its jobs.
    """

    kind: str

    def remaining(self, now: float) -> float:
        """Return the seconds from `now` until a job is due.

        If the result is not positive, a job is due. If it is `NEVER`, none is due before the log or
        the store changes. `now` is in seconds of `ActiveDeployment.elapsed`.
        """
        ...

    def submit(self) -> Job:
        """Queue a job."""
        ...


class Scheduler:
    """Thread that queues the recurring jobs of an open recommender.

    The thread sleeps until the log changes (`ActiveDeployment.changed`) or the next job is due. At
    most one job of each kind is queued or running. During an import or a training in the
    foreground, no job is queued.

    Parameters
    ----------
    current : ActiveDeployment
        Recommender whose log and store are checked.
    jobs : Jobs
        Queue of jobs.
    works : sequence of Recurring
        Work of each kind.
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
        """Stop the thread; no job is queued after this returns. Idempotent."""
        self._stopping.set()
        self._current.changed.set()
        if self._thread.ident is not None:
            self._thread.join()

    def run_due(self) -> float:
        """Queue the jobs that are due now; return the seconds until the next check."""
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
        except Exception:  # must end neither the thread nor the jobs of other kinds
            logger.exception("a %s job is due and could not be queued", work.kind)
        return RETRY_SECONDS

    def _run(self) -> None:
        while not self._stopping.is_set():
            # Cleared before the check, so that a change during the check ends the next wait.
            self._current.changed.clear()
            seconds = self.run_due()
            self._stopping.wait(PAUSE_SECONDS)
            if not self._stopping.is_set():
                self._current.changed.wait(seconds)
