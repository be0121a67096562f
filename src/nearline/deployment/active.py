"""The parts that answer now: one reference, swapped in one step."""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from msgspec.structs import replace

from nearline.config import Config
from nearline.deployment import store
from nearline.deployment.texts import VECTORS, open_texts
from nearline.errors import Closed
from nearline.ingest import put_items as append_items
from nearline.log import Appended, Log
from nearline.schema import Item
from nearline.state import CatalogueMatch, match_catalogue

logger = logging.getLogger(__name__)


class ActiveDeployment:
    """What the engine, its jobs and its versions share.

    A request takes `deployment` once and keeps them to its end, whatever is swapped meanwhile.

    Attributes
    ----------
    path, config, clock
        Of the recommender.
    deployment : Deployment
        What serves.
    texts : TextVectors or None
        Encodes the texts of items.
    training : Lock
        Held by whoever trains.
    """

    def __init__(self, path: Path | None, config: Config, clock: Callable[[], float]) -> None:
        self.path, self.clock = path, clock
        self.training = Lock()
        self.texts = open_texts(config, self.vectors)
        if self.texts is not None:
            # What "auto" found: a training in another process must find the same.
            config = replace(config, encoder=self.texts.encoder.name)
        self.config = config
        try:
            if path is None:
                self.deployment = store.open_memory(config, self.texts)
            else:
                self.deployment = store.open_folder(path, config, self.texts)
        except BaseException:
            self._close_texts()
            raise
        self._swapping = Lock()
        self._closed = self._behind = self._warned = False

    @property
    def vectors(self) -> Path | None:
        """File of the store for vectors of texts; None in memory, where the user's serves."""
        return None if self.path is None else self.path / VECTORS

    def open(self) -> store.Deployment:
        """Return the parts; raise `Closed` once there are none."""
        if self._closed:
            raise Closed("this recommender was closed; open the store again")
        return self.deployment

    def swap(self, make: Callable[[store.Deployment], store.Deployment]) -> store.Deployment:
        """Let `make` turn the parts that serve into others, and let these serve from then on.

        One swap at a time; requests go on meanwhile.
        """
        with self._swapping:
            old = self.open()
            self.deployment = make(old)
            if self.deployment is not old:
                store.retire(old)
                self._behind = False
            return self.deployment

    def put_items(self, log: Log, items: Sequence[Item]) -> "Future[Appended]":
        """Encode and append entries; the future resolves once the model has learned them, too."""
        self.encode(items)
        stored, live = append_items(log, items, now=self.clock()), self.deployment.live
        return stored if live is None else live.after_learning(stored)

    @contextmanager
    def importing(self) -> Iterator[None]:
        """Teach the model nothing meanwhile: it learns all at once, when it is asked."""
        parts = self.open()
        if parts.live is not None:
            parts.live.pause()
        try:
            yield
        finally:
            self._behind = True

    def serving(self) -> store.Deployment:
        """Return the parts; their model knows the whole log, but for an import under way."""
        if self._behind:
            self.swap(lambda now: store.serving(now, self.config) if self._behind else now)
        return self.open()

    def close(self) -> None:
        """Finish what is queued, write the checkpoint, release the store; safe to call twice."""
        with self._swapping:
            if self._closed:
                return
            self._closed = True
            try:
                store.close(self.deployment, self.path)
            finally:
                self._close_texts()

    def encode(self, items: Sequence[Item]) -> None:
        """Encode the texts of entries to be put, where there is an encoder and it is not too slow.

        The others are warned of and go in with words alone.
        """
        snapshot = self.open().snapshot
        if self.texts is not None:
            self.texts.prepare([item.content for item in items])
        elif snapshot is not None and snapshot.manifest.encoder and not self._warned:
            self._warned = True
            logger.warning(
                "the model was trained with an encoder and the store is open without one: new "
                "items go in with words alone; open it with encoder=..."
            )

    def _close_texts(self) -> None:
        if self.texts is not None:
            self.texts.close()


class EngineStatus:
    """What a recommender tells of itself: which snapshot serves, what it has read and knows."""

    _current: ActiveDeployment

    @property
    def model_id(self) -> str:
        """Id of the snapshot that answers; ``untrained`` where there is none."""
        return self._current.deployment.model_id

    @property
    def metrics(self) -> dict[str, float]:
        """Accuracy of the serving model on its validation data; empty where untrained."""
        snapshot = self._current.deployment.snapshot
        return dict(snapshot.manifest.metrics) if snapshot else {}

    @property
    def offset(self) -> int:
        """Every log record before this offset is reflected in answers."""
        return self._current.deployment.state.offset

    @property
    def stamp(self) -> tuple[int, int]:
        """Changes with whatever may change an answer: one holds while the stamp before it does."""
        parts = self._current.deployment
        return parts.serial, parts.state.version

    @property
    def n_users(self) -> int:
        """Users with a history."""
        return len(self._current.deployment.state.users)

    @property
    def n_items(self) -> int:
        """Items known from events or the catalogue."""
        return len(self._current.deployment.state.items)

    @property
    def catalogue_match(self) -> CatalogueMatch:
        """How the items of events and those of the catalogue match."""
        return match_catalogue(self._current.deployment.state)

    @property
    def encodes(self) -> bool:
        """Whether texts of items are encoded by a language model, which takes milliseconds."""
        return self._current.texts is not None

    @property
    def texts_missed(self) -> int:
        """Texts of items that went in without a vector, since the recommender was opened."""
        return self._current.texts.missed if self._current.texts is not None else 0
