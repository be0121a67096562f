"""Feed changes of the log to a model's online-learning methods.

Each commit is passed to `Model.observe`, `forget` and `put_items`. Changes that arrive while the
model still catches up (`catch_up.catch_up`) are queued and applied afterwards, in order.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event as Signal
from threading import Lock

import numpy as np

from nearline.data import LANGUAGE, Histories
from nearline.encoders import TextVectors
from nearline.log import Log
from nearline.models.base import Model
from nearline.models.capabilities import AcceptsItems, LearnsOnline
from nearline.schema import Item
from nearline.state import Added, State

# Events per call of the model: amortises the cost of a call, and bounds the memory of the changes.
EVENTS_AT_ONCE = 20_000
# Interval at which the background thread checks whether enough events are queued.
POLL_SECONDS = 0.002

# One queued change: an item, new events, or a user's history to unlearn.
Waiting = tuple[int, Item | None] | Added | Histories


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
        self._lock = Lock()
        # Changes queued until catching up is complete, in order; None once it is.
        self._waiting: list[Waiting] | None = []

    def put_item(self, index: int, item: Item | None) -> None:
        """Update the text and vectors of an item in the model; None removes them."""
        if not self._waits((index, item)):
            put_item(self.model, index, item, self._texts)

    def add_events(self, added: Added) -> None:
        """Teach the model new events."""
        if self._learner and not self._waits(added):
            self._observe(self._learner, added)

    def forget(self, history: Histories) -> None:
        """Remove a user's events from the model."""
        if self._learner and not self._waits(history):
            self._learner.forget(history)

    def learn_past(self, items: Sequence[tuple[int, Item | None]], past: Added) -> None:
        """Learn the records since the fit, then queued changes; later changes apply at once."""
        if self._texts is not None:
            self._texts.prepare([item.content for _, item in items if item])
        for index, item in items:
            put_item(self.model, index, item, self._texts)
        if self._learner and past.user_ids:
            self._observe(self._learner, past, trusted=False)
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

    def _learn(self, waiting: list[Waiting]) -> None:
        for what in _together(waiting):
            if isinstance(what, tuple) and not isinstance(what, Added):
                put_item(self.model, *what, self._texts)
            elif not isinstance(self.model, LearnsOnline):
                continue
            elif isinstance(what, Added):
                self._observe(self.model, what)
            else:
                self.model.forget(what)

    def pause(self) -> None:
        """Stop learning from events permanently; changes of items are still applied.

        The caller replaces the model later by one that has caught up with the log.
        """
        self._learner = None

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

    def _waits(self, what: Waiting) -> bool:
        with self._lock:
            if self._waiting is None:
                return False
            self._waiting.append(what)
            return True

    def _observe(self, learner: LearnsOnline, added: Added, *, trusted: bool = True) -> None:
        before = self._completed(learner, added, trusted=trusted)
        events = added.events
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

    def _completed(self, learner: LearnsOnline, added: Added, *, trusted: bool) -> Histories:
        """Return the users' earlier events, from the log if the state keeps too few of them.

        A history of maximum length may lack earlier events. It is still used if it is `trusted` to
        contain the events right before the new ones, and has as many of them as the model pairs.
        """
        before = added.before
        sizes = np.diff(before.indptr)
        if len(sizes) == 0 or int(sizes.max()) < self._state.config.history_length:
            return before
        rows = []
        for row, user_id in enumerate(added.user_ids):
            mine = before.select(np.array([row]))
            if len(mine.items) == self._state.config.history_length:
                new = slice(added.events.indptr[row], added.events.indptr[row + 1])
                first = added.events.times[new].min()
                known = np.searchsorted(mine.times, first, side="right")
                if not trusted or known < learner.pair_window:
                    mine = self._whole(user_id, added.offset)
            rows.append(mine)
        return _stacked(rows)

    def _whole(self, user_id: str, offset: int) -> Histories:
        """Return all events of a user before an offset, in order of time."""
        events = [event for at, event in self._log.events_of(user_id) if at < offset]
        events.sort(key=lambda event: event.timestamp)
        weight, items = self._state.config.weight, self._state.items
        return Histories(
            np.array([0, len(events)], dtype=np.int64),
            np.array([items[event.item_id] for event in events], dtype=np.int32),
            np.array([weight(event.event) for event in events], dtype=np.float32),
            np.array([event.timestamp for event in events], dtype=np.float64),
        )


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
    before = _stacked([part.before for part in parts]).select(firsts)
    events = _stacked([part.events for part in parts])
    users = np.repeat(np.array(rows, dtype=np.int64), np.diff(events.indptr))
    return Added(
        parts[0].offset,
        list(numbers),
        before,
        Histories.group(users, len(numbers), events.items, events.weights, events.times),
    )


def _stacked(parts: Sequence[Histories]) -> Histories:
    """Concatenate the rows of several histories."""
    sizes = np.concatenate([np.diff(part.indptr) for part in parts])
    return Histories(
        np.concatenate(([0], np.cumsum(sizes))).astype(np.int64),
        np.concatenate([part.items for part in parts]),
        np.concatenate([part.weights for part in parts]),
        np.concatenate([part.times for part in parts]),
    )


def put_item(model: Model, index: int, item: Item | None, texts: TextVectors | None) -> None:
    """Update the text and vectors of an item in a model; None removes them.

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
    if isinstance(model, AcceptsItems):
        model.put_items([index], [item.content if item else ""], rows)
