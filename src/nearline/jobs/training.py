"""Train in the foreground (`fit`) or as a job in the background, and promote the result."""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from msgspec.structs import replace

from nearline import ingest
from nearline.common.progress import Progress
from nearline.config import Config
from nearline.data import CleaningReport, read_interactions
from nearline.deployment import store
from nearline.deployment.active import ActiveDeployment
from nearline.jobs import worker
from nearline.jobs.queue import Job, Jobs, Outcome, Task
from nearline.log import url_of
from nearline.snapshots import SnapshotStore
from nearline.training.acceptance import Verdict, train_and_judge
from nearline.training.train import TrainingSpec, check_serves, train

Columns = Mapping[str, str]

KIND = "train"
POLL_SECONDS = 0.2


class Training:
    """Trainings of one recommender, one at a time."""

    def __init__(self, current: ActiveDeployment, jobs: Jobs) -> None:
        self._current = current
        self._jobs = jobs

    def fit(
        self,
        interactions: object,
        items: object,
        validation: object,
        columns: Columns | None,
        *,
        seed: int,
        progress: Progress,
        **options: Any,
    ) -> None:
        """Import, train on the whole log and promote; see `Recommender.fit`."""
        current = self._current
        current.open()
        chosen = None if validation is None else read_interactions(validation, columns, **options)
        with current.training, current.foreground():
            old = parts = current.open()
            if current.path is None and interactions is not None:
                parts = store.open_memory(current.config, current.texts, current.changed.set)
                # The model trained below learns everything at once, so this one can stop learning.
                store.retire(parts)
            try:
                import_tables(current, parts, interactions, items, columns, progress, **options)
                snapshot = train(
                    parts.log,
                    training_spec(current, parts, current.config, seed),
                    validation=chosen,
                    texts=current.texts,
                    progress=progress,
                    journal=None if current.path is None else current.path / store.SEARCH,
                )
                current.swap(lambda _: store.promote(parts, snapshot, current.config))
            finally:
                # Close the log that is not in use now: the old one, or the new one after a failure.
                for log in {old.log, parts.log} - {current.deployment.log}:
                    log.close()

    def submit(self, seed: int, model: str | None, settings: Mapping[str, Any] | None) -> Job:
        """Queue a training; see `Recommender.train`."""
        self._current.open()
        config = self._current.config
        if model is not None:
            config = replace(config, model=model, settings={})
        if settings is not None:
            config = replace(config, settings=dict(settings))
        check_serves(config.new_model())  # a wrong name is refused at once
        return self._jobs.submit(KIND, lambda task: self._train(task, config, seed))

    def _train(self, task: Task, config: Config, seed: int) -> Outcome:
        """Train in the background; promote the result, or report why not."""
        current, training = self._current, self._current.training
        while not training.acquire(timeout=POLL_SECONDS):
            task.progress(0, 0, "wait for another training")
        try:
            parts = current.open()
            if current.path is None or parts.snapshots is None:
                return self._train_here(parts, training_spec(current, parts, config, seed), task)
            request = worker.ToTrain(
                log=url_of(current.path / store.LOG),
                snapshots=str(current.path / store.SNAPSHOTS),
                journal=str(current.path / store.SEARCH),
                spec=training_spec(current, parts, config, seed),
                serving=parts.snapshot.manifest.id if parts.snapshot else None,
            )
            return self._train_apart(parts.snapshots, request, task)
        finally:
            training.release()

    def _train_here(self, parts: store.Deployment, spec: TrainingSpec, task: Task) -> Outcome:
        snapshot, verdict = train_and_judge(
            parts.log,
            spec,
            parts.snapshot,
            texts=self._current.texts,
            progress=task.progress,
        )
        task.progress(1, 1, "promote")
        if verdict.promote:
            config = self._current.config
            self._current.swap(lambda now: store.promote(now, snapshot, config))
        return _outcome(snapshot.manifest.id, verdict, snapshot.manifest.metrics)

    def _train_apart(
        self, snapshots: SnapshotStore, request: worker.ToTrain, task: Task
    ) -> Outcome:
        config = self._current.config
        with snapshots.writing():
            trained = worker.train(request, task)
            task.progress(1, 1, "promote")
            if trained.verdict.promote:
                self._current.swap(
                    lambda now: store.promote_stored(now, trained.snapshot_id, config)
                )
        if trained.verdict.promote:
            snapshots.prune(config.keep_snapshots)
        return _outcome(trained.snapshot_id, trained.verdict, trained.metrics)


def training_spec(
    current: ActiveDeployment, parts: store.Deployment, config: Config, seed: int
) -> TrainingSpec:
    """Return the specification of a training on the log up to the offset of the state."""
    # Read first: an erasure that happens meanwhile is then known to be missing.
    erasures = parts.log.erasures
    with parts.state.lock:  # the items must be those of the offset
        offset, item_ids = parts.state.offset, parts.state.items.table()
    return TrainingSpec(
        config=config,
        item_ids=item_ids,
        offset=offset,
        erasures=erasures,
        seed=seed,
        vectors=None if current.vectors is None else str(current.vectors),
    )


def import_tables(
    current: ActiveDeployment,
    parts: store.Deployment,
    interactions: object,
    items: object,
    columns: Columns | None,
    progress: Progress,
    **options: Any,
) -> CleaningReport | None:
    """Import items, then interactions, into the log of `parts`; report what was dropped."""
    now = current.clock()
    with current.foreground():
        if items is not None:
            ingest.import_items(parts.log, items, now=now, texts=current.texts, progress=progress)
        if interactions is None:
            return None
        cleaning = current.config.cleaning
        with current.importing() if parts is current.deployment else nullcontext():
            report = ingest.import_interactions(
                parts.log,
                parts.state,
                interactions,
                columns,
                now=now,
                cleaning=cleaning,
                progress=progress,
                **options,
            )
    if current.path is not None:
        ingest.keep_summary(current.path, {"time": now, "interactions": report.as_dict()})
    return report


def _outcome(snapshot_id: str, verdict: Verdict, metrics: dict[str, float]) -> Outcome:
    shown = "promoted" if verdict.promote else "not promoted"
    result: dict[str, str | float] = {"snapshot_id": snapshot_id, **metrics}
    return Outcome(f"{shown}: {verdict.reason}", result, refused=not verdict.promote)
