"""Checkpoints in the background, so that a restart replays only the latest records."""

from pathlib import Path
from threading import Lock

from nearline.common.budget import divided
from nearline.config import Config
from nearline.deployment import store
from nearline.deployment.active import ActiveDeployment
from nearline.deployment.location import log_url
from nearline.errors import InvalidInput
from nearline.jobs import worker
from nearline.jobs.queue import Job, Jobs, Outcome, Task
from nearline.jobs.scheduler import NEVER
from nearline.sealing import FILES
from nearline.state import remove_unfinished

# Minimum seconds between checkpoints, however fast events arrive.
LEAST_SECONDS = 20.0


class Checkpoints:
    """Checkpoints of a store: on request, and when the scheduler finds one due."""

    kind = "checkpoint"

    def __init__(self, current: ActiveDeployment, jobs: Jobs) -> None:
        self._current = current
        self._jobs = jobs
        self._lock = Lock()
        # Offset of the last checkpoint, and the time at which one was last queued or written.
        self._offset, self._at = current.deployment.state.offset, current.elapsed()

    def submit(self) -> Job:
        """Queue a checkpoint.

        Raises
        ------
        InvalidInput
            The recommender has no folder.
        """
        folder = self._current.path
        if folder is None:
            raise InvalidInput(
                "a recommender in memory has no checkpoint; give it a folder", field="kind"
            )
        self._current.open()
        job = self._jobs.submit(self.kind, lambda task: self._write(task, folder))
        with self._lock:
            self._at = self._current.elapsed()
        return job

    def remaining(self, now: float) -> float:
        """Return the seconds from `now` until a checkpoint is due."""
        if self._current.path is None:
            return NEVER
        with self._lock:
            records = self._current.deployment.state.offset - self._offset
            return seconds_left(self._current.config, records, now - self._at)

    def _write(self, task: Task, folder: Path) -> Outcome:
        parts, path = self._current.open(), folder / store.CHECKPOINT
        erasures = parts.log.erasures
        if parts.log.seal is not None:
            parts.log.seal.keys.of([FILES])  # the process of the job cannot make a key
        request = worker.ToCheckpoint(
            log=log_url(folder),
            checkpoint=str(path),
            config=self._current.config.state,
            item_ids=parts.state.items.table(),
        )
        try:
            offset = worker.checkpoint(
                request, task, divided(self._current.config.memory).job
            ).offset
        finally:
            remove_unfinished(path)
        # After an erasure the file is stale, and it may contain the erased user's events.
        if parts.log.erasures != erasures:
            path.unlink(missing_ok=True)
        with self._lock:
            self._offset, self._at = offset, self._current.elapsed()
        return Outcome(f"wrote the state at offset {offset:,}", {"offset": offset})


def seconds_left(config: Config, records: int, seconds: float) -> float:
    """Return the seconds until a checkpoint is due; `NEVER` if there is nothing new to write.

    Parameters
    ----------
    records : int
        Log records since the last checkpoint.
    seconds : float
        Seconds since it was queued or written.
    """
    if records <= 0:
        return NEVER
    wait = config.checkpoint_seconds
    if records >= config.checkpoint_events:
        wait = min(wait, LEAST_SECONDS)
    return wait - seconds
