"""What the groups of methods of the recommender share: opening, closing, and views."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from nearline.config import Config, configured, with_settings_of
from nearline.deployment import store
from nearline.deployment.active import ActiveDeployment, EngineStatus
from nearline.deployment.live_search import LiveSearch
from nearline.deployment.location import folder_of
from nearline.deployment.versions import Versions
from nearline.ingest import start_with
from nearline.ingest.impressions import Impressions
from nearline.jobs.checkpoints import Checkpoints
from nearline.jobs.embedding import Embedding
from nearline.jobs.merging import Merging
from nearline.jobs.queue import Jobs
from nearline.jobs.retention import Retention
from nearline.jobs.scheduler import Scheduler
from nearline.jobs.training import Training
from nearline.log import Log
from nearline.recommend.language import Language
from nearline.recommend.lists import View
from nearline.recommend.recent_lists import RecentLists
from nearline.state import State


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
        recurring = (self._checkpoints, self._merging, self._embedding, self._retention)
        self._impressions = Impressions(self._log_and_state)
        self._recent = RecentLists()
        self._scheduler = Scheduler(current, jobs, recurring).start()

    def now(self) -> float:
        """Return the current time of the recommender's clock in Unix seconds."""
        return self._clock()

    def save(self, path: str | Path) -> None:
        """Write log, checkpoint and snapshot to a new folder, which `load` can open."""
        self._impressions.flush()
        store.save(self._current.open(), Path(path))

    @classmethod
    def load(cls, path: str | Path, **options: Any) -> Self:
        """Open a folder that `save` wrote, or any other store."""
        store.check_is_store(folder_of(path))
        return cls(path, **options)

    def close(self) -> None:
        """Cancel jobs, finish queued writes, save the checkpoint, close the store. Idempotent."""
        self._scheduler.stop()
        self.jobs.close()
        self.language.close()
        self._impressions.close()
        self._current.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _view(self) -> View:
        parts = self._current.serving()
        repeats = (self.config.repeats, parts.repeats_found)
        about = (parts.state, parts.model, parts.model_id, self._clock())
        return View(*about, *repeats, signer=parts.signer, impressions=self._impressions)

    def _log_and_state(self) -> tuple[Log, State]:
        parts = self._current.open()
        return parts.log, parts.state
