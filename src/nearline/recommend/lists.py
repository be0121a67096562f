"""Values that the stages of the pipeline exchange: a query and its lists."""

from typing import NamedTuple, Self

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from nearline.common.signing import Signer
from nearline.data import Histories
from nearline.models.base import Model
from nearline.schema import DEFAULT_K, ListOptions
from nearline.schema.rules import AUTO, EXCLUDE, INCLUDE
from nearline.state import State

# Tiers in the order of a list; arrays store indices into this tuple.
TIERS = ("personal", "session", "stated", "attributes", "context", "trending", "popular", "pinned")
PERSONAL, SESSION, PREFERENCES, ATTRIBUTES, CONTEXT, TRENDING, POPULAR, PINNED = range(len(TIERS))


class View(Struct, frozen=True):
    """State, model, snapshot ID of the model and time (Unix seconds) that one request uses.

    A promotion changes the model of later requests only. Items that have expired by then are not
    available any more.

    Attributes
    ----------
    repeats : str
        Default of the request option of the same name.
    repeats_found : bool
        Whether training found that users repeat items; this is what "auto" means.
    signer : Signer or None
        Signs the cursors of pages; without one, answers have no cursors.
    """

    state: State
    model: Model
    model_id: str
    now: float
    repeats: str = EXCLUDE
    repeats_found: bool = False
    signer: Signer | None = None

    def __post_init__(self) -> None:
        """Hide the items that have expired."""
        self.state.catalogue.advance(self.now)

    def excludes_seen(self, options: ListOptions) -> bool:
        """Return whether a list leaves out the items of the user's history."""
        if options.repeats is None and options.exclude_seen is False:
            return False
        repeats = options.repeats or self.repeats
        return not (self.repeats_found if repeats == AUTO else repeats == INCLUDE)


class Lists(NamedTuple):
    """Lists of n users, ordered by tier and, within a tier, by decreasing score.

    Rules can change this order: pinned items stand anywhere, and buried ones at the end.

    Attributes
    ----------
    items : int32 [n, width]
        Item indices; -1 after the end of a list.
    scores : float64 [n, width]
        Scores, comparable within one tier of one list; 0 if the item is -1.
    tiers : int8 [n, width]
        Indices into `TIERS`.
    """

    items: NDArray[np.int32]
    scores: NDArray[np.float64]
    tiers: NDArray[np.int8]

    @classmethod
    def empty(cls, n: int, width: int) -> Self:
        """Return `n` empty lists."""
        items = np.empty((n, width), dtype=np.int32)
        items.fill(-1)  # faster than np.full
        return cls(items, np.zeros((n, width)), np.zeros((n, width), dtype=np.int8))

    def short(self) -> list[int]:
        """Return the rows of lists that are not full."""
        rows: list[int] = (self.items[:, -1] < 0).nonzero()[0].tolist()
        return rows


class Query(Struct, frozen=True):
    """A request for the lists of a block of users.

    Attributes
    ----------
    histories : Histories
        One row for each user.
    tier : int
        Tier of the candidates: `PERSONAL`, or `SESSION` if the request contains the history.
    options : ListOptions
        Options of the request and its scenario; `k` and `exclude_seen` are what the list must do.
    allowed : bool [n_items]
        Mask of the items that are available and of the category.
    excluded : frozenset of int
        Indices of the items that the request excludes, or that earlier pages showed.
    depth : int
        Number of candidates per user: `k`, or more if later stages choose from them.
    whole : Histories or None
        Whole histories of the users, if `histories` has only a part of them.
    """

    view: View
    histories: Histories
    tier: int
    options: ListOptions
    allowed: NDArray[np.bool_]
    excluded: frozenset[int]
    depth: int
    whole: Histories | None = None

    @property
    def k(self) -> int:
        """Length of the lists."""
        return self.options.k or DEFAULT_K

    def row(self, user: int) -> slice:
        """Return the slice of the arrays of `histories` that belongs to a user of the block."""
        indptr = self.histories.indptr
        return slice(int(indptr[user]), int(indptr[user + 1]))

    @property
    def known(self) -> Histories:
        """Histories to which exclusions apply: one row for each user."""
        return self.histories if self.whole is None else self.whole

    def select(self, rows: NDArray[np.integer]) -> Self:
        """Return the query of some users of the block."""
        whole = None if self.whole is None else self.whole.select(rows)
        return replace(self, histories=self.histories.select(rows), whole=whole)

    def disliking(self) -> list[int]:
        """Return the users of the block who disliked at least one item."""
        events = np.flatnonzero(self.known.weights < 0)
        rows = np.searchsorted(self.known.indptr, events, side="right") - 1
        users: list[int] = np.unique(rows).tolist()
        return users

    def disliked(self, user: int) -> set[int]:
        """Return the items that the user disliked: events of negative weight."""
        known = self.known
        row = slice(int(known.indptr[user]), int(known.indptr[user + 1]))
        return set(known.items[row][known.weights[row] < 0].tolist())

    def ruled_out(self, user: int) -> frozenset[int]:
        """Return the items that a user's list must not contain, even if `allowed`."""
        if self.options.exclude_seen:
            return self.excluded.union(self.known.row(user).tolist())
        return self.excluded.union(self.disliked(user))
