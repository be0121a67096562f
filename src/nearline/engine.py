"""The facade `Recommender`: Python, HTTP and the command line all call this class."""

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
from nearline.jobs.queue import Job, Jobs
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
    """A real-time recommender: learns from a table, then from every event.

    Parameters
    ----------
    path : str, Path or None
        Folder that keeps log and snapshots (made where missing); None keeps all in memory.
    preset : str
        "fast" (the item graph on ids and text), or "best": a blend of it with a transformer, its
        lists put in order by trees where those are better; training it needs the extra `neural`.
    encoder : str or None
        Language model whose vectors of texts become a relation of the item graph: `Config.encoder`.
    config : Config or None
        Settings; None takes the defaults.
    clock : callable
        Gives the time in Unix seconds.

    Attributes
    ----------
    jobs, versions : Jobs, Versions
        Slow work beside serving; snapshots to list, promote and roll back to.
    language : Language
        Asks the language model, where one is configured.

    Raises
    ------
    StoreInUse, Damaged
        The store is open already, here or in another process; its log cannot be read.
    MissingExtra, DataNotFound
        The encoder is not there; a chat model is configured, and httpx is not installed.

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
        self._current = ActiveDeployment(self.path, config, clock)
        self.config = self._current.config
        self.jobs = Jobs(clock)
        self.versions = Versions(self._current)
        self._training = Training(self._current, self.jobs)
        self._checkpoints = Checkpoints(self._current, self.jobs)
        self._embedding = Embedding(self._current, self.jobs)

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
    ) -> Self:
        """Import what is given, train on the whole log, and serve the result.

        Parameters
        ----------
        interactions : frame, path or None
            `user_id`, `item_id`, optional `timestamp`, `event`, `value`. In memory the recommender
            starts over with it; in a folder it is added to the log, rows that are there already
            left out. None: train on what the log holds.
        items : frame, path or None
            `item_id` and any text, category, number or vector columns.
        users : None
            Nothing that serves reads attributes of users yet: a warning says so. `TwoTower` does,
            on ``make_dataset(..., users=...)``.
        validation : frame, path or None
            Interactions that choose the settings and are never trained on. None: the last
            interaction of each user plays that part and is trained on afterwards.
        columns : mapping or None
            Field to the column that holds it, in `interactions`, `validation` and `items`.

        Raises
        ------
        InvalidInput, NotTrained
            Nothing to train on is left after cleaning; what served before goes on serving.
        """
        ingest.warn_users_ignored(users)
        self._training.fit(interactions, items, validation, columns, seed=seed, progress=progress)
        if interactions is not None:
            self._like = interactions
        return self

    def train(
        self, seed: int = 0, *, model: str | None = None, settings: Mapping[str, Any] | None = None
    ) -> Job:
        """Train on the whole log in the background; the result serves unless it is worse.

        Parameters
        ----------
        model, settings
            What to train instead of the configured model; without `settings` its defaults.

        Returns
        -------
        Job
            Queued; `jobs` follows and cancels it. A store trains in a process of its own at low
            priority, a recommender in memory in a thread (see `nearline.training.acceptance`).

        Raises
        ------
        InvalidInput, Overloaded
            There is no such model or setting; too many trainings wait.
        """
        return self._training.submit(seed, model, settings)

    def merge(self) -> Job:
        """Merge what the model of a store learned since its snapshot into a new one."""
        return self._training.merge()

    def checkpoint(self) -> Job:
        """Write the state of a store to its checkpoint in the background."""
        return self._checkpoints.submit()

    def embed(self) -> Job:
        """Encode the texts of items that went in without a vector, in the background."""
        return self._embedding.submit()

    def add(
        self,
        interactions: object = None,
        items: object = None,
        *,
        columns: Columns | None = None,
        progress: Progress = no_progress,
    ) -> CleaningReport | None:
        """Import interactions and items into the log without training; report what was dropped."""
        if interactions is not None:
            self._like = interactions
        return import_tables(
            self._current, self._current.open(), interactions, items, columns, progress
        )

    # Answers

    def recommend(self, user_id: str, k: int = 10, **options: Any) -> list[Recommendation]:
        """Return the top `k` items for a user, known or not; each line has its tier.

        Parameters
        ----------
        **options
            The other fields of `nearline.schema.RecommendationRequest`: `exclude_seen` (True),
            `category`, `exclude`, `explain`, `rerank`, `context` (``{"country": "FR"}``),
            `preferences` (text).
        """
        request = make_options(RecommendationRequest, user_id=user_id, k=k, **options)
        return list(self.answer(request).items)

    def answer(self, request: RecommendationRequest, *, late: bool = False) -> Answer:
        """Answer a request in full: the list, its id, tier, model and offset.

        With `late`, the list is made without the model and the language model, by the same rules.
        """
        return answer(request, self._view(), late=True) if late else self.draft(request).result()

    def draft(self, request: RecommendationRequest, within: float | None = None) -> Draft[Answer]:
        """Answer as far as no language model is needed; the draft waits for one, if it is asked.

        `within`: seconds that are left, where those are fewer than the configured ones.
        """
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
        progress: Progress = no_progress,
        **options: Any,
    ) -> Any:
        """Recommend to many users: a frame of `user_id`, `item_id`, `score`, `rank` (from 1).

        Memory beside the frame is bounded, however many users there are.

        Parameters
        ----------
        users
            None means everyone.
        histories : frame, path or None
            Replaces what is known of these users, for this call only. The frame is of the library
            in which `histories` or the training data came, else Arrow.
        **options
            As in `recommend`, except `explain` and `rerank`.
        """
        frame = batch.recommend_many(
            users,
            make_options(ListOptions, k=k, **options),
            self._view(),
            given=None if histories is None else read_interactions(histories, columns),
            weight=self.config.state.weight,
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

        See `nearline.recommend.export.export`. `users`: ids, or a frame or file with a column
        `user_id`; None means everyone. `options` are those of `recommend_many`.
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
        """Nearest neighbours of an item, itself left out."""
        return lookups.similar(item_id, k, self._view())

    def rank(self, user_id: str, item_ids: Sequence[str]) -> list[ScoredItem]:
        """Exactly the given items, best first for this user."""
        return lookups.rank(user_id, as_list(item_ids, "item_ids", "item ids"), self._view())

    def explain(self, user_id: str, item_id: str, *, words: bool = False) -> Explanation:
        """Return what made the score: the parts sum to it; with `words`, in a sentence as well."""
        return self.draft_explanation(user_id, item_id, words=words).result()

    def draft_explanation(self, user_id: str, item_id: str, *, words: bool) -> Draft[Explanation]:
        """Explain as far as no language model is needed; the draft waits for one."""
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
        """Store one event; when this returns it is durable and the next answer reflects it.

        `timestamp`: Unix seconds, RFC 3339 or a datetime; `fields`: the others of `nearline.Event`.
        """
        given = {"user_id": user_id, "item_id": item_id, "event": event, **fields}
        return self.append_events([new_event(given, timestamp, now=self._clock())]).result()

    def append_events(self, events: Sequence[Event]) -> Future[Appended]:
        """Queue a list of events atomically; the future resolves once it is durable."""
        return ingest.append_events(self._to_write().log, events, now=self._clock())

    def put_item(self, item_id: str, *, timestamp: object = None, **fields: Any) -> Appended:
        """Store a catalogue entry (the fields of `nearline.Item`); recommendable at once."""
        item = new_item({"item_id": item_id, **fields}, timestamp, now=self._clock())
        return self.put_items([item]).result()

    def put_items(self, items: Sequence[Item]) -> Future[Appended]:
        """Queue catalogue entries atomically; with an encoder, their texts are encoded first."""
        return self._current.put_items(self._to_write().log, items)

    def patch_item(self, item_id: str, changes: Mapping[str, object]) -> Appended:
        """Change some fields of a catalogue entry; when this returns it is durable."""
        parts = self._current.open()
        if self.encodes:
            self._current.encode([ingest.patched(parts.state, item_id, changes, now=self._clock())])
        return ingest.patch_item(parts.log, parts.state, item_id, changes, now=self._clock())

    def delete_item(self, item_id: str) -> Future[Appended]:
        """Queue the deletion of an item; once the future resolves, no answer holds it."""
        parts = self._current.open()
        return ingest.delete_item(parts.log, parts.state, item_id, now=self._clock())

    def item(self, item_id: str) -> Item:
        """Return the catalogue entry of an item."""
        return lookups.item(item_id, self._view())

    def user(self, user_id: str) -> UserSummary:
        """Return what is known of a user, most recent event first."""
        return lookups.user(user_id, self._view())

    def forget(self, user_id: str) -> Future[int]:
        """Erase a user's events from log, state and answers; the future gives their number."""
        erased = self._current.open().log.erase(check_id(user_id, "user_id"))
        erased.add_done_callback(self.language.forget)
        return erased

    # The store

    def now(self) -> float:
        """Return the engine's time in Unix seconds."""
        return self._clock()

    def save(self, path: str | Path) -> None:
        """Write log, checkpoint and snapshot to a new folder, which `load` opens."""
        store.save(self._current.open(), Path(path))

    @classmethod
    def load(cls, path: str | Path, **options: Any) -> Self:
        """Open the folder that `save` wrote, or any store."""
        store.check_is_store(Path(path))
        return cls(path, **options)

    def close(self) -> None:
        """Cancel jobs, finish queued writes, save the checkpoint, release the store. Idempotent."""
        self.jobs.close()
        self.language.close()
        self._current.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _to_write(self) -> store.Deployment:
        """Return the parts, once the jobs that are due are queued."""
        for due in (self._checkpoints, self._training, self._embedding):
            due.submit_if_due()
        return self._current.open()

    def _view(self) -> View:
        parts = self._current.serving()
        return View(parts.state, parts.model, parts.model_id, self._clock())
