"""The state in memory, which is the result of applying the log's records in order (a fold)."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from nearline.kernels.opinions import any_negative
from nearline.schema import (
    PROFILE_RECORDS,
    AttributeValue,
    Consent,
    Defined,
    Event,
    Item,
    ItemDeleted,
    ItemPatched,
    ItemsShown,
    Record,
    StoredBlock,
    Undefined,
    UserRecord,
)
from nearline.schema.histories import Histories
from nearline.state.attributed import change_of_user, change_since, users_before
from nearline.state.blocks import Columns, block_columns, by_user, check_offsets, columns_of
from nearline.state.catalogue import Catalogue, CatalogueCopy
from nearline.state.changes import Added, Follower, Reflected, StateCopy
from nearline.state.config import StateConfig
from nearline.state.consents import RecordsOf, apply_consent, pieces, profiled
from nearline.state.contexts import Context, Contexts, ContextsCopy
from nearline.state.counters import Counters, CountersCopy
from nearline.state.counts import change_of_counts, current
from nearline.state.definitions import Definitions, DefinitionsCopy
from nearline.state.histories import CountedRows, HistoryStore, UserHistory
from nearline.state.profiles import Profiles, ProfilesCopy
from nearline.state.relevant import counted, relevant
from nearline.state.showings import Showings, ShowingsCopy
from nearline.state.vocabulary import Vocabulary

# Number of records that are applied while the lock is held, so that readers wait for at most a few
# milliseconds.
RECORDS_PER_HOLD = 1_000


class State:
    """Histories, counters and catalogue after the log up to `offset`.

    The state depends only on the records and their order, not on how they were batched. One thread
    writes (`apply`, `forget`); any thread may read. Each read is consistent; the caller must hold
    `lock` during several reads that must be consistent with each other.

    Parameters
    ----------
    item_ids : sequence of str
        Items that get the first indices, in the order of a model's items.

    Attributes
    ----------
    config : StateConfig
    lock : RLock
        Guards all attributes below.
    offset : int
        Offset in the log; all records before it are included.
    users, items : Vocabulary
        IDs and indices. The index of an erased user is used again; that of an item never changes.
    catalogue : Catalogue
    counters : Counters
    contexts : Contexts
    definitions : Definitions
    profiles : Profiles
        Attributes and critiques of users.
    showings : Showings
        Which items were shown to which users.
    reflected : Reflected
        Part of the log that the state and all followers include, set after each change. Data that
        was derived from the state and its followers is valid until this value changes. While
        followers are notified, `offset` is larger. `ingest.follow` sets the number of erasures.
    followers : tuple of Follower
        Objects that `apply` and `forget` notify. The lock must be held to replace the tuple.
    events_of : callable
        Returns all events of a user in the log, which a change of the user's consent needs.
    """

    def __init__(self, config: StateConfig | None = None, *, item_ids: Sequence[str] = ()) -> None:
        self.config = config if config is not None else StateConfig()
        self.lock = threading.RLock()
        self.offset = 0
        self.reflected = Reflected(0, 0)
        self.users = Vocabulary()
        self.items = Vocabulary.from_table(item_ids)
        self.counters = Counters(self.config.trending_half_life, self.lock)
        self.counters.grow(self.items.slots)
        self.contexts = Contexts(self.lock)
        self.profiles = Profiles(self.lock)
        self.showings = Showings(self.lock, self.items.get)
        self.catalogue = Catalogue(self.lock, lambda index: self.items.id_of(index))
        self.catalogue.grow(self.items.slots)
        self.definitions = Definitions()
        self.followers: tuple[Follower, ...] = ()
        self.events_of: RecordsOf = lambda _: []
        self._histories = HistoryStore(self.config.history_length, self.config.limits)

    @classmethod
    def restore(
        cls,
        config: StateConfig,
        *,
        offset: int,
        users: list[str],
        items: list[str],
        histories: Histories,
        arrived: NDArray[np.int64],
        opposed: NDArray[np.bool_],
        counters: CountersCopy,
        contexts: ContextsCopy,
        catalogue: CatalogueCopy,
        definitions: DefinitionsCopy,
        profiles: ProfilesCopy,
        showings: ShowingsCopy,
    ) -> Self:
        """Create a state from the parts of a `StateCopy`, whose arrays are used and modified."""
        state = cls(config)
        state.offset = offset
        state.reflected = Reflected(offset, 0)
        state.users = Vocabulary.from_table(users)
        state.items = Vocabulary.from_table(items)
        state.counters = Counters.from_copy(config.trending_half_life, state.lock, counters)
        state.contexts = Contexts.from_copy(state.lock, contexts)
        state.catalogue = Catalogue.from_copy(state.lock, catalogue, state.items.id_of)
        state.definitions = Definitions.from_copy(definitions)
        state.profiles = Profiles.from_copy(state.lock, profiles)
        state.showings = Showings.from_copy(state.lock, state.items.get, showings)
        bound, limits = config.history_length, config.limits
        state._histories = HistoryStore.from_rows(bound, histories, arrived, opposed, limits)
        return state

    def apply(self, batch: Sequence[tuple[int, Record]]) -> None:
        """Apply records, given as pairs (offset, record), to the state and notify the followers.

        Raises
        ------
        ValueError
            Offsets are not ascending, or begin before `offset`; no record was applied.
        """
        check_offsets(batch, self.offset)
        for whole in pieces(batch, RECORDS_PER_HOLD):
            some = profiled(whole, self.profiles.objecting)
            if isinstance(some[0][1], Consent):  # stands alone
                apply_consent(self, some[0][0], some[0][1])
                continue
            with self.lock:
                followers = self.followers
                before = users_before(some, self) if followers else None
                changed, added = self._fold(some)
                users = None if before is None else change_since(before, self)
            for follower in followers:
                if changed:
                    follower.put_items(changed)
                if added is not None:
                    follower.add_events(added)
                if users is not None:
                    follower.change_users(users)
            self.reflected = Reflected(self.offset, self.reflected.erasures)

    def forget(
        self,
        user_id: str,
        records: Iterable[tuple[int, UserRecord]],
        kept: Iterable[tuple[int, UserRecord]] = (),
    ) -> None:
        """Remove records of a user, as if they had been `Erased` from the start.

        Parameters
        ----------
        records : iterable of (offset, UserRecord)
            Records of the user that were erased, in order. Those from `offset` on are not in the
            state yet and are skipped.
        kept : iterable of (offset, UserRecord)
            Every other record of the user in the log.

        Notes
        -----
        Totals are exact. Decayed sums are exact to a relative error of 1e-9, unless the removed
        events are more than about 70 half-lives newer than the remaining ones. Items that only this
        user interacted with keep their index, with a count of zero.
        """
        with self.lock:
            followers = self.followers
            hidden = user_id in self.profiles.objecting  # no event is in the state
            left = self._events_in(kept)
            gone = [] if hidden else self._events_in(records)
            attributes = self.profiles.attributes(user_id)
            known = [pair for pair in kept if pair[0] < self.offset]
            self.profiles.forget(user_id, records, known)
            self.showings.forget(user_id, records, known)
            if hidden and user_id not in self.profiles.objecting:
                self.fold_again(user_id, left)
            users = None
            if attributes and followers:
                users = change_of_user(user_id, attributes, gone, left, self)
            history, added = self.forget_events(user_id, gone, left) if gone else (None, None)
        for follower in followers:
            if history is not None:
                follower.forget(history)
            if added is not None:
                follower.add_events(added)
            if users is not None:
                follower.change_users(users)
        self.reflected = Reflected(self.offset, self.reflected.erasures + 1)

    def history(self, user_id: str) -> UserHistory | None:
        """Return a copy of a user's history, oldest event first; None if the user is unknown.

        It contains superseded events too.
        """
        with self.lock:
            user = self.users.get(user_id)
            return None if user is None else self._histories.row(user)

    def histories_of(self, user_ids: Iterable[str]) -> Histories:
        """Return a copy of the events of several users, one row each; empty for unknown users.

        They contain superseded events too; see `Histories.without_superseded`.
        """
        with self.lock:
            return self._histories.rows(self.users.indices_of(user_ids))

    def opposed(self, user_ids: Iterable[str]) -> NDArray[np.bool_]:
        """Return which users ever had an event of negative weight."""
        with self.lock:
            return self._histories.opposed(self.users.indices_of(user_ids))

    def user_attributes(self, user_id: str) -> Mapping[str, AttributeValue]:
        """Return the attributes of a user that lists may use; see `Profiles.attributes`."""
        return self.profiles.attributes(user_id)

    def latest(self) -> float | None:
        """Return the time of the latest event in Unix seconds; None without events. O(events)."""
        with self.lock:
            rows = self._histories.rows(np.arange(self.users.slots))
        return float(rows.times.max()) if len(rows.times) else None

    def user_ids(self) -> list[str]:
        """Return the IDs of all users with a history."""
        with self.lock:
            return [user_id for user_id in self.users.table() if user_id]

    def copy(self) -> StateCopy:
        """Return a consistent copy of the state; the lock is held while memory is copied."""
        with self.lock:
            return StateCopy(
                self.offset,
                self.users.table(),
                self.items.table(),
                self._histories.copy(self.users.slots),
                self.counters.copy(),
                self.contexts.copy(),
                self.catalogue.copy(),
                self.definitions.copy(),
                self.profiles.copy(),
                self.showings.copy(),
            )

    def counted_of(self, user_ids: Iterable[str]) -> CountedRows:
        """Return a copy of the events of several users that count; see `CountedRows`."""
        with self.lock:
            return self._histories.counted_rows(self.users.indices_of(user_ids))

    def forget_events(
        self, user_id: str, gone: list[tuple[int, Event]], left: list[tuple[int, Event]]
    ) -> tuple[Histories, Added | None]:
        """Remove events, and add the other ones of the user again; return both for followers."""
        columns, before = counted(gone, left, self.items, self.config)
        _, history = by_user(columns, by_time=True)
        self.counters.subtract(*current(history))
        contexts = [event.context for _, event in before]
        offsets = [offset for offset, _ in before]
        self.contexts.subtract(columns.items, columns.weights, contexts, offsets)
        if user_id in self.users:
            self._histories.remove(self.users.remove(user_id))
        return history, self.fold_again(user_id, left)[1] if left else None

    def fold_again(
        self, user_id: str, events: Sequence[tuple[int, Event]]
    ) -> tuple[list[tuple[int, Item | None]], Added | None]:
        """Apply all events of a user whose events are not in the state; see `_fold`."""
        if not events:
            return [], None
        few = relevant(events, self._histories.longest, self.config.weight)
        changed, added = self._fold(few)
        self._histories.set_arrived(self.users[user_id], len(events))
        return changed, added

    def _events_in(self, records: Iterable[tuple[int, UserRecord]]) -> list[tuple[int, Event]]:
        """Return the events among records that the state includes."""
        return [
            (offset, record)
            for offset, record in records
            if offset < self.offset and isinstance(record, Event)
        ]

    def _fold(
        self, batch: Sequence[tuple[int, Record]]
    ) -> tuple[list[tuple[int, Item | None]], Added | None]:
        """Apply a batch of records; return the changes for followers: entries and events."""
        known = self.items.slots
        changed: list[tuple[int, Item | None]]
        contexts: list[Context | None] = []
        offsets: list[int] = []
        if isinstance(batch, StoredBlock):
            columns = block_columns(batch, self.users, self.items, self.config.weight)
            changed = [(index, None) for index in range(known, self.items.slots)]
        else:
            columns, changed = self._record_columns(batch)
            events_of = [(at, record) for at, record in batch if isinstance(record, Event)]
            contexts = [event.context for _, event in events_of]
            offsets = [at for at, _ in events_of]
        known = self.items.slots
        added = None
        self.counters.grow(known)
        if len(columns.users) and self.followers:
            who, events = by_user(columns)
            before = self._histories.counted_rows(who).rows
            counted = self._append(columns)
            if counted is not None:
                events = events.take(counted[np.argsort(columns.users, kind="stable")])
            opposed = self._histories.opposed(who)
            added = Added(batch[0][0], self.users.ids_of(who), before, events, opposed)
        else:
            counted = self._append(columns)
        weights = columns.weights if counted is None else columns.weights * counted
        self.contexts.add(columns.items, weights, contexts, offsets)
        self.catalogue.grow(known)
        self.offset = max(self.offset, batch[-1][0] + 1)
        return changed, added

    def _append(self, columns: Columns) -> NDArray[np.bool_] | None:
        """Add events to the histories, and count them; return which count, None if all do."""
        users, items, weights, times = columns
        histories = self._histories
        opposed, before = None, None
        if histories.some_opposed or any_negative(weights):
            opposed = histories.opposed(users) | (weights < 0)
            if len(users) > 1:
                opposed = np.isin(users, users[opposed])
            if opposed.any():  # users with opinions against items: new events change what counts
                before = histories.counted_rows(np.unique(users[opposed])).rows
        counted = histories.append(users, items, weights, times, self.users.slots)
        if counted is not None:
            weights = weights * counted  # events of weight 0 are not counted
        if opposed is None or before is None:
            self.counters.add(items, weights, times)
            return counted
        theirs = Columns(users[opposed], items[opposed], weights[opposed], times[opposed])
        change = change_of_counts(before, by_user(theirs)[1])
        self.counters.add(items[~opposed], weights[~opposed], times[~opposed])
        self.counters.subtract(*change.removed)
        self.counters.add(*change.added)
        return counted

    def _record_columns(
        self, batch: Sequence[tuple[int, Record]]
    ) -> tuple[Columns, list[tuple[int, Item | None]]]:
        """Fold the changes of catalogue and definitions of a batch, and index its events."""
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
            elif isinstance(record, Defined | Undefined):
                self.definitions.apply(record)
            elif isinstance(record, ItemsShown):
                self.showings.apply(record)
            elif isinstance(record, PROFILE_RECORDS):
                self.profiles.apply(record)
        return columns_of(rows), changed
