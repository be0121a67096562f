"""Merges in the background of the counts that the active model learned online."""

import math

from nearline.common.budget import divided
from nearline.common.counts import count
from nearline.config import Config
from nearline.deployment.active import ActiveDeployment
from nearline.deployment.location import log_url
from nearline.deployment.promotion import replace_promoted
from nearline.errors import InvalidInput
from nearline.jobs import worker
from nearline.jobs.leases import training_lease
from nearline.jobs.queue import Job, Jobs, Outcome, Task
from nearline.jobs.scheduler import NEVER
from nearline.jobs.training import training_spec
from nearline.models.capabilities import LearnsOnline

# Minimum seconds between merges, however fast events arrive.
LEAST_SECONDS = 30.0
# The same if what the model learned takes more than twice the usual memory.
SHORTEST_SECONDS = 5.0
# Usual memory of what the model learns from an event.
EVENT_BYTES = 3_000


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
            The recommender has no folder or no events, or the model does not learn online.
        """
        parts = self._current.open()
        if parts.snapshots is None:
            raise InvalidInput(
                "a recommender in memory has no snapshots to merge into; give it a folder",
                field="kind",
            )
        if not len(parts.state.users):
            raise InvalidInput("there are no events to merge", field="kind")
        if not isinstance(parts.model, LearnsOnline):
            raise InvalidInput(
                f"model {parts.model.name!r} does not learn online, so there is "
                "nothing to merge; train it again instead",
                field="kind",
            )
        job = self._jobs.submit(self.kind, self._merge)
        self._at = self._current.elapsed()
        return job

    def remaining(self, now: float) -> float:
        """Return the seconds from `now` until a merge is due."""
        config, parts = self._current.config, self._current.deployment
        if parts.snapshots is None or not len(parts.state.users):
            return NEVER
        if not config.online or not isinstance(parts.model, LearnsOnline):
            return NEVER
        records, erased = parts.state.offset, False
        if parts.snapshot is not None:
            manifest = parts.snapshot.manifest
            records -= manifest.offset
            erased = parts.log.erasures != manifest.erasures
        learned = parts.model.learned_bytes
        return seconds_left(config, records, now - self._at, erased=erased, learned=learned)

    def _merge(self, task: Task) -> Outcome:
        current = self._current
        parts = current.open()
        if current.path is None or parts.snapshots is None:
            raise InvalidInput("there are no snapshots to merge into", field="kind")
        old_id, old = parts.model_id, parts.snapshot.manifest if parts.snapshot else None
        spec = training_spec(current, parts, current.config, old.seed if old else 0)
        request = worker.ToMerge(
            log=log_url(current.path),
            snapshots=str(parts.snapshots.folder),
            spec=spec,
            serving=old.id if old else None,
        )
        with training_lease(parts.log) as lease, parts.snapshots.writing():
            new_id = worker.merge(request, task, divided(current.config.memory).job).snapshot_id
            now = current.swap(
                lambda now: replace_promoted(now, old_id, new_id, current.config, lease)
            )
            parts.snapshots.prune(current.config.keep_snapshots, parts.state.definitions.models)
        if now.model_id != new_id:
            return Outcome(
                "not promoted: another model became active during the merge",
                {"snapshot_id": new_id},
                refused=True,
            )
        records = spec.offset - (old.offset if old else 0)
        message = f"merged into the snapshot: {count(records, 'record')}"
        return Outcome(message, {"snapshot_id": new_id})


def seconds_left(
    config: Config, records: int, seconds: float, *, erased: bool, learned: int = 0
) -> float:
    """Return the seconds until a merge is due; `NEVER` if there is too little to merge.

    Parameters
    ----------
    records : int
        Log records since the snapshot.
    seconds : float
        Seconds since the last merge was queued.
    erased : bool
        Whether a user was erased since then, so that the snapshot still contains their counts.
    learned : int
        Bytes used by what the model learned since the snapshot.
    """
    wait = math.inf
    usual = config.merge_events * EVENT_BYTES
    if records >= config.merge_events or learned >= usual:
        # Events of users with long histories need more memory than usual.
        wait = LEAST_SECONDS if learned < 2 * usual else SHORTEST_SECONDS
    if erased:
        wait = min(wait, config.checkpoint_seconds)
    return wait - seconds
