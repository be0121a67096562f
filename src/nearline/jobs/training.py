"""Training as the engine does it: in the foreground by `fit`, in the background as a job."""

import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any

from msgspec.structs import replace

from nearline import ingest
from nearline.common.compiler_cache import is_empty
from nearline.common.memory import give_back
from nearline.common.progress import Progress
from nearline.config import Config
from nearline.data import CleaningReport, read_interactions, without_item_fields
from nearline.deployment import store
from nearline.deployment.active import ActiveDeployment
from nearline.errors import InvalidInput, Overloaded
from nearline.jobs import worker
from nearline.jobs.queue import Job, Jobs, Outcome, Task
from nearline.log import url_of
from nearline.models.capabilities import LearnsOnline
from nearline.schema.arguments import mapping, plain, text, whole_number
from nearline.snapshots import SnapshotStore
from nearline.training.acceptance import Verdict, train_and_judge
from nearline.training.train import TrainingSpec, check_serves, train

Columns = Mapping[str, str]

logger = logging.getLogger(__name__)

KIND, MERGE = "train", "merge"
POLL_SECONDS = 0.2
# A model learns so many entries as they come, and more of them at once when it is asked.
MANY_ITEMS = 1_000
# However fast events come, merges must not take all the time there is.
MERGE_SECONDS = 30.0


class Training:
    """Trains what `current` holds, one training at a time."""

    def __init__(self, current: ActiveDeployment, jobs: Jobs) -> None:
        self._current = current
        self._jobs = jobs
        self._merged = current.clock()

    def fit(
        self,
        interactions: object,
        items: object,
        validation: object,
        columns: Columns | None,
        *,
        seed: int,
        progress: Progress,
    ) -> None:
        """Import, train on the whole log and promote; see `Recommender.fit`."""
        current, seed = self._current, whole_number(seed, "seed")
        current.open()
        if is_empty():
            logger.warning(
                "the first training on this machine compiles for about half a minute; what it "
                "compiles is kept for the next one"
            )
        own = columns if items is None else without_item_fields(columns)
        chosen = None if validation is None else read_interactions(validation, own)
        with current.training:
            old = parts = current.open()
            if current.path is None and interactions is not None:
                parts = store.open_memory(current.config, current.texts)
                # The model trained below will know all of it; this one need not hear of it.
                store.retire(parts)
            try:
                import_tables(current, parts, interactions, items, columns, progress)
                snapshot = train(
                    parts.log,
                    self._order(parts, current.config, seed),
                    validation=chosen,
                    texts=current.texts,
                    progress=progress,
                    journal=None if current.path is None else current.path / store.SEARCH,
                )
                current.swap(lambda _: store.promote(parts, snapshot, current.config))
            finally:
                # Whichever log does not serve now: the old one, or a new one that failed.
                for log in {old.log, parts.log} - {current.deployment.log}:
                    log.close()

    def submit(self, seed: int, model: str | None, settings: Mapping[str, Any] | None) -> Job:
        """Queue a training in the background; see `Recommender.train`."""
        self._current.open()
        config, seed = self._current.config, whole_number(seed, "seed")
        if model is not None:
            config = replace(config, model=text(model, "model"), settings={})
        if settings is not None:
            given = mapping(settings, "settings", "{'factors': 64}")
            config = replace(config, settings=plain(given))
        check_serves(config.new_model())  # a wrong name is told at once
        return self._submit(KIND, lambda task: self._train(task, config, seed))

    def _train(self, task: Task, config: Config, seed: int) -> Outcome:
        """Train beside serving; promote, or say why not."""
        training = self._current.training
        while not training.acquire(timeout=POLL_SECONDS):
            task.progress(0, 0, "wait for another training")
        try:
            parts = self._current.open()
            if self._current.path is None or parts.snapshots is None:
                return self._train_here(parts, self._order(parts, config, seed), task)
            request = worker.ToTrain(
                log=url_of(self._current.path / store.LOG),
                snapshots=str(self._current.path / store.SNAPSHOTS),
                journal=str(self._current.path / store.SEARCH),
                order=self._order(parts, config, seed),
                serving=parts.snapshot.manifest.id if parts.snapshot else None,
            )
            return self._train_apart(parts.snapshots, request, task)
        finally:
            training.release()

    def _train_here(self, parts: store.Deployment, order: TrainingSpec, task: Task) -> Outcome:
        snapshot, verdict = train_and_judge(
            parts.log,
            order,
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
        trained = worker.train(request, task)
        task.progress(1, 1, "promote")
        if trained.verdict.promote:
            config = self._current.config
            self._current.swap(lambda now: store.promote_stored(now, trained.snapshot_id, config))
            snapshots.prune(config.keep_snapshots)
        return _outcome(trained.snapshot_id, trained.verdict, trained.metrics)

    def submit_if_due(self) -> None:
        """Queue a merge if one is due: called before each write, and cheap."""
        current = self._current
        parts = current.deployment
        if parts.snapshot is None or parts.snapshots is None:
            return
        manifest = parts.snapshot.manifest
        waited = current.clock() - self._merged
        due = parts.state.offset - manifest.offset >= current.config.merge_events
        due = due and waited >= MERGE_SECONDS
        if parts.log.erasures != manifest.erasures:
            # What an erased user added must not stay in a file for long.
            due = due or waited >= current.config.checkpoint_seconds
        due = due and isinstance(parts.model, LearnsOnline)
        if due and current.config.online and not self._merges():
            with suppress(Overloaded):
                self.merge()

    def _merges(self) -> bool:
        """Whether a merge waits or runs."""
        return any(job.kind == MERGE and job.finished is None for job in self._jobs.list())

    def merge(self) -> Job:
        """Queue a merge of what the model learned since its snapshot into a new one."""
        parts = self._current.open()
        if parts.snapshot is None or parts.snapshots is None:
            raise InvalidInput(
                "there is no snapshot in a folder to merge into; train first", field="kind"
            )
        if not isinstance(parts.model, LearnsOnline):
            raise InvalidInput(
                f"model {parts.snapshot.manifest.model!r} learns nothing while it serves; train it",
                field="kind",
            )
        self._merged = self._current.clock()
        return self._submit(MERGE, self._merge)

    def _submit(self, kind: str, work: Callable[[Task], Outcome]) -> Job:
        def tidy(task: Task) -> Outcome:
            outcome = work(task)
            # The model that served before is gone by now.
            give_back()
            return outcome

        return self._jobs.submit(kind, tidy)

    def _merge(self, task: Task) -> Outcome:
        current = self._current
        parts = current.open()
        if current.path is None or parts.snapshots is None or parts.snapshot is None:
            raise InvalidInput("there is no snapshot to merge into", field="kind")
        old = parts.snapshot.manifest
        order = self._order(parts, current.config, old.seed)
        request = worker.ToMerge(
            log=url_of(current.path / store.LOG),
            snapshots=str(current.path / store.SNAPSHOTS),
            order=order,
            serving=old.id,
        )
        new_id = worker.merge(request, task).snapshot_id
        now = current.swap(lambda now: store.replace_promoted(now, old.id, new_id, current.config))
        parts.snapshots.prune(current.config.keep_snapshots)
        if now.model_id != new_id:
            return Outcome("another model serves by now", {"snapshot_id": new_id}, refused=True)
        said = f"{order.offset - old.offset:,} records are merged into the snapshot"
        return Outcome(said, {"snapshot_id": new_id})

    def _order(self, parts: store.Deployment, config: Config, seed: int) -> TrainingSpec:
        # Read first: an erasure that comes between is then known to be missing.
        erasures = parts.log.erasures
        with parts.state.lock:  # the table must be that of the offset
            offset, item_ids = parts.state.offset, parts.state.items.table()
        return TrainingSpec(
            config=config,
            item_ids=item_ids,
            offset=offset,
            erasures=erasures,
            seed=seed,
            vectors=None if self._current.vectors is None else str(self._current.vectors),
        )


def import_tables(
    current: ActiveDeployment,
    parts: store.Deployment,
    interactions: object,
    items: object,
    columns: Columns | None,
    progress: Progress,
) -> CleaningReport | None:
    """Import items, then interactions, into the log of `parts`; report what was dropped.

    `columns` maps the interactions, and the items where it fits them; without interactions it must
    fit the items.
    """
    now, entries, serves = current.clock(), None, parts is current.deployment

    def pausing(n_items: int) -> AbstractContextManager[None]:
        many = n_items > MANY_ITEMS or interactions is not None
        return current.importing() if serves and many else _learning(parts)

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
    if interactions is None:
        return entries
    with current.importing() if serves else nullcontext():
        report = ingest.import_interactions(
            parts.log,
            interactions,
            columns if items is None else without_item_fields(columns),
            now=now,
            cleaning=current.config.cleaning,
            progress=progress,
        )
    return dataclasses.replace(report, items=entries)


@contextmanager
def _learning(parts: store.Deployment) -> Iterator[None]:
    """Let the model learn meanwhile; wait until it has."""
    yield
    if parts.live is not None:
        parts.live.settle()


def _outcome(snapshot_id: str, verdict: Verdict, metrics: dict[str, float]) -> Outcome:
    shown = "promoted" if verdict.promote else "not promoted"
    result: dict[str, str | float] = {"snapshot_id": snapshot_id, **metrics}
    return Outcome(f"{shown}: {verdict.reason}", result, refused=not verdict.promote)
