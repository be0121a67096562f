"""The active deployment: a single reference, so that replacing it is atomic."""

import logging
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Lock
from time import sleep
from typing import TypeVar

from msgspec.structs import replace

from nearline.common.budget import MemoryUse, divided
from nearline.common.elapsed import Elapsed
from nearline.common.waiting import may_wait
from nearline.config import Config, with_settings_of
from nearline.deployment import promotion, store
from nearline.deployment.online_learner import OnlineLearner
from nearline.deployment.promotion_follower import PromotionFollower
from nearline.deployment.texts import VECTORS, open_texts
from nearline.errors import Closed, NearlineError, Overloaded
from nearline.ingest import put_items as append_items
from nearline.log import Appended, Log
from nearline.schema import Item
from nearline.served.outcomes import ItemOutcomes

T = TypeVar("T")
# Snapshots of scenarios and experiments that are loaded beside the active one.
MAX_OTHERS = 4

logger = logging.getLogger(__name__)

# Pause between two looks whether models have learned enough.
LEARNING_PAUSE_SECONDS = 0.01


class ActiveDeployment:
    """The log, state and model in use, shared by the engine, its jobs and its versions.

    A request reads `deployment` once and uses it to its end, even if it is replaced meanwhile.

    Attributes
    ----------
    path, config, clock
        Folder, settings and clock of the recommender.
    deployment : Deployment
        The log, state and model that answer requests.
    texts : TextVectors or None
        Encoder of item texts.
    training : Lock
        Held while a model is trained.
    elapsed : callable
        Returns seconds since the store was opened; never decreases, even if the clock is set back.
    changed : Event
        Set by each commit and erasure of the log, and when foreground work ends.
    learning_memory : MemoryUse
        Bytes of the stored changes that models have not learned yet, and their maximum.
    lags : bool
        Whether the model is behind the state: from the start of an import until it has learned it.
    """

    def __init__(self, path: Path | None, config: Config, clock: Callable[[], float]) -> None:
        self.path, self.clock = path, clock
        self._process = os.getpid()
        config = with_settings_of(path, config)
        self.training, self.elapsed, self.changed = Lock(), Elapsed(clock), Event()
        self._foreground, self._counting = 0, Lock()
        self.texts = open_texts(config, self.vectors)
        if self.texts is not None:
            # The encoder that "auto" found: a training in another process must use the same.
            config = replace(config, encoder=self.texts.encoder.name)
        self.config = config
        self.learning_memory = MemoryUse(divided(config.memory).learning, self._waiting_bytes)
        self.promotions = PromotionFollower(lambda: self.deployment, self.swap, config)
        try:
            if path is None:
                self.deployment = store.open_memory(config, self.texts, self.changed.set)
            else:
                self.deployment = store.open_folder(path, config, self.texts, self._on_change)
        except BaseException:
            self._close_texts()
            raise
        self._swapping = Lock()
        self.others: Mapping[str, store.Deployment] = {}
        self.outcomes: ItemOutcomes | None = None
        self._imports = 0
        self.lags = False
        self._closed = self._behind = self._warned = False
        self.promotions.start()

    def _on_change(self) -> None:
        self.changed.set()
        self.promotions.wake()

    @property
    def vectors(self) -> Path | None:
        """File of text vectors in the store; None in memory, where the user's cache is used."""
        return None if self.path is None else self.path / VECTORS

    def open(self) -> store.Deployment:
        """Return the deployment; raise `Closed` once it is closed."""
        if self._closed:
            raise Closed("this recommender was closed; open the store again")
        return self.deployment

    def open_to_teach(self) -> store.Deployment:
        """Return the deployment for changes that models learn, once there is room for these.

        The method waits while the changes that models have not learned exceed their share of the
        memory budget. Where waiting is not allowed (`may_wait`), it raises `Overloaded` instead.
        """
        current = self.open()
        while self._waiting_bytes() >= self.learning_memory.limit:
            if not may_wait():
                raise Overloaded(
                    f"{self.learning_memory.limit:,} bytes of stored events wait to be learned, "
                    "which is the limit; nothing was stored, try again in a second"
                )
            sleep(LEARNING_PAUSE_SECONDS)
            current = self.open()
        return current

    def _waiting_bytes(self) -> int:
        followers = self.deployment.state.followers
        return sum(one.waiting_bytes for one in followers if isinstance(one, OnlineLearner))

    def swap(self, make: Callable[[store.Deployment], store.Deployment]) -> store.Deployment:
        """Replace the deployment by the result of `make`, which gets the current one.

        One swap at a time; requests continue meanwhile.
        """
        with self._swapping:
            old = self.open()
            self.deployment = make(old)
            if self.deployment is not old:
                store.retire(old)
                # The snapshot that was active before may be named by a scenario or an experiment.
                self._load_others(self.deployment.state.definitions.models)
                with self._counting:
                    self._behind = False
                    self.lags = self._imports > 0
            return self.deployment

    def load_others(self, wanted: Collection[str], *, strict: bool = False) -> None:
        """Load other snapshots, whose models then follow the log beside the active one.

        At most `MAX_OTHERS` are loaded, and those that are not wanted any more are released.
        Snapshots that are unknown or cannot be loaded are ignored with a warning; with `strict`,
        what prevents loading is raised.
        """
        if wanted or self.others:
            with self._swapping:
                self._load_others(wanted, strict=strict)

    def _load_others(self, wanted: Collection[str], *, strict: bool = False) -> None:
        parts, before = self.open(), self.others
        found = dict[str, store.Deployment]()
        for snapshot_id in sorted(wanted):
            if snapshot_id == parts.model_id or len(found) == MAX_OTHERS:
                continue
            if snapshot_id in before:
                found[snapshot_id] = before[snapshot_id]
            elif parts.snapshots is None or not parts.snapshots.has(snapshot_id):
                logger.warning("snapshot %s of a definition is not in this store", snapshot_id)
            else:
                try:
                    found[snapshot_id] = promotion.with_snapshot(parts, snapshot_id, self.config)
                except NearlineError:
                    if strict:
                        raise
                    logger.warning("snapshot %s of a definition is not used", snapshot_id)
        if found != before:
            self.others = found
            for name, old in before.items():
                if name not in found:
                    store.retire(old)

    def put_items(self, log: Log, items: Sequence[Item]) -> "Future[Appended]":
        """Encode and append entries; the future resolves once the model has learned them, too."""
        self.encode(items)
        return self.after_learning(append_items(log, items, now=self.clock()))

    def erased(self, erase: Callable[[Log], Future[int]]) -> Future[int]:
        """Erase events from the log; the future resolves once the model has forgotten them, too."""
        return self.after_learning(erase(self.open().log))

    def after_learning(self, stored: Future[T]) -> Future[T]:
        """Return a future that resolves like `stored`, once the model has learned the change."""
        for parts in (self.deployment, *self.others.values()):
            if parts.live is not None:
                stored = parts.live.after_learning(stored)
        return stored

    @contextmanager
    def importing(self) -> Iterator[None]:
        """Pause online learning; the model learns everything at once before the next answer."""
        parts = self.open()
        with self._counting:
            self._imports += 1
            self.lags = True
        try:
            if parts.live is not None:
                parts.live.pause()
            yield
        finally:
            with self._counting:
                self._behind = True
                self._imports -= 1

    @contextmanager
    def foreground(self) -> Iterator[None]:
        """Start no scheduled jobs meanwhile, because they would compete with the caller's work."""
        with self._counting:
            self._foreground += 1
        try:
            yield
        finally:
            with self._counting:
                self._foreground -= 1
            self.changed.set()

    @property
    def in_foreground(self) -> bool:
        """Whether an import or a training runs in the foreground."""
        return self._foreground > 0

    @property
    def behind(self) -> bool:
        """Whether an import has ended that the model has not learned yet; False once closed."""
        return self._behind and not self._closed and self._process == os.getpid()

    def serving(self) -> store.Deployment:
        """Return the deployment; its model reflects the whole log, except a running import."""
        if self._behind:
            self.swap(lambda now: store.serving(now, self.config) if self._behind else now)
        return self.open()

    def close(self) -> None:
        """Write what is queued, write the checkpoint, release the store; idempotent.

        In a process that was forked after the store was opened, it does nothing: the store belongs
        to the other process.
        """
        if self._process != os.getpid():
            return
        self.promotions.stop()
        with self._swapping:
            if self._closed:
                return
            self._closed = True
            try:
                store.close(self.deployment, self.path)
            finally:
                self._close_texts()

    def encode(self, items: Sequence[Item]) -> None:
        """Encode the texts of new entries, if there is an encoder and it is fast enough.

        Other items are matched by the terms of their texts; a warning is logged.
        """
        snapshot = self.open().snapshot
        if self.texts is not None:
            self.texts.prepare([item.content for item in items])
        elif snapshot is not None and snapshot.manifest.encoder and not self._warned:
            self._warned = True
            logger.warning(
                "the model was trained with an encoder and the store is open without one: new "
                "items are matched by terms only; open it with encoder=..."
            )

    def _close_texts(self) -> None:
        if self.texts is not None:
            self.texts.close()
