"""Training in the foreground (`fit`) or as a job in the background, and promotion."""

import dataclasses
import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

from msgspec.structs import replace

from nearline import ingest
from nearline.common.budget import divided
from nearline.common.compiler_cache import is_empty
from nearline.common.memory import collection_paused
from nearline.common.progress import Progress
from nearline.config import Config
from nearline.data import CleaningReport, read_interactions, without_item_fields
from nearline.deployment import store
from nearline.deployment.active import ActiveDeployment
from nearline.deployment.location import log_url
from nearline.deployment.promotion import promote, promote_stored
from nearline.jobs import worker
from nearline.jobs.leases import training_lease
from nearline.jobs.on_spark import counting_on
from nearline.jobs.queue import Job, Jobs, Outcome, Task
from nearline.schema.arguments import checked_seed, mapping, plain, text
from nearline.snapshots import SnapshotStore
from nearline.training.acceptance import Verdict, train_and_judge
from nearline.training.train import TrainingSpec, check_serves, train

Columns = Mapping[str, str]

logger = logging.getLogger(__name__)

KIND = "train"
# Only training compiles this kernel; opening a store compiles others.
TRAINING_KERNEL = "scoring._rank_rows"
POLL_SECONDS = 0.2
# Number of items above which an import pauses online learning, to learn all of them together.
MANY_ITEMS = 1_000


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
        users: object = None,
        *,
        seed: int,
        progress: Progress,
        on: str | None = None,
        **options: Any,
    ) -> None:
        """Import, train on the whole log and promote; see `Recommender.fit`."""
        current, seed = self._current, checked_seed(seed)
        current.open()
        if current.config.model == "item_graph" and is_empty(TRAINING_KERNEL):
            logger.warning(
                "the first training on this machine compiles for about half a minute; the result "
                "is kept for later trainings"
            )
        own = columns if items is None else without_item_fields(columns)
        chosen = None if validation is None else read_interactions(validation, own, **options)
        cluster = counting_on(on, current.config)
        with cluster, current.training, current.foreground(), ExitStack() as stack:
            old = parts = current.open()
            if current.path is None and interactions is not None:
                parts = store.open_memory(current.config, current.texts, current.changed.set)
                # Scenarios and rules are not data.
                ingest.copy_definitions(old.state, parts.log, now=current.clock())
                # The model trained below includes all records, so this one need not learn them.
                store.retire(parts)
            try:
                given = (interactions, items, columns, progress)
                import_tables(current, parts, *given, users=users, **options)
                lease = stack.enter_context(training_lease(parts.log))
                snapshot = train(
                    parts.log,
                    training_spec(current, parts, current.config, seed),
                    validation=chosen,
                    texts=current.texts,
                    progress=progress,
                    journal=None if current.path is None else current.path / store.SEARCH,
                )
                current.swap(lambda _: promote(parts, snapshot, current.config, lease))
            finally:
                # Close the log that is not in use: the old one, or after a failure the new one.
                for log in {old.log, parts.log} - {current.deployment.log}:
                    log.close()

    def submit(self, seed: int, model: str | None, settings: Mapping[str, Any] | None) -> Job:
        """Queue a training; see `Recommender.train`."""
        self._current.open()
        config, seed = self._current.config, checked_seed(seed)
        if model is not None:
            config = replace(config, model=text(model, "model"), settings={})
        if settings is not None:
            given = mapping(settings, "settings", "{'factors': 64}")
            config = replace(config, settings=plain(given))
        check_serves(config.new_model())  # refuse an unknown model before the job is queued
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
                log=log_url(current.path),
                snapshots=str(parts.snapshots.folder),
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
            self._current.swap(lambda now: promote(now, snapshot, config))
        return _outcome(snapshot.manifest.id, verdict, snapshot.manifest.metrics)

    def _train_apart(
        self, snapshots: SnapshotStore, request: worker.ToTrain, task: Task
    ) -> Outcome:
        config = self._current.config
        with training_lease(self._current.open().log) as lease, snapshots.writing():
            trained = worker.train(request, task, divided(config.memory).job)
            task.progress(1, 1, "promote")
            if trained.verdict.promote:
                self._current.swap(
                    lambda now: promote_stored(now, trained.snapshot_id, config, lease)
                )
            if trained.verdict.promote:
                named = self._current.open().state.definitions.models
                snapshots.prune(config.keep_snapshots, named)
        return _outcome(trained.snapshot_id, trained.verdict, trained.metrics)


def training_spec(
    current: ActiveDeployment, parts: store.Deployment, config: Config, seed: int
) -> TrainingSpec:
    """Return the specification of a training on the log up to the offset of the state."""
    # Read first, so that the snapshot does not claim to include an erasure during the call.
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
    *,
    users: object = None,
    **options: Any,
) -> CleaningReport | None:
    """Import items, users, then interactions into the log of `parts`; report what was dropped.

    `columns` maps the columns of interactions, and those columns of the items that exist; without
    interactions, all of them must exist in the items.
    """
    now, entries, active = current.clock(), None, parts is current.deployment

    def pausing(n_items: int) -> AbstractContextManager[None]:
        many = n_items > MANY_ITEMS or interactions is not None
        return current.importing() if active and many else _learning(parts)

    with current.foreground(), collection_paused():
        if items is not None:
            own, shared = (columns, None) if interactions is None else (None, columns)
            entries = ingest.import_items(
                parts.log,
                items,
                own,
                shared=shared,
                now=now,
                texts=current.texts,
                pausing=pausing,
                progress=progress,
            )
        people = None
        if users is not None:
            with current.importing() if active else nullcontext():
                people = ingest.import_users(
                    parts.log, parts.state, users, columns, now=now, progress=progress
                )
        if interactions is None:
            found = entries if people is None else dataclasses.replace(people, items=entries)
            _keep_summary(current, now, found)
            return found
        with current.importing() if active else nullcontext():
            report = ingest.import_interactions(
                parts.log,
                parts.state,
                interactions,
                columns if items is None else without_item_fields(columns),
                now=now,
                cleaning=current.config.cleaning,
                progress=progress,
                **options,
            )
    report = dataclasses.replace(report, items=entries, users=people)
    _keep_summary(current, now, report)
    return report


def _keep_summary(current: ActiveDeployment, now: float, report: CleaningReport | None) -> None:
    if current.path is not None and report is not None:
        summary = {"time": now, "interactions": report.as_dict()}
        plain = current.deployment.log.seal is None
        ingest.keep_summary(current.path, summary, examples=plain)


@contextmanager
def _learning(parts: store.Deployment) -> Iterator[None]:
    """Return a context in which the model learns online; wait at its end until it is done."""
    yield
    if parts.live is not None:
        parts.live.settle()


def _outcome(snapshot_id: str, verdict: Verdict, metrics: dict[str, float]) -> Outcome:
    shown = "promoted" if verdict.promote else "not promoted"
    result: dict[str, str | float] = {"snapshot_id": snapshot_id, **metrics}
    return Outcome(f"{shown}: {verdict.reason}", result, refused=not verdict.promote)
