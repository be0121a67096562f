"""Status of an engine: its model, offset and readiness, and what its answers depend on."""

from msgspec.structs import replace

from nearline.common.budget import MemoryUse, divided
from nearline.deployment import store
from nearline.deployment.active import ActiveDeployment
from nearline.deployment.stamp import Stamp
from nearline.deployment.summary import training_summary
from nearline.log import SharedLog
from nearline.state import CatalogueMatch, Reflected, match_catalogue

# Records by which a server may be behind a shared log before it is not ready.
MOST_BEHIND = 10_000


class EngineStatus:
    """Status of a recommender: active snapshot, offset, and numbers of users and items."""

    _current: ActiveDeployment
    # The latest stamp that does not depend on the time, after what it was made of; a cached list
    # needs it, and making it would take a fifth of the time of its answer.
    _latest_stamp: tuple[Reflected | None, store.Deployment | None, Stamp | None] = None, None, None

    @property
    def model_id(self) -> str:
        """ID of the active snapshot; ``untrained`` without one."""
        return self._current.deployment.model_id

    @property
    def metrics(self) -> dict[str, float]:
        """Accuracy of the active model on its validation data; empty if untrained."""
        snapshot = self._current.deployment.snapshot
        return dict(snapshot.manifest.metrics) if snapshot else {}

    @property
    def training_summary(self) -> list[str]:
        """Sentences about the training data and the choice of the active model."""
        snapshot = self._current.deployment.snapshot
        return training_summary(snapshot.manifest) if snapshot else []

    @property
    def repeats_found(self) -> bool:
        """Whether training found that users repeat items: the meaning of `repeats` "auto"."""
        return self._current.deployment.repeats_found

    @property
    def offset(self) -> int:
        """Every log record before this offset is reflected in answers."""
        return self._current.deployment.state.offset

    @property
    def reached(self) -> int:
        """Every log record before this offset was folded and learned; see `Reflected`."""
        return self._current.deployment.state.reflected.offset

    @property
    def unready(self) -> str | None:
        """Why other servers should answer instead, if several share the log; None normally."""
        log = self._current.deployment.log
        if not isinstance(log, SharedLog):
            return None
        if log.failure is not None:
            return f"the log cannot be followed any more ({type(log.failure).__name__}); restart"
        if log.behind > MOST_BEHIND:
            return f"{log.behind:,} records of the log are not reflected yet"
        return None

    @property
    def stamp(self) -> Stamp | None:
        """What answers depend on: one stays valid while the stamp read before it is the same.

        None while the model lags behind the log, or if each answer counts as an impression: answers
        are then not to be kept.
        """
        current = self._current
        parts = current.deployment
        reflected, live = parts.state.reflected, parts.live
        latest, latest_parts, stamp = self._latest_stamp
        if (
            latest is reflected
            and latest_parts is parts
            and not (current.lags or current.others or (live is not None and live.lags))
        ):
            return stamp
        return self._new_stamp(current, parts, reflected)

    def _new_stamp(
        self, current: ActiveDeployment, parts: store.Deployment, reflected: Reflected
    ) -> Stamp | None:
        # Checked last: an import that begins in between must not give its offsets to a stamp.
        if (
            current.config.imply_impressions
            or current.lags
            or (parts.live is not None and parts.live.lags)
            or any(one.live is not None and one.live.lags for one in current.others.values())
        ):
            return None
        catalogue = parts.state.catalogue
        expired = catalogue.advance(current.clock()) if catalogue.expiring else 0
        rules = parts.state.definitions
        period = rules.period(current.clock()) if rules.boundaries else 0
        stamp = Stamp(parts.stamp_model, reflected.offset, reflected.erasures, expired, period)
        if current.others:
            stamp = replace(stamp, others=tuple(current.others))
        if not rules.window:
            if not (current.others or catalogue.expiring or rules.boundaries):
                self._latest_stamp = reflected, parts, stamp
            return stamp
        window = int(current.clock() // rules.window)
        at = 0.0 if current.outcomes is None else current.outcomes.at
        return replace(stamp, window=window, outcomes=at)

    @property
    def n_users(self) -> int:
        """Number of users with a history."""
        return len(self._current.deployment.state.users)

    @property
    def n_items(self) -> int:
        """Number of items known from events or the catalogue."""
        return len(self._current.deployment.state.items)

    @property
    def catalogue_match(self) -> CatalogueMatch:
        """How the items of events and those of the catalogue match."""
        return match_catalogue(self._current.deployment.state)

    @property
    def queue_memory(self) -> MemoryUse:
        """Bytes of the records that wait to be written to the log, and their maximum."""
        limit = divided(self._current.config.memory).queue
        return MemoryUse(limit, lambda: self._current.deployment.log.queued_bytes)

    @property
    def learning_memory(self) -> MemoryUse:
        """Bytes of the stored changes that models have not learned yet, and their maximum."""
        return self._current.learning_memory

    @property
    def encodes(self) -> bool:
        """Whether item texts are encoded by a language model, which takes milliseconds."""
        return self._current.texts is not None

    @property
    def texts_missed(self) -> int:
        """Number of texts stored without a vector since the recommender was opened."""
        return self._current.texts.missed if self._current.texts is not None else 0
