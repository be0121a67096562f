"""Events from which the weights of relations learn: sampled before the model learns them."""

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from nearline.data import Histories
from nearline.models.base import Model
from nearline.models.capabilities import AdaptsWeights, ScoresSparsely
from nearline.schema import Item
from nearline.schema.segments import segment_of
from nearline.state import Added, State, UsersChanged

# Seconds between two samples, since each takes about a millisecond in the writer's thread.
PAUSE_SECONDS = 0.25
# Samples that wait, and items with which the item of an event is compared.
WAITING, CANDIDATES = 2_000, 50

# Segment of the user, and what each relation adds to the scores: float64 [n, R].
Sample = tuple[str, NDArray[np.float64]]


class SampledEvents:
    """A follower of the state that keeps what relations say about the items of some events.

    It is called before the model learns an event, so no relation knows the item by the event.

    Parameters
    ----------
    model : callable
        Returns the active model.
    clock : callable
        Returns the time in Unix seconds.
    """

    def __init__(
        self, state: State, model: Callable[[], Model], clock: Callable[[], float]
    ) -> None:
        self._samples: deque[Sample] = deque(maxlen=WAITING)
        self._model, self._clock = model, clock
        self._next = 0.0
        with state.lock:
            state.followers = (self, *state.followers)

    def put_items(self, changed: Sequence[tuple[int, Item | None]]) -> None:
        """Ignore changes of the catalogue."""

    def add_events(self, added: Added) -> None:
        """Sample the last event of one user of a batch, if the last sample is long enough ago."""
        now = self._clock()
        if now < self._next or not len(added.events):
            return
        sample = self._sample(added, len(added.events) - 1, now)
        if sample is not None:
            self._samples.append(sample)
            self._next = now + PAUSE_SECONDS

    def change_users(self, changed: UsersChanged) -> None:
        """Ignore changes of attributes."""

    def forget(self, _: Histories) -> None:
        """Drop all samples, of which some may come from an erased user."""
        self._samples.clear()

    def take(self) -> list[Sample]:
        """Return the samples that wait, and forget them."""
        return [self._samples.popleft() for _ in range(len(self._samples))]

    def _sample(self, added: Added, row: int, now: float) -> Sample | None:
        model = self._model()
        if not isinstance(model, AdaptsWeights) or not isinstance(model, ScoresSparsely):
            return None
        events = added.events.select(np.array([row]))
        before = added.before.select(np.array([row]))
        if not len(before.items) or not len(events.items) or events.weights[-1] <= 0:
            return None
        item = int(events.items[-1])
        if not 0 <= item < model.n_items or item in before.items:
            return None
        known = model.score_sparse(before)
        others = known.items[(known.items != item) & ~np.isin(known.items, before.items)]
        scores = known.scores[np.isin(known.items, others)]
        if not len(others):
            return None
        first = np.argsort(-scores, kind="stable")[:CANDIDATES]
        among = np.concatenate(([item], others[first])).astype(np.int32)
        return segment_of(before, now), model.relation_parts(before, among)
