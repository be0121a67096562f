"""The fold of the log."""

import threading
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from nearline.schema import Event, Item, ItemDeleted, ItemPatched, Record, StoredBlock
from nearline.schema.histories import Histories
from nearline.state.blocks import Columns, block_columns
from nearline.state.catalogue import Catalogue, CatalogueCopy
from nearline.state.config import StateConfig
from nearline.state.contexts import Context, Contexts, ContextsCopy
from nearline.state.counters import Counters, CountersCopy
from nearline.state.histories import HistoryStore, HistoryStoreCopy, UserHistory
from nearline.state.vocabulary import Vocabulary

Users = NDArray[np.int64]

# Records folded under one hold of the lock: a reader waits a few milliseconds at most.
RECORDS_PER_HOLD = 1_000


class Added(NamedTuple):
    """Events that were folded in together.

    Attributes
    ----------
    offset : int
        Of the first record of the batch.
    user_ids : list of str
        Users of the events, one row each in what follows.
    before : Histories
        What they had done before, as far as it is kept.
    events : Histories
        Their new events, in order of arrival.
    """

    offset: int
    user_ids: list[str]
    before: Histories
    events: Histories


class Follower(Protocol):
    """Hears of every change in the order of the log, once the state shows it, outside its lock."""

    def put_items(self, changed: Sequence[tuple[int, Item | None]]) -> None:
        """Hear of entries by index; None if one was deleted, or an event named it first."""
        ...

    def add_events(self, added: Added) -> None:
        """Hear of events; items that are new with them were told before."""
        ...

    def forget(self, history: Histories) -> None:
        """Hear that a user was forgotten; `history` (one row) is every event that was folded in."""
        ...


class StateCopy(NamedTuple):
    """Everything that a state holds at one offset, shared with nothing that changes."""

    offset: int
    users: list[str]
    items: list[str]
    histories: HistoryStoreCopy
    counters: CountersCopy
    contexts: ContextsCopy
    catalogue: CatalogueCopy


class State:
    """Histories, counters and catalogue as the log up to `offset` makes them.

    The state depends on the records and their order alone, not on how they were batched. One
    thread writes (`apply`, `forget`); any thread reads, each read whole in itself. Hold `lock`
    over several reads that must fit together.

    Attributes
    ----------
    config : StateConfig
    lock : RLock
        Guards everything below.
    offset : int
        Every log record before it is folded in.
    users, items : Vocabulary
        Ids and indices. A forgotten user's index is used again; an item keeps its index for ever.
    catalogue : Catalogue
    counters : Counters
    contexts : Contexts
    version : int
        Rises with every change, once all followers have heard of it: what was derived from the
        state and from them at one version holds for as long as the version stands.
    followers : tuple of Follower
        Called inside `apply` and `forget`. Replace the tuple under the lock alone.

    Parameters
    ----------
    item_ids : sequence of str
        Items that get the first indices, so that a model that numbers them so fits the state.
    """

    def __init__(self, config: StateConfig | None = None, *, item_ids: Sequence[str] = ()) -> None:
        self.config = config if config is not None else StateConfig()
        self.lock = threading.RLock()
        self.offset = 0
        self.version = 0
        self.users = Vocabulary()
        self.items = Vocabulary.from_table(item_ids)
        self.counters = Counters(self.config.trending_half_life, self.lock)
        self.counters.grow(self.items.slots)
        self.contexts = Contexts(self.lock)
        self.catalogue = Catalogue(self.lock)
        self.catalogue.grow(self.items.slots)
        self.followers: tuple[Follower, ...] = ()
        self._histories = HistoryStore(self.config.history_length)

    @classmethod
    def restore(
        cls,
        config: StateConfig,
        *,
        offset: int,
        users: list[str],
        items: list[str],
        histories: Histories,
        counters: CountersCopy,
        contexts: ContextsCopy,
        catalogue: CatalogueCopy,
    ) -> Self:
        """Rebuild from the parts of a `StateCopy`; arrays are kept and changed."""
        state = cls(config)
        state.offset = offset
        state.users = Vocabulary.from_table(users)
        state.items = Vocabulary.from_table(items)
        state.counters = Counters.from_copy(config.trending_half_life, state.lock, counters)
        state.contexts = Contexts.from_copy(state.lock, contexts)
        state.catalogue = Catalogue.from_copy(state.lock, catalogue)
        state._histories = HistoryStore.from_rows(config.history_length, histories)
        return state

    def apply(self, batch: Sequence[tuple[int, Record]]) -> None:
        """Fold (offset, record) pairs in.

        Raises
        ------
        ValueError
            Offsets do not rise, or start before `offset`; nothing was folded.
        """
        self._check_offsets(batch)
        for start in range(0, len(batch), RECORDS_PER_HOLD):
            with self.lock:
                followers = self.followers
                changed, added = self._fold(batch[start : start + RECORDS_PER_HOLD])
            for follower in followers:
                if changed:
                    follower.put_items(changed)
                if added is not None:
                    follower.add_events(added)
            self.version += 1

    def forget(self, user_id: str, events: Iterable[tuple[int, Event]]) -> None:
        """Undo all that a user did, as if `events` had been `Erased` from the start.

        Parameters
        ----------
        events : iterable of (offset, Event)
            Every event of the user in the log. Those from `offset` on were never folded in and
            are passed over.

        Notes
        -----
        Totals are exact; decayed sums agree to 1e-9 of themselves, as long as what is undone is
        less than some 70 half-lives newer than what stays. Items that only this user touched keep
        their index, with a count of zero.
        """
        with self.lock:
            followers = self.followers
            folded = [event for offset, event in events if offset < self.offset]
            columns = _columns(
                [
                    (0, self.items[event.item_id], self.config.weight(event.event), event.timestamp)
                    for event in folded
                ]
            )
            self.counters.subtract(columns.items, columns.weights, columns.times)
            contexts = [event.context for event in folded]
            self.contexts.subtract(columns.items, columns.weights, contexts)
            if user_id in self.users:
                self._histories.remove(self.users.remove(user_id))
        _, history = _by_user(columns, by_time=True)
        for follower in followers:
            follower.forget(history)
        self.version += 1

    def history(self, user_id: str) -> UserHistory | None:
        """One user's events, oldest first, copied; None where the user is unknown."""
        with self.lock:
            user = self.users.get(user_id)
            return None if user is None else self._histories.row(user)

    def histories_of(self, user_ids: Iterable[str]) -> Histories:
        """Events of several users, one row each, copied; an empty row for an unknown user."""
        with self.lock:
            return self._histories.rows(self.users.indices_of(user_ids))

    def user_ids(self) -> list[str]:
        """Ids of all users with a history, a copy."""
        with self.lock:
            return [user_id for user_id in self.users.table() if user_id]

    def copy(self) -> StateCopy:
        """Copy everything at one moment; the lock is held for the time of the copying alone."""
        with self.lock:
            return StateCopy(
                self.offset,
                self.users.table(),
                self.items.table(),
                self._histories.copy(self.users.slots),
                self.counters.copy(),
                self.contexts.copy(),
                self.catalogue.copy(),
            )

    def _check_offsets(self, batch: Sequence[tuple[int, Record]]) -> None:
        least = self.offset
        # The offsets of a block rise by themselves.
        for offset, _ in batch[:1] if isinstance(batch, StoredBlock) else batch:
            if offset < least:
                raise ValueError(
                    f"offset {offset} comes where at least {least} is due; offsets must rise: "
                    "apply the log from State.offset on, in order"
                )
            least = offset + 1

    def _fold(
        self, batch: Sequence[tuple[int, Record]]
    ) -> tuple[list[tuple[int, Item | None]], Added | None]:
        """Fold a batch; return what the followers must hear: of items in order, and of events."""
        known = self.items.slots
        changed: list[tuple[int, Item | None]]
        contexts: list[Context | None] = []
        if isinstance(batch, StoredBlock):
            columns = block_columns(batch, self.users, self.items, self.config.weight)
            changed = [(index, None) for index in range(known, self.items.slots)]
        else:
            columns, changed = self._record_columns(batch)
            contexts = [record.context for _, record in batch if isinstance(record, Event)]
        users, items, weights, times = columns
        known = self.items.slots
        added = None
        if len(users) and self.followers:
            who, events = _by_user(columns)
            before = self._histories.rows(who)
            added = Added(batch[0][0], self.users.ids_of(who), before, events)
        self._histories.append(users, items, weights, times, self.users.slots)
        self.counters.grow(known)
        self.counters.add(items, weights, times)
        self.contexts.add(items, weights, contexts)
        self.catalogue.grow(known)
        self.offset = batch[-1][0] + 1
        return changed, added

    def _record_columns(
        self, batch: Sequence[tuple[int, Record]]
    ) -> tuple[Columns, list[tuple[int, Item | None]]]:
        """Fold the catalogue changes of a batch, and index its events."""
        rows: list[tuple[int, int, float, float]] = []
        changed: list[tuple[int, Item | None]] = []
        known = self.items.slots
        weight, user_index, item_index = self.config.weight, self.users.add, self.items.add
        for _, record in batch:
            if isinstance(record, Event):
                user, index = user_index(record.user_id), item_index(record.item_id)
                rows.append((user, index, weight(record.event), record.timestamp))
                if index == known:
                    known += 1
                    changed.append((index, None))
            elif isinstance(record, ItemPatched):
                patched = self.items.get(record.item_id)
                entry = None if patched is None else self.catalogue.patch(patched, record)
                if patched is not None and entry is not None:
                    changed.append((patched, entry))
            elif isinstance(record, Item | ItemDeleted):
                index, item = item_index(record.item_id), None
                known = self.items.slots
                self.catalogue.grow(known)
                if isinstance(record, Item):
                    item = record
                    self.catalogue.put(index, item)
                else:
                    self.catalogue.delete(index)
                changed.append((index, item))
        return _columns(rows), changed


def _columns(rows: list[tuple[int, int, float, float]]) -> Columns:
    """Turn (user, item, weight, time) rows into four arrays."""
    users, items, weights, times = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Columns(
        np.array(users, dtype=np.int64),
        np.array(items, dtype=np.int32),
        np.array(weights, dtype=np.float32),
        np.array(times, dtype=np.float64),
    )


def _by_user(columns: Columns, *, by_time: bool = False) -> tuple[Users, Histories]:
    """Users that occur, rising, and their events: in order of arrival, or of time."""
    users, items, weights, times = columns
    order = np.lexsort((times, users)) if by_time else np.argsort(users, kind="stable")
    who, sizes = np.unique(users, return_counts=True)
    indptr = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    return who, Histories(indptr, items[order], weights[order], times[order])
