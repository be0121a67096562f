"""Following of promotions that other servers recorded in a shared log."""

import logging
from collections.abc import Callable
from threading import Event, Thread

from nearline.config import Config
from nearline.deployment import promotion
from nearline.deployment.store import Deployment
from nearline.errors import NearlineError
from nearline.log import FollowedLog, SharedLog
from nearline.schema.definitions import ACTIVE, MODEL, PROMOTED

logger = logging.getLogger(__name__)

# Model ID before the first snapshot.
UNTRAINED_ID = "untrained"
# Seconds until a snapshot that could not be loaded is tried again.
RETRY_SECONDS = 5.0
Swap = Callable[[Callable[[Deployment], Deployment]], Deployment]


class PromotionFollower:
    """Thread that changes to the snapshot which the log names, if the log is shared.

    Parameters
    ----------
    deployment : callable
        Returns the current deployment.
    swap : callable
        Replaces the deployment; see `ActiveDeployment.swap`.
    """

    def __init__(self, deployment: Callable[[], Deployment], swap: Swap, config: Config) -> None:
        self._deployment, self._swap, self._config = deployment, swap, config
        self._woken, self._stopping = Event(), False
        self._thread = Thread(target=self._run, name="nearline-promotions", daemon=True)

    def start(self) -> None:
        """Start the thread if the log is shared."""
        log = self._deployment().log
        if isinstance(log, FollowedLog):
            log.on_model = self.wake
        if isinstance(log, SharedLog):
            self._woken.set()
            self._thread.start()

    def wake(self) -> None:
        """Look for a promotion soon; called after each commit."""
        self._woken.set()

    def stop(self) -> None:
        """End the thread; idempotent."""
        self._stopping = True
        self._woken.set()
        if self._thread.ident is not None:
            self._thread.join()

    def follow(self) -> bool:
        """Change to the promoted snapshot if it is another one; return False if that failed."""
        promoted = promoted_in(self._deployment())
        if not promoted or promoted[-1] == self._deployment().model_id:
            return True
        try:
            self._swap(self._promoted)
        except NearlineError as error:
            logger.warning(
                "snapshot %s was promoted by another server and cannot be used here: %s; share the "
                "folder of snapshots with ?snapshots=DIR in the URL of the store",
                promoted[-1],
                error,
            )
            return False
        return True

    def _promoted(self, now: Deployment) -> Deployment:
        promoted = promoted_in(now)
        if not promoted or promoted[-1] == now.model_id:
            return now
        if isinstance(now.log, FollowedLog):  # the history is kept by the process that promotes
            return promotion.with_snapshot(now, promoted[-1], self._config)
        return promotion.follow_promotion(now, promoted, self._config)

    def _run(self) -> None:
        followed = True
        while True:
            self._woken.wait(None if followed else RETRY_SECONDS)
            if self._stopping:
                return
            self._woken.clear()
            followed = self.follow()


def promoted_in(parts: Deployment) -> list[str]:
    """Return the promotion history in the log, oldest first; empty if there is none."""
    if isinstance(parts.log, FollowedLog):
        return [] if parts.log.model == UNTRAINED_ID else [parts.log.model]
    body = parts.state.definitions.get(MODEL, ACTIVE)
    return list(body[PROMOTED]) if body else []
