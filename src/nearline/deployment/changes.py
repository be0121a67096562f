"""Queued changes of the log: batches are joined, and superseded events are left out."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, cast

import numpy as np

from nearline.data import Histories
from nearline.kernels.opinions import superseded, superseded_after
from nearline.schema import Item
from nearline.state import Added, UsersChanged

# Events that are joined: each batch has the earlier events of its users, the joined one only once.
EVENTS_AT_ONCE = 20_000
# Events per call of the model: amortises the cost of a call, and bounds the memory of the changes.
EVENTS_PER_CALL = 4_000


# Memory of a user of a batch, of the array objects of a history, and of another object.
USER_BYTES, HISTORIES_BYTES, OBJECT_BYTES = 100, 500, 100


class Acknowledgement(NamedTuple):
    """A future to resolve, with its result, once everything queued before it is learned."""

    future: Future[Any]
    result: Any


class Compaction(NamedTuple):
    """Compaction of the model, once everything queued before it is learned."""


# Index and new entry of an item; None removes the entry.
Entry = tuple[int, Item | None]
# One queued change: an item, new events, a user's history to unlearn; an acknowledgement, or a
# compaction.
Waiting = Entry | Added | Histories | UsersChanged | Acknowledgement | Compaction


class ChangeQueue:
    """Changes in the order of the log, which waits for a model to learn them.

    Batches of events are joined as they come, so that the memory of a queue that becomes long does
    not grow with the histories of the users times the number of batches. Not thread-safe, except
    that one thread may read what it took while others add changes.

    Attributes
    ----------
    events : int
        Number of events in the queue.
    """

    def __init__(self) -> None:
        self._changes: list[Waiting] = []
        # Batches at the end of the list that are not joined yet, and their events.
        self._batches = self._events = 0
        self.events = 0
        self._queued_bytes = self._taken_bytes = 0

    @property
    def bytes(self) -> int:
        """Approximate memory of the changes, including those that were taken and not yet read."""
        return self._queued_bytes + self._taken_bytes

    def extend(self, changes: Iterable[Waiting]) -> None:
        """Add changes at the end."""
        for what in changes:
            self._changes.append(what)
            self._queued_bytes += size_of(what)
            if not isinstance(what, Added):
                self._batches = self._events = 0
                continue
            self._batches += 1
            self._events += len(what.events.items)
            self.events += len(what.events.items)
            if self._events >= EVENTS_AT_ONCE:
                batches = cast("list[Added]", self._changes[-self._batches :])
                whole = joined(batches)
                self._changes[-self._batches :] = [whole]
                self._queued_bytes += size_of(whole) - sum(map(size_of, batches))
                self._batches = self._events = 0

    def take(self) -> list[Waiting | None]:
        """Return all changes, for `read`, and remove them."""
        changes: list[Waiting | None] = [*self._changes]
        self._changes = []
        self._batches = self._events = self.events = 0
        self._queued_bytes, self._taken_bytes = 0, self._queued_bytes
        return changes

    def read(self, changes: list[Waiting | None]) -> Iterator[Waiting]:
        """Yield changes and replace all but acknowledgements by None, which frees their memory.

        A change counts in `bytes` until the next one is read.
        """
        for place, what in enumerate(changes):
            if what is not None:
                if not isinstance(what, Acknowledgement):
                    changes[place] = None
                size = size_of(what)
                yield what
                self._taken_bytes -= size


def size_of(what: Waiting) -> int:
    """Return the approximate memory of a change: its arrays, and the objects of users and items.

    Entries of items are shared with the catalogue, and do not count.
    """
    histories: tuple[Histories, ...] = ()
    users = 0
    if isinstance(what, Added):
        histories, users = (what.before, what.events), len(what.user_ids)
    elif isinstance(what, Histories):
        histories = (what,)
    elif isinstance(what, UsersChanged):
        histories, users = what.histories, len(what.user_ids)
    own = OBJECT_BYTES + USER_BYTES * users
    return own + sum(HISTORIES_BYTES + one.nbytes for one in histories)


def together(
    waiting: Iterable[Waiting],
) -> Iterator[list[Entry] | Added | Histories | UsersChanged | Acknowledgement | Compaction]:
    """Join consecutive batches of events, up to `EVENTS_AT_ONCE`, and consecutive entries.

    The order is kept.
    """
    run: list[Added] = []
    entries: list[Entry] = []
    size = 0
    for what in waiting:
        more = len(what.events.items) if isinstance(what, Added) else 0
        if run and (not isinstance(what, Added) or size + more > EVENTS_AT_ONCE):
            yield joined(run)
            run, size = [], 0
        is_entry = type(what) is tuple
        if entries and not is_entry:
            yield entries
            entries = []
        if isinstance(what, Added):
            run.append(what)
            size += more
        elif is_entry:
            entries.append(cast("Entry", what))
        else:
            yield cast("Histories | UsersChanged | Acknowledgement | Compaction", what)
    if run:
        yield joined(run)
    if entries:
        yield entries


def joined(parts: Sequence[Added]) -> Added:
    """Join consecutive batches; `before` of a user is that of the user's first batch."""
    if len(parts) == 1:
        return parts[0]
    numbers: dict[str, int] = {}
    rows = [numbers.setdefault(user, len(numbers)) for part in parts for user in part.user_ids]
    _, firsts = np.unique(rows, return_index=True)
    before = stacked([part.before for part in parts]).select(firsts)
    events = stacked([part.events for part in parts])
    users = np.repeat(np.array(rows, dtype=np.int64), np.diff(events.indptr))
    return Added(
        parts[0].offset,
        list(numbers),
        before,
        Histories.group(users, len(numbers), events.items, events.weights, events.times),
        np.bincount(rows, np.concatenate([part.opposed for part in parts])) > 0,
    )


def stacked(parts: Sequence[Histories]) -> Histories:
    """Concatenate the rows of several histories."""
    sizes = np.concatenate([np.diff(part.indptr) for part in parts])
    return Histories(
        np.concatenate(([0], np.cumsum(sizes))).astype(np.int64),
        np.concatenate([part.items for part in parts]),
        np.concatenate([part.weights for part in parts]),
        np.concatenate([part.times for part in parts]),
    )


def current_events(before: Histories, events: Histories) -> tuple[Histories, Histories, Histories]:
    """Leave out superseded events, before and after new events are added.

    Parameters
    ----------
    before : Histories
        All earlier events of n users that count, sorted by time.
    events : Histories
        New events of the same users that count, in order of arrival.

    Returns
    -------
    before, replaced, events : Histories
        Earlier events of users without a change of opinion; earlier events of the other users,
        which a model must forget; and the events that it must learn. The last include the earlier
        events that remain of users with a change of opinion.
    """
    n = len(before)
    row_of_old, row_of_new = (np.repeat(np.arange(n), np.diff(h.indptr)) for h in (before, events))
    was = ~superseded(before.indptr, before.items, before.weights)
    old, new = superseded_after(
        *(before.indptr, before.items, before.weights, before.times),
        *(events.indptr, events.items, events.weights, events.times),
    )
    changed = np.zeros(n, dtype=np.bool_)
    changed[row_of_old[was == old]] = True
    theirs = changed[row_of_old]
    again, fresh = ~old & theirs, ~new
    learn = Histories.group(
        np.concatenate([row_of_old[again], row_of_new[fresh]]),
        n,
        np.concatenate([before.items[again], events.items[fresh]]),
        np.concatenate([before.weights[again], events.weights[fresh]]),
        np.concatenate([before.times[again], events.times[fresh]]),
    )
    return before.take(was & ~theirs), before.take(was & theirs), learn
