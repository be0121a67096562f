"""What the groups of methods of the recommender share: opening, closing, and views."""

import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any, Self

from msgspec.structs import replace

from nearline.config import Config, configured, with_settings_of
from nearline.deployment import store
from nearline.deployment.active import ActiveDeployment
from nearline.deployment.live_search import LiveSearch
from nearline.deployment.location import folder_of
from nearline.deployment.status import EngineStatus
from nearline.deployment.versions import Versions
from nearline.engine.periodic import Periodic
from nearline.engine.sampled_events import SampledEvents
from nearline.ingest import start_with
from nearline.ingest.connector import Ingested
from nearline.ingest.impressions import Impressions
from nearline.ingest.quarantine import Quarantine
from nearline.jobs.checkpoints import Checkpoints
from nearline.jobs.embedding import Embedding
from nearline.jobs.ingesting import Ingesting
from nearline.jobs.merging import Merging
from nearline.jobs.queue import Jobs
from nearline.jobs.retention import Retention
from nearline.jobs.scheduler import Scheduler
from nearline.jobs.training import Training
from nearline.log import Log, SharedLog, UnwritableLog
from nearline.models.capabilities import AdaptsWeights
from nearline.notebook import tiles, wrap
from nearline.recommend.language import Language
from nearline.recommend.lists import View
from nearline.recommend.recent_lists import RecentLists
from nearline.schema.segments import hours_of
from nearline.served import ServedLog
from nearline.served.outcome_counts import OutcomeCounts
from nearline.state import State
from nearline.trust.ledger import Ledger

# Seconds between two checks of guardrails.
PERIOD_SECONDS = 60.0


# `Config.least_people` of a sealed store.
SEALED_LEAST_PEOPLE = 20


class Engine(EngineStatus):
    """An open recommender: its deployment, its jobs and its clock."""

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        preset: str = "fast",
        encoder: str | None = None,
        config: Config | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = folder_of(path) if path is not None else None
        config = with_settings_of(self.path, configured(config or Config(), preset, encoder))
        self._clock = clock
        self._like: object = None
        self.language = Language(config.llm, clock)
        self._current = current = ActiveDeployment(self.path, config, clock)
        self.config = current.config
        parts = current.deployment
        start_with(config.scenarios, config.rules, parts.log, parts.state, now=clock())
        self.jobs = jobs = Jobs(clock)
        self.versions = Versions(current)
        self._search = LiveSearch(current)
        self._training, self._checkpoints = Training(current, jobs), Checkpoints(current, jobs)
        self._merging, self._embedding = Merging(current, jobs), Embedding(current, jobs)
        self._retention = Retention(current, jobs)
        writable = not isinstance(parts.log, UnwritableLog)
        recurring = (self._checkpoints, self._merging, self._embedding, self._retention)
        self._impressions = Impressions(self._log_and_state)
        self._recent = RecentLists()
        self.served = ServedLog(
            self.path, config.served_days, clock, writable=writable, seal=parts.log.seal
        )
        self._ledger = Ledger(self.path)
        # Counts of what items led to, and the log and served log from which they were counted.
        self._counts: tuple[object, OutcomeCounts] | None = None
        self._counting = Lock()
        self._periodic = Periodic(self._every_minute, PERIOD_SECONDS)
        self._sampled: SampledEvents | None = None
        self._sampled_of: State | None = None
        # The last record of weights, and what was learned since without being logged.
        self._learned: tuple[object, dict[str, Any]] | None = None
        if config.adapt:
            self._sample_events()
        needed = parts.state.definitions.running or parts.state.definitions.window
        shared = isinstance(parts.log, SharedLog)  # definitions come from other servers, too
        if needed or shared or config.adapt:
            self._periodic.start()
        self._policies_at: dict[str, object] = {}
        current.load_others(parts.state.definitions.models)
        self._quarantine = Quarantine(self.path, parts.log.seal)
        self._ingesting, self.ingested = Ingesting(), dict[str, Ingested]()
        self._scheduler = Scheduler(current, jobs, recurring if writable else ()).start()

    def now(self) -> float:
        """Return the current time of the recommender's clock in Unix seconds."""
        return self._clock()

    def save(self, path: str | Path) -> None:
        """Write log, checkpoint and snapshot to a new folder, which `load` can open."""
        self._impressions.flush()
        store.save(self._current.open(), Path(path))
        self.served.copy_to(Path(path))
        self._ledger.copy_to(Path(path))

    @classmethod
    def load(cls, path: str | Path, **options: Any) -> Self:
        """Open a folder that `save` wrote, or any other store."""
        store.check_is_store(folder_of(path))
        return cls(path, **options)

    def close(self) -> None:
        """Cancel jobs, finish queued writes, save the checkpoint, close the store. Idempotent."""
        self._ingesting.close()
        self._scheduler.stop()
        self._periodic.stop()
        self.jobs.close()
        self.language.close()
        self._impressions.close()
        self.served.close()
        self._merging.count_imported()
        self._current.close()
        self._quarantine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _sample_events(self) -> None:
        """Follow the state that is in use, to sample events for `adapt`."""
        state = self._current.open().state
        if self._sampled_of is not state:
            current = self._current
            self._sampled = SampledEvents(state, lambda: current.deployment.model, self._clock)
            self._sampled_of = state

    def _every_minute(self) -> None:
        """Do what is repeated while the recommender is open; groups of methods extend it."""

    @property
    def least_people(self) -> int:
        """Minimum number of users of an item that lists about all users show; see `Config`."""
        if self.config.least_people is not None:
            return self.config.least_people
        return 0 if self._current.open().log.seal is None else SEALED_LEAST_PEOPLE

    def title(self, item_id: str) -> str:
        """Return the title of an item; empty if it has none."""
        state = self._current.open().state
        index = state.items.get(item_id)
        entry = None if index is None else state.catalogue.get(index)
        return "" if entry is None else entry.title

    def _repr_html_(self) -> str:
        numbers = [("users", self.n_users), ("items", self.n_items), ("log records", self.offset)]
        shown = [(label, f"{value:,}") for label, value in numbers]
        return wrap(repr(type(self).__name__)[1:-1], tiles([*shown, ("model", self.model_id)]))

    def _view(self) -> View:
        parts = self._current.serving()
        now = self._clock()
        about = (parts.state, parts.model, parts.model_id, now)
        repeats = (self.config.repeats, parts.repeats_found)
        view = View(*about, *repeats, signer=parts.signer, impressions=self._impressions)
        factors = parts.state.definitions.factors[hours_of(now)]
        model = parts.model
        if getattr(model, "factors", factors) != factors and isinstance(model, AdaptsWeights):
            model.set_factors(factors)
        others, outcomes = self._current.others, self._current.outcomes
        if not others and outcomes is None:
            return view
        models = {name: one.model for name, one in others.items()}
        return replace(view, models=models, outcomes=outcomes)

    def _log_and_state(self) -> tuple[Log, State]:
        parts = self._current.open()
        return parts.log, parts.state
