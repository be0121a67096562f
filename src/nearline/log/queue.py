"""Bounded queue of work, from which one thread takes groups of jobs."""

from collections import deque
from concurrent.futures import Future
from threading import Condition
from typing import Any, Generic, Protocol, TypeVar

from nearline.common.waiting import may_wait
from nearline.errors import Closed, Overloaded


class QueuedWork(Protocol):
    """Protocol of jobs for the writer."""

    @property
    def future(self) -> Future[Any]:
        """Future that is resolved when the work is done."""

    @property
    def size(self) -> int:
        """Number of records, at least 1."""

    @property
    def bytes(self) -> int:
        """Size of the encoded records."""

    @property
    def joins(self) -> bool:
        """Whether the job may be in a group with its neighbours in the queue."""


J = TypeVar("J", bound=QueuedWork)


class JobQueue(Generic[J]):
    """First-in, first-out queue of jobs with a limit on the number of records.

    Parameters
    ----------
    capacity : int
        Number of queued records at which the queue is full. If it is not full, a job of any size
        is accepted, so that large jobs wait no longer than small ones.
    group_size : int
        Number of records at which a group is complete.
    capacity_bytes : int
        Bytes of queued records at which the queue is full, too.

    Attributes
    ----------
    queued_bytes : int
        Bytes of the queued records.
    """

    def __init__(self, *, capacity: int, group_size: int, capacity_bytes: int) -> None:
        self._capacity = capacity
        self.capacity_bytes = capacity_bytes
        self.queued_bytes = 0
        self._group_size = group_size
        self._jobs: deque[J] = deque()
        self._queued = 0
        self._closed = False
        self._changed = Condition()

    def put(self, job: J) -> None:
        """Append a job; wait while the queue is full.

        Raises
        ------
        Closed
            The queue is closed.
        Overloaded
            The queue is full and the caller must not wait: in the thread of a running event loop,
            or for a request to a server.
        """
        with self._changed:
            if self._is_full() and not self._closed and not may_wait():
                raise Overloaded(
                    f"{self._queued:,} records wait to be written ({self.queued_bytes:,} bytes), "
                    "which is the limit of the log's queue; nothing was stored, try again in a "
                    "second"
                )
            self._changed.wait_for(lambda: self._closed or not self._is_full())
            if self._closed:
                raise Closed("the log is closed; open the store again")
            self._jobs.append(job)
            self._queued += job.size
            self.queued_bytes += job.bytes
            self._changed.notify_all()

    def take(self, timeout: float | None = None) -> list[J]:
        """Wait for jobs, at most `timeout` seconds, and return the next group.

        The group is empty if the time is over, or if the queue is closed and empty. The futures are
        marked as running. Jobs with a cancelled future are left out.
        """
        group: list[J] = []
        with self._changed:
            while not group:
                self._changed.wait_for(lambda: self._closed or self._jobs, timeout)
                if not self._jobs:
                    return []
                group = self._next_group()
            self._changed.notify_all()
        return group

    @property
    def waits(self) -> bool:
        """Whether a job is queued."""
        return bool(self._jobs)

    @property
    def is_closed(self) -> bool:
        """Whether further jobs are rejected."""
        return self._closed

    def close(self) -> None:
        """Reject further jobs; queued ones can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _is_full(self) -> bool:
        return self._queued >= self._capacity or self.queued_bytes >= self.capacity_bytes

    def _next_group(self) -> list[J]:
        group: list[J] = []
        size = 0
        while self._jobs and size < self._group_size:
            if group and not (group[-1].joins and self._jobs[0].joins):
                break
            job = self._jobs.popleft()
            self._queued -= job.size
            self.queued_bytes -= job.bytes
            if job.future.set_running_or_notify_cancel():
                group.append(job)
                size += job.size
        return group
