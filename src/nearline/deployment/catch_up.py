"""Bring a model that was fitted up to some offset to the end of the log, while the log grows.

`catch_up` reads the records since the fit (`Log.read`), makes the model a follower of the state,
which follows the log (`Log.listen`), and teaches the model those records. From then on the model
learns from each commit (see `online_learner.py`). Another model may be active meanwhile.
"""

from array import array
from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from nearline.common.memory import collection_paused
from nearline.data import Histories, dataset_from_log
from nearline.deployment.changes import stacked
from nearline.deployment.online_learner import OnlineLearner
from nearline.deployment.user_rows import all_users
from nearline.encoders import TextVectors
from nearline.errors import Damaged
from nearline.kernels import counted_events
from nearline.kernels.history_split import came_before
from nearline.log import Log
from nearline.models.base import Model
from nearline.models.capabilities import LearnsOnline, LearnsUsers
from nearline.schema import Consent, Event, Item, ItemDeleted, ItemPatched, Record
from nearline.state import Added, State

# If the log grew by more than this factor, recounting it is faster than updating the counts.
MUCH = 1.0
_NOTHING = Histories.from_rows([[]])


@collection_paused()
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
        End and number of erasures of the log when the model was fitted. If a user was erased since,
        or the log grew a lot, all counts are recomputed from the log.
    texts : TextVectors or None
        Encodes, in one batch, the texts of newer items that were never encoded.

    Returns
    -------
    OnlineLearner
        Keeps the model in step with the log until `leave` is called.

    Notes
    -----
    The lock of the state is held while histories are copied, not while the model learns.
    """
    live = OnlineLearner(model, log, state, online=online, texts=texts)
    learner = model if online and isinstance(model, LearnsOnline) else None
    records = _Records(state, offset, learns=learner is not None)
    while True:
        news = state.offset - records.offset
        if learner and (erasures != log.erasures or news > MUCH * max(records.offset, 1)):
            erasures, stop = log.erasures, state.offset
            # Begins at `stop`, with the changes of items so far and those that the count passes.
            after, known = _Records(state, stop, records.items, learns=True), records.end
            weight, item_ids = state.config.weight, state.items.table()
            data = dataset_from_log(
                log,
                stop,
                weight,
                limits=state.config.limits,
                item_ids=item_ids,
                on_other=partial(_note_newer, after, known),
            )
            histories = data.counted_histories.without_superseded()
            learner.rebuild_counts(histories, data.n_items)
            records = after
        records.add(log.read(records.end, state.offset))  # most of them, without the lock
        with state.lock:
            if learner and erasures != log.erasures:
                continue
            records.add(log.read(records.end, state.offset))
            if learner and records.consents:
                erasures = -1  # events from before the fit may have to go, or to come back
                continue
            past = records.added(log)
            if learner and erasures != log.erasures:
                continue  # a user whose events were read may have been erased meanwhile
            users = all_users(state, log, model) if isinstance(model, LearnsUsers) else None
            state.followers = (*state.followers, live)
            if model.n_items < len(state.items):
                last = len(state.items) - 1
                records.items.append((last, state.catalogue.get(last)))
        if online and users is not None and isinstance(model, LearnsUsers):
            model.recount_users(users)
        live.learn_past(records.items, past)
        return live


class _Records:
    """Records from an offset on, in the form in which a model learns them.

    For a model that does not learn online, events are only checked.
    """

    def __init__(
        self,
        state: State,
        offset: int,
        items: Iterable[tuple[int, Item | None]] = (),
        *,
        learns: bool,
    ) -> None:
        self._learns = learns
        self.offset = self.end = offset
        self.items = list(items)
        self.state = state
        self.consents = False  # whether a user's choice is among the records
        self._users: dict[str, int] = {}
        self._rows, self._indices = array("q"), array("i")
        self._weights, self._times = array("f"), array("d")

    def add(self, records: Iterable[tuple[int, Record]]) -> None:
        """Add records, in order."""
        index, weight = self.state.items, self.state.config.weight
        objecting = self.state.profiles.objecting
        for offset, record in records:
            self.end = offset + 1
            if isinstance(record, Event):
                if record.user_id in objecting:
                    continue
                item = index.get(record.item_id)
                if item is None:
                    raise Damaged(
                        f"the state lacks item {record.item_id!r:.80}, which the log has at offset "
                        f"{offset}; remove the file state.checkpoint of the store, so that the "
                        "whole log is replayed"
                    )
                if not self._learns:
                    continue
                self._rows.append(self._users.setdefault(record.user_id, len(self._users)))
                self._indices.append(item)
                self._weights.append(weight(record.event))
                self._times.append(record.timestamp)
            elif isinstance(record, Consent):
                self.consents = True
            else:
                self.note(record)

    def note(self, record: Record) -> None:
        """Add a catalogue change."""
        if isinstance(record, Item):
            self.items.append((self.state.items[record.item_id], record))
        elif isinstance(record, ItemPatched):
            # The state has the entry of this offset or a later one. In the latter case the later
            # change follows in the log, so the model ends with the latest entry.
            index = self.state.items.get(record.item_id)
            if index is not None:
                self.items.append((index, self.state.catalogue.get(index)))
        elif isinstance(record, ItemDeleted):
            self.items.append((self.state.items[record.item_id], None))

    def added(self, log: Log) -> Added:
        """Return the events that count and their users' earlier ones; the caller holds the lock."""
        user_ids, events = list(self._users), self._events()
        counted, every, arrived = self.state.counted_of(user_ids)
        news = came_before(counted.indptr, counted.times, events.indptr, events.times)
        before = counted.take(news)
        if not every.all():
            most = counted_events.LIMITS.events
            # Which events count depends on their arrival, which only the log knows.
            earlier = arrived - np.diff(events.indptr)
            rows = [
                self._split(log, user_ids[row]) if earlier[row] < most else (_NOTHING, _NOTHING)
                for row in np.flatnonzero(~every)
            ]
            before = _with_rows(before, every, [past for past, _ in rows])
            events = _with_rows(events, every, [new for _, new in rows])
        return Added(self.offset, user_ids, before, events, self.state.opposed(user_ids))

    def _split(self, log: Log, user_id: str) -> tuple[Histories, Histories]:
        """Return the events of a user that count: those before the records, and those in them."""
        found = [pair for pair in log.events_of(user_id) if pair[0] < self.end]
        found = found[: counted_events.LIMITS.events]
        index, weight = self.state.items, self.state.config.weight
        items = np.array([index[event.item_id] for _, event in found], dtype=np.int32)
        nobody = np.zeros(len(found), dtype=np.int64)
        whole = Histories.group(
            nobody,
            1,
            items,
            np.array([weight(event.event) for _, event in found], dtype=np.float32),
            np.array([event.timestamp for _, event in found], dtype=np.float64),
        )
        limits = self.state.config.limits
        which = counted_events.counted_events(nobody, items, whole.weights, whole.times, limits)
        past = np.array([offset < self.offset for offset, _ in found], dtype=np.bool_)
        earlier = whole.take(which & past)
        order = np.argsort(earlier.times, kind="stable")
        earlier = Histories(
            earlier.indptr, earlier.items[order], earlier.weights[order], earlier.times[order]
        )
        return earlier, whole.take(which & ~past)

    def _events(self) -> Histories:
        """Return the events of each user, in order of arrival."""
        return Histories.group(
            np.array(self._rows, dtype=np.int64),
            len(self._users),
            np.array(self._indices, dtype=np.int32),
            np.array(self._weights, dtype=np.float32),
            np.array(self._times, dtype=np.float64),
        )


def _note_newer(records: _Records, known: int, offset: int, record: Record) -> None:
    """Add a change of an item from the offset `known` on."""
    if offset >= known:
        records.note(record)


def _with_rows(rows: Histories, keep: NDArray[np.bool_], others: Sequence[Histories]) -> Histories:
    """Return a copy in which the rows where `keep` is false are replaced by `others`, in order."""
    size = len(rows)
    both = stacked([rows, *others])
    order = np.arange(size)
    order[~keep] = np.arange(size, size + len(others))
    return both.select(order)
