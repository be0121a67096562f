"""The values that pass between the stages of the pipeline: a query and its lists."""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from nearline.data import Histories
from nearline.models.base import Model
from nearline.schema import ListOptions
from nearline.state import State

# Tiers in the order of a list; arrays store indices into this tuple.
TIERS = ("personal", "session", "stated", "context", "trending", "popular")
PERSONAL, SESSION, PREFERENCES, CONTEXT, TRENDING, POPULAR = range(len(TIERS))


@dataclass(frozen=True)
class View:
    """What one request sees: state, model, the model's snapshot id, Unix seconds.

    A promotion swaps the model for later requests; a request in flight keeps the one it started
    with.
    """

    state: State
    model: Model
    model_id: str
    now: float


class Lists(NamedTuple):
    """Lists of n users, ordered by tier and, within a tier, by falling score.

    Attributes
    ----------
    items : int32 [n, width]
        Item indices; -1 where a list is shorter.
    scores : float64 [n, width]
        Scores, comparable within one tier of one list; 0 where the item is -1.
    tiers : int8 [n, width]
        Places in `TIERS`.
    """

    items: NDArray[np.int32]
    scores: NDArray[np.float64]
    tiers: NDArray[np.int8]

    @classmethod
    def empty(cls, n: int, width: int) -> Self:
        """Make `n` lists without any item."""
        return cls(
            np.full((n, width), -1, dtype=np.int32),
            np.zeros((n, width)),
            np.zeros((n, width), dtype=np.int8),
        )

    def short(self) -> list[int]:
        """Rows that are not full."""
        rows: list[int] = np.flatnonzero(self.items[:, -1] < 0).tolist()
        return rows


@dataclass(frozen=True)
class Query:
    """One request for the lists of a block of users.

    Attributes
    ----------
    histories : Histories
        One row for each user.
    tier : int
        Tier of what the model ranks: `PERSONAL`, or `SESSION` for a history that a request brings.
    options : ListOptions
    allowed : bool [n_items]
        Items that are available and of the category.
    excluded : frozenset of int
        Items that the request excludes.
    """

    view: View
    histories: Histories
    tier: int
    options: ListOptions
    allowed: NDArray[np.bool_]
    excluded: frozenset[int]

    def row(self, user: int) -> slice:
        """Return the slice of the arrays of `histories` that belongs to a user of the block."""
        indptr = self.histories.indptr
        return slice(int(indptr[user]), int(indptr[user + 1]))

    def disliking(self) -> list[int]:
        """Users of the block who disliked anything."""
        events = np.flatnonzero(self.histories.weights < 0)
        rows = np.searchsorted(self.histories.indptr, events, side="right") - 1
        users: list[int] = np.unique(rows).tolist()
        return users

    def disliked(self, user: int) -> set[int]:
        """Items that the user disliked: events of negative weight."""
        row = self.row(user)
        return set(self.histories.items[row][self.histories.weights[row] < 0].tolist())

    def ruled_out(self, user: int) -> frozenset[int]:
        """Return the items that the list of a user must not contain, whatever `allowed` says."""
        if self.options.exclude_seen:
            return self.excluded.union(self.histories.items[self.row(user)].tolist())
        return self.excluded.union(self.disliked(user))
