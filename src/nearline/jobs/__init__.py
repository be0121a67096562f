"""Slow work beside serving: the queue, its worker process and what it runs."""

from nearline.jobs.queue import Job, Jobs, Outcome, Task

__all__ = ["Job", "Jobs", "Outcome", "Task"]
