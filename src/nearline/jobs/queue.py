"""Jobs: slow work in the background that can be listed, monitored and cancelled.

Each kind of job has one thread: trainings run one after the other, and checkpoints do not wait for
them.
"""

import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, Lock
from typing import Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from nearline.common.memory import give_back
from nearline.errors import Closed, NearlineError, Overloaded, UnknownJob
from nearline.notebook import job_html
from nearline.notebook.live import live_output

logger = logging.getLogger(__name__)

JobState = Literal["queued", "running", "done", "refused", "failed", "cancelled"]
UNFINISHED = ("queued", "running")


class Job(Struct, frozen=True, kw_only=True):
    """Status of one job at the time of the call.

    Attributes
    ----------
    id, kind : str
    state : str
        ``refused``: the work is complete, but its result is not used; `message` says why.
    done, total, what : int, int, str
        Steps done, total steps (0 if unknown), and the name of the current step.
    created, started, finished : float or None
        Unix seconds.
    message : str
        Description of the outcome.
    result : dict
        Result as JSON values.
    """

    id: str
    kind: str
    state: JobState
    created: float
    done: int = 0
    total: int = 0
    what: str = ""
    started: float | None = None
    finished: float | None = None
    message: str = ""
    result: dict[str, str | float] = {}

    def _repr_html_(self) -> str:
        return job_html(self)


class Outcome(NamedTuple):
    """Result of a job: a message, JSON values, and whether the result is refused."""

    message: str
    result: dict[str, str | float]
    refused: bool = False


class Cancelled(Exception):
    """The job was cancelled; raised by `Task.progress` and `Task.check`."""


class Task:
    """Handle with which the work of a job reports progress and checks for cancellation."""

    def __init__(self, on_progress: Callable[[int, int, str], None]) -> None:
        self._on_progress = on_progress
        self._cancelled = Event()
        self._on_cancel: Callable[[], None] | None = None
        self._lock = Lock()

    def progress(self, done: int, total: int, what: str) -> None:
        """Report progress; raise `Cancelled` if the job was cancelled."""
        self.check()
        self._on_progress(done, total, what)

    def check(self) -> None:
        """Raise `Cancelled` if the job was cancelled."""
        if self._cancelled.is_set():
            raise Cancelled

    @contextmanager
    def cancelled_by(self, callback: Callable[[], None]) -> Iterator[None]:
        """Call `callback`, from another thread, if the job is cancelled inside the block."""
        with self._lock:
            self._on_cancel = callback
            cancelled = self._cancelled.is_set()
        try:
            if cancelled:
                callback()
            yield
        finally:
            with self._lock:
                self._on_cancel = None

    def cancel(self) -> None:
        """Cancel the work."""
        with self._lock:
            self._cancelled.set()
            if self._on_cancel is not None:
                self._on_cancel()


Work = Callable[[Task], Outcome]


class _Entry:
    def __init__(self, job: Job) -> None:
        self.job = job
        self.over = Event()
        self.task = Task(self._set_progress)

    def _set_progress(self, done: int, total: int, what: str) -> None:
        self.job = replace(self.job, done=done, total=total, what=what)


class Jobs:
    """The jobs of one recommender; thread-safe.

    Parameters
    ----------
    clock : callable
        Returns Unix seconds.
    queued : int
        Maximum number of queued jobs of one kind.
    history : int
        Number of finished jobs to remember.
    """

    def __init__(self, clock: Callable[[], float], *, queued: int = 10, history: int = 100) -> None:
        self._clock = clock
        self._queued, self._history = queued, history
        self._entries: dict[str, _Entry] = {}
        self._workers: dict[str, ThreadPoolExecutor] = {}
        self._lock = Lock()
        self._closed = False
        self._process = os.getpid()
        self._count = 0

    def submit(self, kind: str, work: Work) -> Job:
        """Queue work after other jobs of its kind.

        Raises
        ------
        Overloaded
            The maximum number of jobs of this kind is queued.
        Closed
            The recommender was closed, or this process was forked after it was opened.
        """
        if self._process != os.getpid():  # in which there are no threads that would do the work
            raise Closed(
                f"the recommender was opened by process {self._process}, from which this one was "
                "forked; open the store in the process that uses it"
            )
        with self._lock:
            if self._closed:
                raise Closed("this recommender was closed; open the store again")
            waiting = sum(
                entry.job.kind == kind and entry.job.state == "queued"
                for entry in self._entries.values()
            )
            if waiting >= self._queued:
                raise Overloaded(
                    f"{waiting} jobs of kind {kind!r} are queued, which is the limit; "
                    "cancel one, or try again later"
                )
            self._count += 1
            job = Job(id=f"{kind}-{self._count}", kind=kind, state="queued", created=self._clock())
            entry = self._entries[job.id] = _Entry(job)
            if kind not in self._workers:
                self._workers[kind] = ThreadPoolExecutor(1, thread_name_prefix=f"nearline-{kind}")
            self._workers[kind].submit(self._run, entry, work)
        return job

    def list(self) -> list[Job]:
        """Return unfinished and remembered jobs, newest first."""
        with self._lock:
            return [entry.job for entry in reversed(self._entries.values())]

    def has_unfinished(self, kind: str) -> bool:
        """Return whether a job of this kind is queued or running."""
        with self._lock:
            jobs = [entry.job for entry in self._entries.values()]
        return any(job.kind == kind and job.state in UNFINISHED for job in jobs)

    def get(self, job_id: str) -> Job:
        """Return one job; raise `UnknownJob` if it does not exist or is no longer remembered."""
        return self._entry(job_id).job

    def wait(self, job_id: str, timeout: float | None = None) -> Job:
        """Wait until a job is finished, at most `timeout` seconds; return it."""
        entry = self._entry(job_id)
        entry.over.wait(timeout)
        return entry.job

    def watch(self, job_id: str, every: float = 0.25) -> Job:
        """Wait until a job is finished and return it; in a notebook, show its progress.

        `every`: seconds between two updates.
        """
        entry = self._entry(job_id)
        draw = live_output()
        while not entry.over.wait(every):
            draw(job_html(entry.job))
        draw("")
        return entry.job

    def cancel(self, job_id: str) -> Job:
        """Cancel a job: immediately if it is queued, otherwise when it next reports progress.

        A job in a separate process is killed immediately. A finished job is unchanged.
        """
        entry = self._entry(job_id)
        with self._lock:
            waits = entry.job.state == "queued"
            if waits:
                self._finish(entry, "cancelled", "cancelled before it started")
        if not waits:
            entry.task.cancel()
        return entry.job

    def close(self) -> None:
        """Cancel all jobs, wait until they are finished, and accept no more; idempotent.

        In a forked process, which has no jobs, it does nothing.
        """
        if self._process != os.getpid():
            return
        with self._lock:
            self._closed = True
            unfinished = [
                entry.job.id for entry in self._entries.values() if entry.job.state in UNFINISHED
            ]
        for job_id in unfinished:
            self.cancel(job_id)
        for worker in self._workers.values():
            worker.shutdown()

    def _entry(self, job_id: str) -> _Entry:
        with self._lock:
            found = self._entries.get(job_id)
        if found is None:
            raise UnknownJob(
                f"job {job_id!r:.80} does not exist or is no longer remembered; list the jobs"
            )
        return found

    def _run(self, entry: _Entry, work: Work) -> None:
        with self._lock:
            if entry.job.state != "queued":
                return
            entry.job = replace(entry.job, state="running", started=self._clock())
        try:
            outcome = work(entry.task)
        except Cancelled:
            self._end(entry, "cancelled", "cancelled while it was running")
        except NearlineError as error:
            self._end(entry, "failed", str(error))
        except Exception as error:
            logger.exception("job %s failed", entry.job.id)
            self._end(entry, "failed", f"{type(error).__name__}: {error}")
        else:
            # Frees the data of the work, and the model that it replaced.
            give_back()
            entry.job = replace(entry.job, result=outcome.result)
            self._end(entry, "refused" if outcome.refused else "done", outcome.message)

    def _end(self, entry: _Entry, state: JobState, message: str) -> None:
        with self._lock:
            self._finish(entry, state, message)

    def _finish(self, entry: _Entry, state: JobState, message: str) -> None:
        """Store the outcome of a job, and forget the oldest jobs; the caller holds the lock."""
        entry.job = replace(entry.job, state=state, message=message, finished=self._clock())
        over = [name for name, one in self._entries.items() if one.job.state not in UNFINISHED]
        for name in over[: -self._history]:
            del self._entries[name]
        entry.over.set()
