"""Removal of expired events in the background."""

from collections.abc import Callable

from nearline.common.budget import divided
from nearline.common.counts import count
from nearline.deployment.active import ActiveDeployment
from nearline.deployment.location import log_url
from nearline.errors import InvalidInput
from nearline.ingest.expired import ExpiredUsers, expired_users
from nearline.jobs import worker
from nearline.jobs.queue import Job, Jobs, Outcome, Task
from nearline.jobs.scheduler import NEVER
from nearline.schema.retention import Cutoffs, check_retention, cutoffs_at

# Seconds between two searches of the log, at least and at most. For short periods the least is a
# share of the shortest one.
LEAST_SECONDS, MOST_SECONDS, SHARE = 3_600.0, 86_400.0, 24


class Retention:
    """Removal of expired events: on request, and when the scheduler finds it due.

    A process of its own searches the log for users with expired events. These are then erased user
    by user, like single deleted events, so that counts, lists and snapshots are equal to those
    without the events.
    """

    kind = "retention"

    def __init__(self, current: ActiveDeployment, jobs: Jobs) -> None:
        self._current, self._jobs = current, jobs
        self._due = current.elapsed()

    def submit(self) -> Job:
        """Queue the removal of all events that are expired now.

        Raises
        ------
        InvalidInput
            No kind of event has a period.
        """
        self._current.open()
        self._cutoffs()
        job = self._jobs.submit(self.kind, self._remove)
        self._due = self._current.elapsed() + self._least()
        return job

    def run(self) -> int:
        """Remove all expired events now, in this thread; return their number."""
        return self._erase_all(lambda cutoffs: expired_users(self._current.open().log, cutoffs))

    def remaining(self, now: float) -> float:
        """Return the seconds from `now` until a removal is due; see `Recurring.remaining`."""
        if not self._current.config.retention or not self._current.deployment.log.end:
            return NEVER
        return self._due - now

    def _remove(self, task: Task) -> Outcome:
        memory = divided(self._current.config.memory).job

        def search(cutoffs: Cutoffs) -> ExpiredUsers:
            if self._current.path is None:
                return expired_users(self._current.open().log, cutoffs)
            request = worker.ToExpire(log=log_url(self._current.path), cutoffs=dict(cutoffs))
            return worker.find_expired(request, task, memory)

        removed = self._erase_all(search, task)
        return Outcome(f"removed {count(removed, 'expired record')}", {"removed": removed})

    def _erase_all(
        self, search: Callable[[Cutoffs], ExpiredUsers], task: Task | None = None
    ) -> int:
        cutoffs, removed = self._cutoffs(), 0
        while True:
            found = search(cutoffs)
            for at, user_id in enumerate(found.user_ids):
                if task is not None:
                    task.check()
                    task.progress(at, len(found.user_ids), "remove expired events")
                removed += self._erase(user_id, cutoffs)
            if not found.more:
                break
        left = MOST_SECONDS if found.left is None else found.left
        self._due = self._current.elapsed() + max(self._least(), min(left, MOST_SECONDS))
        return removed

    def _erase(self, user_id: str, cutoffs: Cutoffs) -> int:
        removed = 0
        while erased := self._current.erased(
            lambda log: log.erase_expired(user_id, cutoffs)
        ).result():
            removed += erased
        return removed

    def _least(self) -> float:
        shortest = min(check_retention(self._current.config.retention).values())
        return min(LEAST_SECONDS, max(1.0, shortest / SHARE))

    def _cutoffs(self) -> Cutoffs:
        retention = self._current.config.retention
        if not retention:
            raise InvalidInput(
                "no kind of event has a period of retention; set Config.retention, such as "
                'retention = { view = "90d" } in nearline.toml',
                field="kind",
            )
        return cutoffs_at(retention, self._current.clock())
