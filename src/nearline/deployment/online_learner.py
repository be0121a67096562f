"""Feed changes of the log to a model's online-learning methods.

Each commit is passed to `Model.observe`, `forget` and `put_items`. Changes that arrive while the
model still catches up (`catch_up.catch_up`) are queued and applied afterwards, in order.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event as Signal
from threading import Lock, Thread
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np

from nearline.data import LANGUAGE, Histories
from nearline.encoders import TextVectors
from nearline.log import Log
from nearline.models.base import Model
from nearline.models.capabilities import AcceptsItems, LearnsOnline
from nearline.schema import Item
from nearline.state import Added, State

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Events per call of the model: amortises the cost of a call, and bounds the memory of the changes.
EVENTS_AT_ONCE = 20_000
# Interval at which the background thread checks whether enough events are queued.
POLL_SECONDS = 0.002

# Entries of one commit that are learned while it waits; more are learned in a second thread.
ITEMS_AT_ONCE = 64
# Events of an erased user that are removed while the log waits; more are removed in that thread.
FORGOTTEN_AT_ONCE = 50


class Acknowledgement(NamedTuple):
    """A future to resolve, with its result, once everything queued before it is learned."""

    future: Future[Any]
    result: Any


# One queued change: an item, new events, a user's history to unlearn; or an acknowledgement.
Waiting = tuple[int, Item | None] | Added | Histories | Acknowledgement


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
        self._takes_items = isinstance(model, AcceptsItems)
        self._paused = False
        self._lock = Lock()
        self._drain: Thread | None = None
        # Changes queued until catching up is complete, in order; None once it is.
        self._waiting: list[Waiting] | None = []

    @property
    def lags(self) -> bool:
        """Whether changes are queued that the model has not learned yet."""
        return self._waiting is not None

    def put_items(self, changed: Sequence[tuple[int, Item | None]]) -> None:
        """Update the texts and vectors of items in the model; None removes them.

        Many entries are learned in a second thread, so that events do not wait behind them; what
        comes meanwhile is queued.
        """
        if self._paused:
            last = max(index for index, _ in changed)
            if last >= self.model.n_items:
                self._put(last, None)
            return
        if sum(item is not None for _, item in changed) > ITEMS_AT_ONCE:
            self._learn_beside(changed)
        elif not self._waits(*changed):
            for index, item in changed:
                self._put(index, item)

    def add_events(self, added: Added) -> None:
        """Teach the model new events."""
        if self._learner and not self._waits(added):
            self._observe(self._learner, added)

    def forget(self, history: Histories) -> None:
        """Remove a user's events from the model, once it has learned what is queued.

        Many events are removed in a second thread, as in `put_items`; `after_learning` waits for
        it.
        """
        if self._learner is None:
            return
        if len(history.items) > FORGOTTEN_AT_ONCE:
            self._learn_beside([history])
        elif not self._waits(history):
            self._learner.forget(history)

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
        for index, item in items:
            self._put(index, item)
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
            self._waiting = []

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
                self._waiting = list(changed)
                self._drain = Thread(target=self._learn_queued, name="nearline-learn")
                self._drain.start()

    def _learn_queued(self) -> None:
        while waiting := self._next():
            try:
                self._learn(waiting)
            except Exception as error:
                logger.exception("the model could not learn entries of the catalogue; train again")
                for what in waiting:
                    if isinstance(what, Acknowledgement) and not what.future.done():
                        what.future.set_exception(error)

    def _learn(self, waiting: list[Waiting]) -> None:
        for what in _together(waiting):
            if isinstance(what, Acknowledgement):
                what.future.set_result(what.result)
            elif isinstance(what, tuple) and not isinstance(what, Added):
                self._put(*what)
            elif not isinstance(self.model, LearnsOnline):
                continue
            elif isinstance(what, Added):
                self._observe(self.model, what)
            else:
                self.model.forget(what)

    def pause(self) -> None:
        """Stop learning permanently; only the number of items still grows.

        The caller replaces the model later by one that has caught up with the log.
        """
        self.settle()
        self._learner, self._paused = None, True

    def leave(self) -> None:
        """Stop following the state."""
        with self._state.lock:
            others = tuple(f for f in self._state.followers if f is not self)
            self._state.followers = others

    def _next(self) -> list[Waiting] | None:
        """Take the queued changes; once there are none, later changes apply at once."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
            if not waiting:
                self._waiting = None
            return waiting

    def _take(self) -> list[Waiting]:
        """Take the queued changes if they make a full batch, and keep queueing later ones."""
        with self._lock:
            waiting = self._waiting or []
            events = (len(what.events.items) for what in waiting if isinstance(what, Added))
            if sum(events) < EVENTS_AT_ONCE:
                return []
            self._waiting = []
            return waiting

    def _waits(self, *what: Waiting) -> bool:
        """Queue changes if earlier ones are queued; return whether they were."""
        with self._lock:
            if self._waiting is None:
                return False
            self._waiting.extend(what)
            return True

    def _put(self, index: int, item: Item | None) -> None:
        if self._takes_items:
            put_item(self.model, index, item, self._texts)

    def _observe(self, learner: LearnsOnline, added: Added) -> None:
        before, events = added.before, added.events
        if len(events.items) <= EVENTS_AT_ONCE:  # nearly always, and avoids copies
            learner.observe(before, events)
            return
        first = 0
        while first < len(events):
            most = events.indptr[first] + EVENTS_AT_ONCE
            last = max(first + 1, int(np.searchsorted(events.indptr, most, side="right")) - 1)
            users = np.arange(first, last)
            learner.observe(before.select(users), events.select(users))
            first = last


def _together(waiting: Iterable[Waiting]) -> Iterator[Waiting]:
    """Join consecutive batches of events, up to `EVENTS_AT_ONCE`; the order is kept."""
    run: list[Added] = []
    size = 0
    for what in waiting:
        more = len(what.events.items) if isinstance(what, Added) else 0
        if run and (not isinstance(what, Added) or size + more > EVENTS_AT_ONCE):
            yield _joined(run)
            run, size = [], 0
        if isinstance(what, Added):
            run.append(what)
            size += more
        else:
            yield what
    if run:
        yield _joined(run)


def _joined(parts: Sequence[Added]) -> Added:
    """Join consecutive batches; `before` of a user is that of the user's first batch."""
    if len(parts) == 1:
        return parts[0]
    numbers: dict[str, int] = {}
    rows = [numbers.setdefault(user, len(numbers)) for part in parts for user in part.user_ids]
    _, firsts = np.unique(rows, return_index=True)
    before = joined_rows([part.before for part in parts]).select(firsts)
    events = joined_rows([part.events for part in parts])
    users = np.repeat(np.array(rows, dtype=np.int64), np.diff(events.indptr))
    return Added(
        parts[0].offset,
        list(numbers),
        before,
        Histories.group(users, len(numbers), events.items, events.weights, events.times),
    )


def joined_rows(parts: Sequence[Histories]) -> Histories:
    """Concatenate the rows of several histories."""
    sizes = np.concatenate([np.diff(part.indptr) for part in parts])
    return Histories(
        np.concatenate(([0], np.cumsum(sizes))).astype(np.int64),
        np.concatenate([part.items for part in parts]),
        np.concatenate([part.weights for part in parts]),
        np.concatenate([part.times for part in parts]),
    )


def put_item(model: Model, index: int, item: Item | None, texts: TextVectors | None) -> None:
    """Update the text and vectors of an item in a model that accepts items; None removes them.

    The text vector is looked up and never computed here, because the log's writer waits.
    """
    vectors = item.vectors if item else {}
    rows = {name: np.array([vector], dtype=np.float32) for name, vector in vectors.items()}
    language = texts.known(item.content) if texts and item else None
    if language is not None:
        rows[LANGUAGE] = language[None]
    else:
        # An item whose text was removed, or is not encoded yet, must lose its old edges.
        rows.setdefault(LANGUAGE, np.zeros((1, 0), dtype=np.float32))
    cast("AcceptsItems", model).put_items([index], [item.content if item else ""], rows)
