"""Merges in the background of the counts that the active model learned online."""

import logging
import math

from nearline.common.budget import divided
from nearline.common.counts import count
from nearline.config import Config
from nearline.deployment.active import ActiveDeployment
from nearline.deployment.location import log_url
from nearline.deployment.promotion import keep_merged, replace_promoted
from nearline.errors import InvalidInput, NearlineError
from nearline.jobs import worker
from nearline.jobs.leases import training_lease
from nearline.jobs.queue import Job, Jobs, Outcome, Task
from nearline.jobs.scheduler import NEVER
from nearline.jobs.training import training_spec
from nearline.models.capabilities import LearnsOnline
from nearline.training.compaction import merge

logger = logging.getLogger(__name__)

# Minimum seconds between merges, however fast events arrive.
LEAST_SECONDS = 30.0
# The same if what the model learned takes more than twice the usual memory.
SHORTEST_SECONDS = 5.0
# Usual memory of what the model learns from an event.
EVENT_BYTES = 3_000
# Share of the records in the snapshot from which on new records are merged.
LEAST_SHARE = 0.01
# Imported records that are counted when the store is closed, and not each time it is opened.
IMPORTED = 100_000


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
        records, erased, total = parts.state.offset, False, 0
        if parts.snapshot is not None:
            manifest = parts.snapshot.manifest
            total = manifest.offset
            records -= total
            erased = parts.log.erasures != manifest.erasures
        learned = parts.model.learned_bytes
        return seconds_left(
            config, records, now - self._at, erased=erased, learned=learned, total=total
        )

    def count_imported(self) -> None:
        """Write the counts of a large import to a snapshot, so that no start has to count it.

        Called before the store is closed. An import pauses the model, so only the next opening
        would count its records, and every later one again until a merge. If it fails, that is what
        happens.
        """
        current, parts = self._current, self._current.deployment
        old = parts.snapshot.manifest if parts.snapshot else None
        records = parts.state.offset - (old.offset if old else 0)
        if not current.behind or parts.snapshots is None or records < IMPORTED:
            return
        if not current.config.online or not isinstance(parts.model, LearnsOnline):
            return
        try:
            spec = training_spec(current, parts, current.config, old.seed if old else 0)
            with training_lease(parts.log) as lease:
                snapshot = merge(parts.log, spec, parts.snapshot, current.texts)
                keep_merged(parts, snapshot, current.config, lease)
        except (NearlineError, OSError) as error:
            logger.warning("the next start counts what was imported: %s", error)

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
    config: Config,
    records: int,
    seconds: float,
    *,
    erased: bool,
    learned: int = 0,
    total: int = 0,
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
    total : int
        Number of records in the snapshot. A merge counts them again, so a large one is rare.
    """
    wait = math.inf
    least = max(config.merge_events, int(total * LEAST_SHARE))
    usual = least * EVENT_BYTES
    if records >= least or learned >= usual:
        # Events of users with long histories need more memory than usual.
        wait = LEAST_SECONDS if learned < 2 * usual else SHORTEST_SECONDS
    if erased:
        wait = min(wait, config.checkpoint_seconds)
    return wait - seconds
