"""Bring a model that was fitted at some offset up to the end of the log, while the log grows.

Another model may serve meanwhile. `catch_up` reads the records since the fit, makes the new model a
follower of the state and teaches it those records. From then on the model learns with each commit
(see `online_learner.py`).
"""

from array import array
from collections.abc import Iterable, Iterator

import numpy as np

from nearline.data import Histories, dataset_from_log
from nearline.deployment.online_learner import OnlineLearner
from nearline.encoders import TextVectors
from nearline.kernels.history_split import came_before
from nearline.log import Log
from nearline.models.base import Model
from nearline.models.capabilities import LearnsOnline
from nearline.schema import Event, Item, ItemDeleted, ItemPatched, Record
from nearline.state import Added, State

# Where the log grew by this factor, counting all of it anew is faster than adding to the counts.
MUCH = 1.0


def catch_up(
    model: Model,
    log: Log,
    state: State,
    *,
    offset: int,
    erasures: int,
    online: bool = True,
    texts: TextVectors | None = None,
) -> OnlineLearner:
    """Bring `model` up to the end of the log and make it a follower of `state`.

    Parameters
    ----------
    offset, erasures : int
        End and erasures of the log that the model was fitted on. Where a user was erased since, or
        much came since, all counts are made anew from the log.
    texts : TextVectors or None
        Encodes, in one batch, the texts of items that came since and were never encoded.

    Returns
    -------
    OnlineLearner
        In step with the log until it leaves.

    Notes
    -----
    The lock of the state is held while histories are copied, not while the model learns.
    """
    live = OnlineLearner(model, log, state, online=online, texts=texts)
    learner = model if online and isinstance(model, LearnsOnline) else None
    records = _Records(state, offset)
    while True:
        news = state.offset - records.offset
        if learner and (erasures != log.erasures or news > MUCH * max(records.offset, 1)):
            erasures, stop = log.erasures, state.offset
            overheard = _Overheard(log, records, stop)
            weight, item_ids = state.config.weight, state.items.table()
            data = dataset_from_log(overheard, stop, weight, item_ids=item_ids)
            learner.rebuild_counts(data.histories, data.n_items)
            records = overheard.after
        records.add(log.read(records.end, state.offset))  # most of them without the lock
        with state.lock:
            if learner and erasures != log.erasures:
                continue
            records.add(log.read(records.end, state.offset))
            past = records.added()
            state.followers = (*state.followers, live)
            if model.n_items < len(state.items):
                last = len(state.items) - 1
                records.items.append((last, state.catalogue.get(last)))
        live.learn_past(records.items, past)
        return live


class _Records:
    """What stands in the log from an offset on, as a model must hear it."""

    def __init__(
        self, state: State, offset: int, items: Iterable[tuple[int, Item | None]] = ()
    ) -> None:
        self.offset = self.end = offset
        self.items = list(items)
        self.state = state
        self._users: dict[str, int] = {}
        self._rows, self._indices = array("q"), array("i")
        self._weights, self._times = array("f"), array("d")

    def add(self, records: Iterable[tuple[int, Record]]) -> None:
        """Take more records, in order."""
        index, weight = self.state.items, self.state.config.weight
        for offset, record in records:
            if isinstance(record, Event):
                self._rows.append(self._users.setdefault(record.user_id, len(self._users)))
                self._indices.append(index[record.item_id])
                self._weights.append(weight(record.event))
                self._times.append(record.timestamp)
            else:
                self.note(record)
            self.end = offset + 1

    def note(self, record: Record) -> None:
        """Take what a record says of an item."""
        if isinstance(record, Item):
            self.items.append((self.state.items[record.item_id], record))
        elif isinstance(record, ItemPatched):
            # The entry at this offset is not kept. The state's is the same or a later one, and
            # whatever made it later follows in the log, so that the model ends with the last entry.
            index = self.state.items.get(record.item_id)
            if index is not None:
                self.items.append((index, self.state.catalogue.get(index)))
        elif isinstance(record, ItemDeleted):
            self.items.append((self.state.items[record.item_id], None))

    def added(self) -> Added:
        """Give the events, and what their users had done before; the caller holds the lock."""
        user_ids, events = list(self._users), self._events()
        return Added(self.offset, user_ids, _before(user_ids, events, self.state), events)

    def _events(self) -> Histories:
        """Events of each user, in order of arrival."""
        return Histories.group(
            np.array(self._rows, dtype=np.int64),
            len(self._users),
            np.array(self._indices, dtype=np.int32),
            np.array(self._weights, dtype=np.float32),
            np.array(self._times, dtype=np.float64),
        )


class _Overheard:
    """A log that is read from its beginning, while changes of the catalogue are noted.

    `after` begins at `stop` with the items of `records` and those that changed since.
    """

    def __init__(self, log: Log, records: _Records, stop: int) -> None:
        self.after = _Records(records.state, stop, records.items)
        self._log, self._known = log, records.end

    @property
    def end(self) -> int:
        """End of the log."""
        return self._log.end

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Record]]:
        """Yield what the log yields."""
        for offset, record in self._log.read(start, stop):
            if offset >= self._known and not isinstance(record, Event):
                self.after.note(record)
            yield offset, record


def _before(user_ids: list[str], events: Histories, state: State) -> Histories:
    """Look up what users had done before some events.

    A row at its bound stays as long as that, so that the log is asked for the whole.
    """
    whole = state.histories_of(user_ids)
    before = came_before(whole.indptr, whole.times, events.indptr, events.times)
    sizes = np.diff(whole.indptr)
    before[np.repeat(sizes == state.config.history_length, sizes)] = True
    indptr = np.concatenate(([0], np.cumsum(before))).astype(np.int64)[whole.indptr]
    return Histories(indptr, whole.items[before], whole.weights[before], whole.times[before])
