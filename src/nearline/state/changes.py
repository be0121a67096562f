"""Values that a state passes to others: changes, copies, and the interface of its followers."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from nearline.schema import Item
from nearline.schema.histories import Histories
from nearline.state.catalogue import CatalogueCopy
from nearline.state.contexts import ContextsCopy
from nearline.state.counters import CountersCopy
from nearline.state.definitions import DefinitionsCopy
from nearline.state.histories import HistoryStoreCopy
from nearline.state.profiles import Attributes, ProfilesCopy
from nearline.state.showings import ShowingsCopy


class Added(NamedTuple):
    """Events that were applied to the state together.

    Attributes
    ----------
    offset : int
        Offset of the first record of the batch.
    user_ids : list of str
        Users of the events, with one row each in `before` and `events`.
    before : Histories
        Earlier events of these users that count, see `kernels.counted_events`. A row may be
        incomplete if its user has no new event that counts.
    events : Histories
        New events of these users that count, in order of arrival.
    opposed : bool [n]
        Whether each user ever had an event of negative weight, so that events may be superseded;
        `before` and `events` contain superseded events too.
    """

    offset: int
    user_ids: list[str]
    before: Histories
    events: Histories
    opposed: NDArray[np.bool_]


class UsersChanged(NamedTuple):
    """Users with attributes whose attributes or events changed together.

    Attributes
    ----------
    user_ids : list of str
    attributes : (list of dict, list of dict)
        Attributes of each user before and after.
    histories : (Histories, Histories)
        Events of each user that count, sorted by time, before and after; with superseded ones.
    complete : bool [n]
        Whether the rows have all events that count. They may not if a user had more events than
        count, and then has other attributes.
    offset : int
        All records before it are included after the change.
    """

    user_ids: list[str]
    attributes: tuple[list[Attributes], list[Attributes]]
    histories: tuple[Histories, Histories]
    complete: NDArray[np.bool_]
    offset: int


class Follower(Protocol):
    """Protocol of objects that receive all changes of a state, in the order of the log.

    Methods are called after the state includes the change, without its lock.
    """

    def put_items(self, changed: Sequence[tuple[int, Item | None]]) -> None:
        """Handle new entries by index; None if one was deleted, or if the item has no entry."""
        ...

    def add_events(self, added: Added) -> None:
        """Process new events; `put_items` was called for their entries before."""
        ...

    def change_users(self, changed: UsersChanged) -> None:
        """Process changes of users with attributes, after `add_events` and `forget`."""
        ...

    def forget(self, history: Histories) -> None:
        """Process an erasure; `history` has one row, with all events of the user that count."""
        ...


class Reflected(NamedTuple):
    """Part of the log that is included in a state and in its followers.

    Attributes
    ----------
    offset : int
        Offset in the log; all records before it are included.
    erasures : int
        Number of erasures that are included.
    """

    offset: int
    erasures: int


class StateCopy(NamedTuple):
    """Consistent copy of a state at one offset; the fields are those of `State`."""

    offset: int
    users: list[str]
    items: list[str]
    histories: HistoryStoreCopy
    counters: CountersCopy
    contexts: ContextsCopy
    catalogue: CatalogueCopy
    definitions: DefinitionsCopy
    profiles: ProfilesCopy
    showings: ShowingsCopy
