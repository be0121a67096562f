"""The facade `Recommender`, which Python users, HTTP and the command line share."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self

from nearline import ingest
from nearline.common.progress import Progress, no_progress
from nearline.config import Config, configured
from nearline.data import CleaningReport, read_interactions, to_frame
from nearline.deployment import store
from nearline.deployment.active import ActiveDeployment, EngineStatus
from nearline.deployment.versions import Versions
from nearline.jobs.checkpoints import Checkpoints
from nearline.jobs.embedding import Embedding
from nearline.jobs.merging import Merging
from nearline.jobs.queue import Job, Jobs
from nearline.jobs.scheduler import Scheduler
from nearline.jobs.training import Columns, Training, import_tables
from nearline.log import Appended
from nearline.recommend import batch, lookups
from nearline.recommend.export import PART_USERS, Exported, export
from nearline.recommend.language import Draft, Language
from nearline.recommend.lists import View
from nearline.recommend.pipeline import answer
from nearline.schema import (
    Answer,
    Event,
    Explanation,
    Item,
    ListOptions,
    Recommendation,
    RecommendationRequest,
    ScoredItem,
    UserSummary,
    check_id,
    make_options,
    new_event,
    new_item,
)
from nearline.schema.arguments import as_list


class Recommender(EngineStatus):
    """A real-time recommender: trained on a table, then updated by every event.

    Parameters
    ----------
    path : str, Path or None
        Folder of the store, created if it is missing; None keeps everything in memory.
    preset : str
        "fast": the item graph on IDs and text. "best": a blend of the item graph and a transformer,
        reranked by gradient-boosted trees if that is better; training needs the extra `neural`.
    encoder : str or None
        Language model whose text vectors become a relation of the item graph: `Config.encoder`.
    config : Config or None
        Settings; None means the defaults.
    clock : callable
        Returns the time in Unix seconds.

    Attributes
    ----------
    jobs, versions, language : Jobs, Versions, Language
        Background jobs; snapshots and their promotion; the language model, if one is configured.

    Raises
    ------
    StoreInUse, Damaged
        The store is already open, here or in another process; its log cannot be read.
    MissingExtra, DataNotFound
        The encoder is missing; a chat model is configured, but httpx is not installed.

    Examples
    --------
    >>> import pyarrow as pa
    >>> import nearline as nl
    >>> table = pa.table({"user_id": ["a", "a", "b", "b", "c"], "item_id": list("xyxyx")})
    >>> rec = nl.Recommender().fit(table)
    >>> [line.item_id for line in rec.recommend("c", k=1)]
    ['y']
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        preset: str = "fast",
        encoder: str | None = None,
        config: Config | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        config = configured(config or Config(), preset, encoder)
        self.path = Path(path) if path is not None else None
        self._clock = clock
        self._like: object = None
        self.language = Language(config.llm, clock)
        self._current = current = ActiveDeployment(self.path, config, clock)
        self.config = current.config
        self.jobs = jobs = Jobs(clock)
        self.versions = Versions(current)
        self._training, self._checkpoints = Training(current, jobs), Checkpoints(current, jobs)
        self._merging, self._embedding = Merging(current, jobs), Embedding(current, jobs)
        recurring = (self._checkpoints, self._merging, self._embedding)
        self._scheduler = Scheduler(current, jobs, recurring).start()

    # Training

    def fit(
        self,
        interactions: object = None,
        items: object = None,
        users: object = None,
        validation: object = None,
        seed: int = 0,
        *,
        columns: Columns | None = None,
        progress: Progress = no_progress,
        **options: Any,
    ) -> Self:
        """Import the given data, train on the whole log, and activate the model.

        Parameters
        ----------
        interactions : frame, path or None
            `user_id`, `item_id`, optional `timestamp`, `event`, `value`. In memory they replace all
            earlier data; in a folder new rows are appended to the log. None: train on the log.
        items : frame, path or None
            `item_id` and any text, category, number or vector columns.
        users : None
            Ignored with a warning: the serving models do not use attributes of users.
        validation : frame, path or None
            Interactions for choosing the settings, which are never trained on. None: the last
            interaction of each user, which is trained on afterwards.
        columns : mapping or None
            Maps canonical column names to those in the tables; `options` are the fields of
            `nearline.data.options.ReadOptions`.

        Raises
        ------
        InvalidInput, NotTrained
            No data is left after cleaning; the active model stays active.
        """
        ingest.warn_users_ignored(users)
        given = (interactions, items, validation, columns)
        self._training.fit(*given, seed=seed, progress=progress, **options)
        if interactions is not None:
            self._like = interactions
        return self

    def train(
        self, seed: int = 0, *, model: str | None = None, settings: Mapping[str, Any] | None = None
    ) -> Job:
        """Train on the whole log in the background; activate the model unless it is worse.

        Parameters
        ----------
        model, settings
            Model to train instead of the configured one; without `settings`, with its defaults.

        Returns
        -------
        Job
            The queued job, which `jobs` can follow and cancel. A store is trained in a separate
            process of low priority, a recommender in memory in a thread.

        Raises
        ------
        InvalidInput, Overloaded
            The model or a setting does not exist; too many trainings are queued.
        """
        return self._training.submit(seed, model, settings)

    def merge(self) -> Job:
        """Write a new snapshot with everything that the active model learned since the last one."""
        return self._merging.submit()

    def checkpoint(self) -> Job:
        """Write the state of a store to its checkpoint in the background."""
        return self._checkpoints.submit()

    def embed(self) -> Job:
        """Encode the texts of items without a vector in the background."""
        return self._embedding.submit()

    def add(
        self,
        interactions: object = None,
        items: object = None,
        *,
        columns: Columns | None = None,
        progress: Progress = no_progress,
        **options: Any,
    ) -> CleaningReport | None:
        """Import interactions and items without training, and report; `options` as for `fit`."""
        if interactions is not None:
            self._like = interactions
        given = (self._current.open(), interactions, items, columns, progress)
        return import_tables(self._current, *given, **options)

    # Answers

    def recommend(self, user_id: str, k: int = 10, **options: Any) -> list[Recommendation]:
        """Return the top `k` items for a user, known or not, each with its tier.

        `options`: other fields of `nearline.schema.RecommendationRequest`, such as `repeats`.
        """
        request = make_options(RecommendationRequest, user_id=user_id, k=k, **options)
        return list(self.answer(request).items)

    def answer(self, request: RecommendationRequest, *, late: bool = False) -> Answer:
        """Return the answer to a request: a list with its ID, tier, model and offset.

        With `late`, neither the model nor the language model is used; the rules are the same.
        """
        return answer(request, self._view(), late=True) if late else self.draft(request).result()

    def draft(self, request: RecommendationRequest, within: float | None = None) -> Draft[Answer]:
        """Answer without waiting for the language model; `within`: its time limit in seconds."""
        if request.rerank:
            return self.language.draft_answer(request, self._view(), within)
        return Draft(answer(request, self._view()))

    def recommend_many(
        self,
        users: Iterable[str] | None = None,
        k: int = 10,
        histories: object = None,
        *,
        columns: Columns | None = None,
        block_users: int | None = None,
        progress: Progress = no_progress,
        **options: Any,
    ) -> Any:
        """Recommend to many users: a frame of `user_id`, `item_id`, `score`, `rank` (from 1).

        Parameters
        ----------
        users
            None means all users.
        histories : frame, path or None
            Used instead of the stored histories in this call. The result has the type of
            `histories` or of the training data, else it is an Arrow table.
        block_users : int or None
            Users that are computed at a time; `progress` is called after each block.
        **options
            Other fields of `nearline.schema.ListOptions`.
        """
        frame = batch.recommend_many(
            users,
            make_options(ListOptions, k=k, **options),
            self._view(),
            given=None if histories is None else read_interactions(histories, columns),
            weight=self.config.state.weight,
            block=block_users,
            progress=progress,
        )
        return to_frame(frame, histories if histories is not None else self._like)

    def export(
        self,
        path: str | Path,
        k: int = 10,
        users: object = None,
        *,
        part_users: int = PART_USERS,
        progress: Progress = no_progress,
        **options: Any,
    ) -> Exported:
        """Write the lists of many users to a folder of Parquet files; resume an interrupted export.

        `users`: IDs, or a frame or file with a column `user_id`; None means all. `options` are
        those of `recommend_many`. For details see `nearline.recommend.export.export`.
        """
        return export(
            Path(path),
            users,
            make_options(ListOptions, k=k, **options),
            self._view(),
            erasures=self._current.deployment.log.erasures,
            weight=self.config.state.weight,
            part_users=part_users,
            progress=progress,
        )

    def similar(self, item_id: str, k: int = 10) -> list[ScoredItem]:
        """Return the items most similar to an item, best first."""
        return lookups.similar(item_id, k, self._view(), self.config.similar_users)

    def rank(self, user_id: str, item_ids: Sequence[str]) -> list[ScoredItem]:
        """Rank the given items for a user, best first."""
        return lookups.rank(user_id, as_list(item_ids, "item_ids", "item IDs"), self._view())

    def explain(self, user_id: str, item_id: str, *, words: bool = False) -> Explanation:
        """Return the parts of a score, which sum to it; with `words`, also as a sentence."""
        return self.draft_explanation(user_id, item_id, words=words).result()

    def draft_explanation(self, user_id: str, item_id: str, *, words: bool) -> Draft[Explanation]:
        """Explain without waiting for the language model, which the draft can wait for."""
        return self.language.draft_explanation(user_id, item_id, self._view(), words=words)

    # Events, items, users

    def observe(
        self,
        user_id: str,
        item_id: str,
        event: str = "view",
        *,
        timestamp: object = None,
        **fields: Any,
    ) -> Appended:
        """Store one event durably; the next answer reflects it.

        `timestamp`: Unix seconds, RFC 3339 or a datetime. `fields`: others of `nearline.Event`.
        """
        fields |= {"user_id": user_id, "item_id": item_id, "event": event}
        return self.append_events([new_event(fields, timestamp, now=self._clock())]).result()

    def append_events(self, events: Sequence[Event]) -> Future[Appended]:
        """Queue a list of events atomically; the future resolves once it is durable."""
        return ingest.append_events(self._current.open().log, events, now=self._clock())

    def put_item(self, item_id: str, *, timestamp: object = None, **fields: Any) -> Appended:
        """Store a catalogue entry (fields of `nearline.Item`); it can be recommended at once."""
        item = new_item({"item_id": item_id, **fields}, timestamp, now=self._clock())
        return self.put_items([item]).result()

    def put_items(self, items: Sequence[Item]) -> Future[Appended]:
        """Queue catalogue entries atomically; an encoder, if any, encodes their texts first."""
        return self._current.put_items(self._current.open().log, items)

    def patch_item(self, item_id: str, changes: Mapping[str, object]) -> Appended:
        """Change some fields of a catalogue entry durably."""
        parts = self._current.open()
        if self.encodes:
            self._current.encode([ingest.patched(parts.state, item_id, changes, now=self._clock())])
        return ingest.patch_item(parts.log, parts.state, item_id, changes, now=self._clock())

    def delete_item(self, item_id: str) -> Future[Appended]:
        """Queue the deletion of an item; once the future resolves, it is not recommended."""
        parts = self._current.open()
        return ingest.delete_item(parts.log, parts.state, item_id, now=self._clock())

    def item(self, item_id: str) -> Item:
        """Return the catalogue entry of an item."""
        return lookups.item(item_id, self._view())

    def user(self, user_id: str) -> UserSummary:
        """Return the stored history of a user, most recent event first."""
        return lookups.user(user_id, self._view())

    def forget(self, user_id: str) -> Future[int]:
        """Erase the events of a user everywhere; the future resolves to their number."""
        erased = self._current.erased(lambda log: log.erase(check_id(user_id, "user_id")))
        erased.add_done_callback(self.language.forget)
        return erased

    def delete_event(self, event_id: str) -> Future[int]:
        """Erase the event with an ID everywhere; the future resolves to 1, or to 0 if unknown."""
        erased = self._current.erased(lambda log: log.erase_event(event_id))
        erased.add_done_callback(self.language.forget)
        return erased

    # The store

    def now(self) -> float:
        """Return the current time of the recommender's clock in Unix seconds."""
        return self._clock()

    def save(self, path: str | Path) -> None:
        """Write log, checkpoint and snapshot to a new folder, which `load` can open."""
        store.save(self._current.open(), Path(path))

    @classmethod
    def load(cls, path: str | Path, **options: Any) -> Self:
        """Open a folder that `save` wrote, or any other store."""
        store.check_is_store(Path(path))
        return cls(path, **options)

    def close(self) -> None:
        """Cancel jobs, finish queued writes, save the checkpoint, close the store. Idempotent."""
        self._scheduler.stop()
        self.jobs.close()
        self.language.close()
        self._current.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _view(self) -> View:
        parts = self._current.serving()
        repeats = (self.config.repeats, parts.repeats_found)
        about = (parts.state, parts.model, parts.model_id, self._clock())
        return View(*about, *repeats, signer=parts.signer)
