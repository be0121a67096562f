"""Merges in the background of the counts that the active model learned online."""

import math

from nearline.common.budget import divided
from nearline.common.counts import count
from nearline.config import Config
from nearline.deployment import store
from nearline.deployment.active import ActiveDeployment
from nearline.errors import InvalidInput
from nearline.jobs import worker
from nearline.jobs.queue import Job, Jobs, Outcome, Task
from nearline.jobs.scheduler import NEVER
from nearline.jobs.training import training_spec
from nearline.log import url_of
from nearline.models.capabilities import LearnsOnline

# Minimum seconds between merges, however fast events arrive.
LEAST_SECONDS = 30.0


class Merging:
    """Merges of a store: on request, and when the scheduler finds one due."""

    kind = "merge"

    def __init__(self, current: ActiveDeployment, jobs: Jobs) -> None:
        self._current = current
        self._jobs = jobs
        self._at = current.elapsed()  # when the last merge was queued

    def submit(self) -> Job:
        """Queue a merge.

        Raises
        ------
        InvalidInput
            The recommender has no folder or no snapshot, or the model does not learn online.
        """
        parts = self._current.open()
        if parts.snapshot is None or parts.snapshots is None:
            raise InvalidInput(
                "there is no snapshot in a folder to merge into; train first", field="kind"
            )
        if not isinstance(parts.model, LearnsOnline):
            raise InvalidInput(
                f"model {parts.snapshot.manifest.model!r} does not learn online, so there is "
                "nothing to merge; train it again instead",
                field="kind",
            )
        job = self._jobs.submit(self.kind, self._merge)
        self._at = self._current.elapsed()
        return job

    def remaining(self, now: float) -> float:
        """Return the seconds from `now` until a merge is due."""
        config, parts = self._current.config, self._current.deployment
        if parts.snapshot is None or parts.snapshots is None:
            return NEVER
        if not config.online or not isinstance(parts.model, LearnsOnline):
            return NEVER
        manifest = parts.snapshot.manifest
        records = parts.state.offset - manifest.offset
        erased = parts.log.erasures != manifest.erasures
        return seconds_left(config, records, now - self._at, erased=erased)

    def _merge(self, task: Task) -> Outcome:
        current = self._current
        parts = current.open()
        if current.path is None or parts.snapshots is None or parts.snapshot is None:
            raise InvalidInput("there is no snapshot to merge into", field="kind")
        old = parts.snapshot.manifest
        spec = training_spec(current, parts, current.config, old.seed)
        request = worker.ToMerge(
            log=url_of(current.path / store.LOG),
            snapshots=str(current.path / store.SNAPSHOTS),
            spec=spec,
            serving=old.id,
        )
        with parts.snapshots.writing():
            new_id = worker.merge(request, task, divided(current.config.memory).job).snapshot_id
            now = current.swap(
                lambda now: store.replace_promoted(now, old.id, new_id, current.config)
            )
        parts.snapshots.prune(current.config.keep_snapshots)
        if now.model_id != new_id:
            return Outcome(
                "not promoted: another model became active during the merge",
                {"snapshot_id": new_id},
                refused=True,
            )
        message = f"merged into the snapshot: {count(spec.offset - old.offset, 'record')}"
        return Outcome(message, {"snapshot_id": new_id})


def seconds_left(config: Config, records: int, seconds: float, *, erased: bool) -> float:
    """Return the seconds until a merge is due; `NEVER` if there is too little to merge.

    Parameters
    ----------
    records : int
        Log records since the snapshot.
    seconds : float
        Seconds since the last merge was queued.
    erased : bool
        Whether a user was erased since then, so that the snapshot still contains their counts.
    """
    wait = math.inf
    if records >= config.merge_events:
        wait = LEAST_SECONDS
    if erased:
        wait = min(wait, config.checkpoint_seconds)
    return wait - seconds
