"""Slow work in the background: the job queue, the scheduler, and the worker process."""

from nearline.jobs.queue import Job, Jobs, Outcome, Task

__all__ = ["Job", "Jobs", "Outcome", "Task"]
