"""The fold of the log."""

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from nearline.schema import Event, Item, ItemDeleted, Record
from nearline.state.catalogue import Catalogue, CatalogueCopy
from nearline.state.config import StateConfig
from nearline.state.counters import Counters, CountersCopy
from nearline.state.histories import Histories, HistoriesCopy, HistoryRows, UserHistory
from nearline.state.vocabulary import Vocabulary

# Records folded under one hold of the lock: a reader waits a few milliseconds at most.
RECORDS_PER_HOLD = 1_000

# Called with an item's index and its new entry, or None where it was deleted.
OnItem = Callable[[int, Item | None], None]


class StateCopy(NamedTuple):
    """Everything that a state holds at one offset, shared with nothing that changes."""

    offset: int
    users: list[str]
    items: list[str]
    histories: HistoriesCopy
    counters: CountersCopy
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
    on_item : callable or None
        Called as ``on_item(index, item)`` for each entry put and ``on_item(index, None)`` for each
        deleted, in log order, inside `apply` and outside the lock, once the state shows it.
    """

    def __init__(self, config: StateConfig | None = None) -> None:
        self.config = config if config is not None else StateConfig()
        self.lock = threading.RLock()
        self.offset = 0
        self.users = Vocabulary()
        self.items = Vocabulary()
        self.counters = Counters(self.config.trending_half_life, self.lock)
        self.catalogue = Catalogue(self.lock)
        self.on_item: OnItem | None = None
        self._histories = Histories(self.config.history_length)

    @classmethod
    def restore(
        cls,
        config: StateConfig,
        *,
        offset: int,
        users: list[str],
        items: list[str],
        histories: HistoryRows,
        counters: CountersCopy,
        catalogue: CatalogueCopy,
    ) -> Self:
        """Rebuild from the parts of a `StateCopy`; arrays are kept and changed."""
        state = cls(config)
        state.offset = offset
        state.users = Vocabulary.from_table(users)
        state.items = Vocabulary.from_table(items)
        state.counters = Counters.from_copy(config.trending_half_life, state.lock, counters)
        state.catalogue = Catalogue.from_copy(state.lock, catalogue)
        state._histories = Histories.from_rows(config.history_length, histories)
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
                changed = self._fold(batch[start : start + RECORDS_PER_HOLD])
            if self.on_item is not None:
                for index, item in changed:
                    self.on_item(index, item)

    def forget(self, user_id: str, events: Iterable[tuple[int, Event]]) -> None:
        """Undo all that a user did, as if `events` had been `Erased` from the start.

        Parameters
        ----------
        events : iterable of (offset, Event)
            Every event of the user in the log. Those from `offset` on were never folded in and
            are passed over.

        Notes
        -----
        Totals are exact; decayed sums to about 1e-9. Items that only this user touched keep their
        index, with a count of zero.
        """
        with self.lock:
            undone = [event for offset, event in events if offset < self.offset]
            columns = _Columns()
            for event in undone:
                columns.add(
                    0, self.items[event.item_id], self.config.weight(event.event), event.timestamp
                )
            _, items, weights, times = columns.arrays()
            self.counters.subtract(items, weights, times)
            if user_id in self.users:
                self._histories.remove(self.users.remove(user_id))

    def history(self, user_id: str) -> UserHistory | None:
        """One user's events, oldest first, copied; None where the user is unknown."""
        with self.lock:
            user = self.users.get(user_id)
            return None if user is None else self._histories.row(user)

    def histories_of(self, user_ids: Iterable[str]) -> HistoryRows:
        """Events of several users, one row each, copied; an empty row for an unknown user."""
        with self.lock:
            return self._histories.rows(self.users.indices_of(user_ids))

    def copy(self) -> StateCopy:
        """Copy everything at one moment; the lock is held for the time of the copying alone."""
        with self.lock:
            return StateCopy(
                self.offset,
                self.users.table(),
                self.items.table(),
                self._histories.copy(self.users.slots),
                self.counters.copy(),
                self.catalogue.copy(),
            )

    def _check_offsets(self, batch: Sequence[tuple[int, Record]]) -> None:
        least = self.offset
        for offset, _ in batch:
            if offset < least:
                raise ValueError(
                    f"offset {offset} comes where at least {least} is due; offsets must rise: "
                    "apply the log from State.offset on, in order"
                )
            least = offset + 1

    def _fold(self, batch: Sequence[tuple[int, Record]]) -> list[tuple[int, Item | None]]:
        """Fold a batch; the catalogue entries that it changed, in order."""
        columns = _Columns()
        changed: list[tuple[int, Item | None]] = []
        weight, user_index, item_index = self.config.weight, self.users.add, self.items.add
        for _, record in batch:
            if isinstance(record, Event):
                columns.add(
                    user_index(record.user_id),
                    item_index(record.item_id),
                    weight(record.event),
                    record.timestamp,
                )
            elif isinstance(record, Item):
                changed.append((item_index(record.item_id), record))
            elif isinstance(record, ItemDeleted):
                changed.append((item_index(record.item_id), None))
        users, items, weights, times = columns.arrays()
        self._histories.append(users, items, weights, times, self.users.slots)
        self.counters.add(items, weights, times, self.items.slots)
        self.catalogue.grow(self.items.slots)
        for index, item in changed:
            if item is None:
                self.catalogue.delete(index)
            else:
                self.catalogue.put(index, item)
        self.offset = batch[-1][0] + 1
        return changed


class _Columns:
    """Events gathered row by row, handed on as columns."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, int, float, float]] = []

    def add(self, user: int, item: int, weight: float, time: float) -> None:
        self._rows.append((user, item, weight, time))

    def arrays(
        self,
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32], NDArray[np.float64]]:
        users, items, weights, times = zip(*self._rows, strict=True) if self._rows else ((),) * 4
        return (
            np.array(users, dtype=np.int64),
            np.array(items, dtype=np.int32),
            np.array(weights, dtype=np.float32),
            np.array(times, dtype=np.float64),
        )
