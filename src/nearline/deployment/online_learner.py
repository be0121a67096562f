"""Feed changes of the log to a model's online-learning methods.

Each commit is passed to `Model.observe`, `forget` and `put_items`. Changes that arrive while the
model still catches up (`catch_up.catch_up`) are queued and applied afterwards, in order.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from threading import Event as Signal
from threading import Lock, Thread
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from nearline.common.memory import collection_paused
from nearline.data import LANGUAGE, Histories
from nearline.deployment.changes import (
    EVENTS_AT_ONCE,
    EVENTS_PER_CALL,
    Acknowledgement,
    ChangeQueue,
    Compaction,
    Entry,
    Waiting,
    current_events,
    together,
)
from nearline.deployment.user_rows import with_complete_rows
from nearline.encoders import TextVectors
from nearline.log import Log
from nearline.models.base import Model
from nearline.models.capabilities import AcceptsItems, LearnsOnline, LearnsUsers
from nearline.schema import Item
from nearline.state import Added, State, UsersChanged

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Interval at which the background thread checks whether enough events are queued.
POLL_SECONDS = 0.002

# Entries of one commit that are learned while it waits; more are learned in a second thread. The
# search for neighbours of a dense vector takes milliseconds in a large catalogue.
ITEMS_AT_ONCE = 16
# Events of an erased user that are removed while the log waits; more are removed in that thread.
FORGOTTEN_AT_ONCE = 50

# Entries per call of the model: bounds the memory of their vectors.
ENTRIES_AT_ONCE = 1_024
# Vectors of an item by column.
ItemVectors = dict[str, Sequence[float] | NDArray[np.float32]]


class OnlineLearner:
    """A follower of the state that updates one model with every commit.

    Parameters
    ----------
    model : Model
    log, state : Log, State
    online : bool
        Whether the model learns from events; it always learns items.
    texts : TextVectors or None
        Source of the language vectors of items.
    """

    def __init__(
        self, model: Model, log: Log, state: State, *, online: bool, texts: TextVectors | None
    ) -> None:
        self.model = model
        self._texts = texts
        self._log, self._state = log, state
        self._learner = model if online and isinstance(model, LearnsOnline) else None
        self._users = model if online and isinstance(model, LearnsUsers) else None
        self._takes_items = isinstance(model, AcceptsItems)
        self._paused = False
        self._lock = Lock()
        self._drain: Thread | None = None
        # Changes queued until catching up is complete, in order; None once it is.
        self._waiting: ChangeQueue | None = ChangeQueue()

    @property
    def lags(self) -> bool:
        """Whether changes are queued that the model has not learned yet."""
        return self._waiting is not None

    @property
    def waiting_bytes(self) -> int:
        """Approximate memory of the changes that the model has not learned yet."""
        waiting = self._waiting
        return 0 if waiting is None else waiting.bytes

    def put_items(self, changed: Sequence[tuple[int, Item | None]]) -> None:
        """Update the texts and vectors of items in the model; None removes them.

        Many entries are learned in a second thread, so that events do not wait behind them; what
        comes meanwhile is queued.
        """
        if self._paused:
            last = max(index for index, _ in changed)
            if last >= self.model.n_items:
                self._put([(last, None)])
            return
        if sum(item is not None for _, item in changed) > ITEMS_AT_ONCE:
            self._learn_beside(changed)
        elif not self._waits(*changed):
            self._put(changed)

    def add_events(self, added: Added) -> None:
        """Teach the model new events.

        If the changes then take too much memory, the model is compacted in a second thread, as in
        `put_items`.
        """
        learner = self._learner  # an import that begins meanwhile sets it to None
        if learner and not self._waits(added):
            self._observe(learner, added)
            if learner.wants_compaction:
                self._learn_beside([Compaction()])

    def forget(self, history: Histories) -> None:
        """Remove a user's events from the model, once it has learned what is queued.

        Many events are removed in a second thread, as in `put_items`; `after_learning` waits for
        it.
        """
        learner = self._learner
        if learner is None:
            return
        history = history.without_superseded()
        if len(history.items) > FORGOTTEN_AT_ONCE:
            self._learn_beside([history])
        elif not self._waits(history):
            learner.forget(history)

    def change_users(self, changed: UsersChanged) -> None:
        """Teach the model what users with attributes take, once it has learned what is queued."""
        if self._users is not None and not self._waits(changed):
            self._learn_users(changed)

    def settle(self) -> None:
        """Wait for the second thread, if it is learning."""
        drain = self._drain
        if drain is not None:
            drain.join()

    def after_learning(self, stored: Future[T]) -> Future[T]:
        """Return a future that resolves like `stored`, once the model has learned the change."""
        learned: Future[T] = Future()
        learned.set_running_or_notify_cancel()

        def then(done: Future[T]) -> None:
            error = done.exception()
            if error is not None:
                learned.set_exception(error)
            elif not self._waits(Acknowledgement(learned, done.result())):
                learned.set_result(done.result())

        stored.add_done_callback(then)
        return learned

    def learn_past(self, items: Sequence[tuple[int, Item | None]], past: Added) -> None:
        """Learn the records since the fit, then queued changes; later changes apply at once."""
        if self._texts is not None:
            self._texts.prepare([item.content for _, item in items if item])
        self._put(items)
        if self._learner and past.user_ids:
            self._observe(self._learner, past)
        while waiting := self._next():
            self._learn(waiting)

    @contextmanager
    def learn_in_background(self) -> Iterator[None]:
        """Learn in a second thread while the caller folds the log; the exit waits for it.

        Counting releases the interpreter lock, so folding and learning overlap.
        """
        ended = Signal()
        with self._lock:
            self._waiting = ChangeQueue()

        def learn() -> None:
            while not ended.wait(POLL_SECONDS):
                self._learn(self._take())
            while waiting := self._next():
                self._learn(waiting)

        with ThreadPoolExecutor(1) as pool:
            learning = pool.submit(learn)
            try:
                yield
            finally:
                ended.set()
            learning.result()

    def _learn_beside(self, changed: Sequence[Waiting]) -> None:
        """Queue these and later changes; a second thread learns them until none are left."""
        with self._lock:
            if self._waiting is not None:
                self._waiting.extend(changed)
            else:
                self._waiting = ChangeQueue()
                self._waiting.extend(changed)
                self._drain = Thread(target=self._learn_queued, name="nearline-learn")
                self._drain.start()

    def _learn_queued(self) -> None:
        with collection_paused():
            while waiting := self._next():
                try:
                    self._learn(waiting)
                except Exception as error:
                    logger.exception("the model could not learn from the catalogue; train again")
                    for what in waiting:
                        if isinstance(what, Acknowledgement) and not what.future.done():
                            what.future.set_exception(error)

    def _learn(self, waiting: list[Waiting | None]) -> None:
        queue = cast("ChangeQueue", self._waiting)  # it is kept until `_next` finds it empty
        for what in together(queue.read(waiting)):
            if isinstance(what, Acknowledgement):
                what.future.set_result(what.result)
            elif isinstance(what, list):
                self._put(what)
            elif isinstance(what, UsersChanged):
                self._learn_users(what)
            elif not isinstance(self.model, LearnsOnline):
                continue
            elif isinstance(what, Compaction):
                self.model.compact()
            elif isinstance(what, Added):
                self._observe(self.model, what, compact=True)
            else:
                self.model.forget(what)

    def pause(self) -> None:
        """Stop learning permanently; only the number of items still grows.

        The caller replaces the model later by one that has caught up with the log.
        """
        self.settle()
        self._learner, self._users, self._paused = None, None, True

    def leave(self) -> None:
        """Stop following the state."""
        with self._state.lock:
            others = tuple(f for f in self._state.followers if f is not self)
            self._state.followers = others

    def _next(self) -> list[Waiting | None]:
        """Take the queued changes; once there are none, later changes apply at once."""
        with self._lock:
            waiting = self._waiting.take() if self._waiting is not None else []
            if not waiting:
                self._waiting = None
            return waiting

    def _take(self) -> list[Waiting | None]:
        """Take the queued changes if they make a full batch, and keep queueing later ones."""
        with self._lock:
            full = self._waiting is not None and self._waiting.events >= EVENTS_AT_ONCE
            return self._waiting.take() if self._waiting is not None and full else []

    def _waits(self, *what: Waiting) -> bool:
        """Queue changes if earlier ones are queued; return whether they were."""
        with self._lock:
            if self._waiting is None:
                return False
            self._waiting.extend(what)
            return True

    def _put(self, changed: Sequence[Entry]) -> None:
        if self._takes_items:
            put_entries(self.model, changed, self._texts)

    def _learn_users(self, changed: UsersChanged) -> None:
        model = self._users
        if model is None:
            return
        features = [model.user_features(attributes) for attributes in changed.attributes]
        if features[0] is None or features[1] is None:
            return
        before, after = changed.histories
        if not changed.complete.all():
            # Only the log has all events of these users; they had them before the change, too.
            before, after = (
                with_complete_rows(changed, rows, self._log, self._state)
                for rows in (before, after)
            )
        model.learn_users(
            replace(before, features=features[0]), replace(after, features=features[1])
        )

    def _observe(self, learner: LearnsOnline, added: Added, *, compact: bool = False) -> None:
        """Teach a model new events, in pieces; `compact` compacts it where it wants that."""
        before, events = added.before, added.events
        if added.opposed.any():
            before, replaced, events = current_events(before, events)
            if len(replaced.items):
                learner.forget(replaced)
        first = 0
        while first < len(events):
            most = events.indptr[first] + EVENTS_PER_CALL
            last = max(first + 1, int(np.searchsorted(events.indptr, most, side="right")) - 1)
            if last - first == len(events):  # nearly always, and avoids copies
                learner.observe(before, events)
            else:
                users = np.arange(first, last)
                learner.observe(before.select(users), events.select(users))
            if compact and learner.wants_compaction:
                learner.compact()
            first = last


def put_entries(model: Model, changed: Iterable[Entry], texts: TextVectors | None) -> None:
    """Update texts and vectors of items in a model that accepts items; None removes them.

    Text vectors are looked up and never computed here, because the log's writer waits.
    """
    for entries, vectors in _alike(changed, texts):
        items = [index for index, _ in entries]
        contents = [item.content if item else "" for _, item in entries]
        rows = {
            name: np.array([own[name] for own in vectors], dtype=np.float32) for name in vectors[0]
        }
        cast("AcceptsItems", model).put_items(items, contents, rows)


def _alike(
    changed: Iterable[Entry], texts: TextVectors | None
) -> Iterator[tuple[list[Entry], list[ItemVectors]]]:
    """Split entries into runs of at most `ENTRIES_AT_ONCE` with the same columns of vectors."""
    entries: list[Entry] = []
    vectors: list[ItemVectors] = []
    shape: dict[str, int] = {}
    for index, item in changed:
        own: ItemVectors = dict(item.vectors) if item else {}
        language = texts.known(item.content) if texts and item else None
        # An item whose text was removed, or is not encoded yet, must lose its old edges.
        own = own | {LANGUAGE: language} if language is not None else {LANGUAGE: ()} | own
        sizes = {name: len(vector) for name, vector in own.items()}
        if entries and (sizes != shape or len(entries) == ENTRIES_AT_ONCE):
            yield entries, vectors
            entries, vectors = [], []
        shape = sizes
        entries.append((index, item))
        vectors.append(own)
    if entries:
        yield entries, vectors
