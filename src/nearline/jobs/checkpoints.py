"""Writes the state to its checkpoint now and then, so that a restart replays little."""

from contextlib import suppress
from pathlib import Path
from threading import Lock

from nearline.common.memory import give_back
from nearline.deployment import store
from nearline.deployment.active import ActiveDeployment
from nearline.errors import InvalidInput, Overloaded
from nearline.jobs import worker
from nearline.jobs.queue import Job, Jobs, Outcome, Task
from nearline.log import url_of

KIND = "checkpoint"
# However fast events come, checkpoints must not take all the time there is.
LEAST_SECONDS = 20.0


class Checkpoints:
    """Checkpoints of `current`: on demand, and after so many records or seconds."""

    def __init__(self, current: ActiveDeployment, jobs: Jobs) -> None:
        self._current = current
        self._jobs = jobs
        self._lock = Lock()
        self._written = (current.deployment.state.offset, current.clock())

    def submit(self) -> Job:
        """Queue a checkpoint.

        Raises
        ------
        InvalidInput
            The recommender lives in memory.
        """
        folder = self._current.path
        if folder is None:
            raise InvalidInput(
                "a recommender in memory has no checkpoint; give it a folder", field="kind"
            )
        self._current.open()
        return self._jobs.submit(KIND, lambda task: self._write(task, folder))

    def submit_if_due(self) -> None:
        """Queue a checkpoint if one is due: called before each write, and cheap."""
        if self._current.path is None:
            return
        with self._lock:
            offset, now = self._current.deployment.state.offset, self._current.clock()
            config, (then, at) = self._current.config, self._written
            records, waited = offset - then, now - at
            many = records >= config.checkpoint_events and waited >= LEAST_SECONDS
            if not many and (records == 0 or waited < config.checkpoint_seconds):
                return
            self._written = (offset, now)
        # No write fails for it: it is due again later.
        with suppress(Overloaded):
            self.submit()

    def _write(self, task: Task, folder: Path) -> Outcome:
        parts, path = self._current.open(), folder / store.CHECKPOINT
        erasures = parts.log.erasures
        request = worker.ToCheckpoint(
            log=url_of(folder / store.LOG),
            checkpoint=str(path),
            config=self._current.config.state,
            item_ids=parts.state.items.table(),
        )
        offset = worker.checkpoint(request, task).offset
        # An erasure meanwhile made the file useless, and the bytes of the erased must not stay.
        if parts.log.erasures != erasures:
            path.unlink(missing_ok=True)
        with self._lock:
            self._written = (offset, self._current.clock())
        # The ids of all items went to the process that wrote.
        del request
        give_back()
        return Outcome(f"the state at offset {offset:,} is written", {"offset": offset})
