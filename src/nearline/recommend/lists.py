"""Values that the stages of the pipeline exchange: a query and its lists."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Self

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from nearline.common.signing import Signer
from nearline.data import Histories
from nearline.expressions import Expressions
from nearline.ingest.impressions import Impressions
from nearline.models.base import Model
from nearline.schema import DEFAULT_K, ListOptions
from nearline.schema.rules import AUTO, EXCLUDE, INCLUDE
from nearline.served.outcomes import ItemOutcomes
from nearline.state import State
from nearline.state.showings import Rows

# Tiers in the order of a list; arrays store indices into this tuple.
TIERS = ("personal", "session", "stated", "attributes", "context", "trending", "popular", "pinned")
PERSONAL, SESSION, PREFERENCES, ATTRIBUTES, CONTEXT, TRENDING, POPULAR, PINNED = range(len(TIERS))

NO_MODELS: Mapping[str, Model] = MappingProxyType({})


# Stands for a user without any history. It is not a valid ID.
STRANGER = ""


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
    impressions : Impressions or None
        Showings that are not in the state yet.
    models : mapping of str to Model
        Models of experiments, beside the active one, by snapshot ID.
    outcomes : ItemOutcomes or None
        What items led to, for exploration by Thompson sampling.
    """

    state: State
    model: Model
    model_id: str
    now: float
    repeats: str = EXCLUDE
    repeats_found: bool = False
    signer: Signer | None = None
    impressions: Impressions | None = None
    models: Mapping[str, Model] = NO_MODELS
    outcomes: ItemOutcomes | None = None

    def __post_init__(self) -> None:
        """Hide the items that have expired."""
        self.state.catalogue.advance(self.now)

    def profiles(self, user_id: str | None, profiling: bool | None) -> bool:
        """Return whether a request may use what is known about its user or session."""
        return profiling is not False and user_id not in self.state.profiles.objecting

    def person(self, user_id: str, profiling: bool | None) -> str:
        """Return the user whose stored data a request may use; `STRANGER` for nobody's."""
        return user_id if self.profiles(user_id, profiling) else STRANGER

    @property
    def expressions(self) -> Expressions:
        """Evaluates filters and boosts for all items."""
        return self.state.catalogue.expressions

    def showings_of(self, user_id: str) -> Rows:
        """Return the items that were shown to a user, with times; see `state.showings`."""
        if self.impressions is None:
            return self.state.showings.of(user_id)
        return self.impressions.of(user_id, self.state)

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


class PinnedItem(NamedTuple):
    """An item to show at a position (from 0) of this page, and the name of the rule."""

    position: int
    name: str
    item: int


class Merchandise(Struct, frozen=True):
    """The merchandising rules that apply to the lists of a query.

    Attributes
    ----------
    names : tuple of str
        Names of all rules that apply at this time.
    matching : tuple of str
        Names of the rules that select at least one allowed item: to bury or to scale.
    buried : bool [n] or None
        Which items are listed last.
    pins : tuple of PinnedItem
        By position and name; at most one for each item.
    """

    names: tuple[str, ...]
    matching: tuple[str, ...]
    buried: NDArray[np.bool_] | None
    pins: tuple[PinnedItem, ...]


class Chance(NamedTuple):
    """Probability with which an item was drawn, and whether it differs from the ranking."""

    propensity: float
    explored: bool


class Draws(Struct, frozen=True):
    """Seed of the draws of one user, and the chance of each item that was drawn."""

    seed: int
    chances: dict[int, Chance]


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
        Mask of the items that are available, of the category, and selected by the filter.
    excluded : frozenset of int
        Indices of the items that the request excludes, or that earlier pages showed.
    depth : int
        Number of candidates per user: `k`, or more if later stages choose from them.
    factors : float64 [n_items] or None
        Factors by which the boost of the request multiplies scores, at least as long as `allowed`.
    showings : tuple of Rows or None
        What was shown to each user, if the options depend on it.
    hidden : tuple of frozenset of int or None
        Items that the list of each user must not contain either, such as those that the user was
        shown as often as the request allows.
    merchandise : Merchandise or None
        Merchandising rules that apply; None without any.
    draws : tuple of Draws or None
        For each user, the seed of exploration and what it drew; None without exploration.
    """

    view: View
    histories: Histories
    tier: int
    options: ListOptions
    allowed: NDArray[np.bool_]
    excluded: frozenset[int]
    depth: int
    factors: NDArray[np.float64] | None = None
    showings: tuple[Rows, ...] | None = None
    hidden: tuple[frozenset[int], ...] | None = None
    merchandise: Merchandise | None = None
    draws: tuple[Draws, ...] | None = None

    @property
    def k(self) -> int:
        """Length of the lists."""
        return self.options.k or DEFAULT_K

    def select(self, rows: Sequence[int]) -> Self:
        """Return the query of some users of the block."""
        return replace(
            self,
            histories=self.histories.select(np.array(rows, dtype=np.int64)),
            showings=None if self.showings is None else tuple(self.showings[r] for r in rows),
            hidden=None if self.hidden is None else tuple(self.hidden[r] for r in rows),
            draws=None if self.draws is None else tuple(self.draws[r] for r in rows),
        )

    def row(self, user: int) -> slice:
        """Return the slice of the arrays of `histories` that belongs to a user of the block."""
        indptr = self.histories.indptr
        return slice(int(indptr[user]), int(indptr[user + 1]))

    def disliking(self) -> list[int]:
        """Return the users of the block who disliked at least one item."""
        events = np.flatnonzero(self.histories.weights < 0)
        rows = np.searchsorted(self.histories.indptr, events, side="right") - 1
        users: list[int] = np.unique(rows).tolist()
        return users

    def disliked(self, user: int) -> set[int]:
        """Return the items that the user disliked: events of negative weight."""
        row = self.row(user)
        return set(self.histories.items[row][self.histories.weights[row] < 0].tolist())

    def ruled_out(self, user: int) -> frozenset[int]:
        """Return the items that a user's list must not contain, even if `allowed`."""
        out = self.excluded if self.hidden is None else self.excluded | self.hidden[user]
        if self.options.exclude_seen:
            return out.union(self.histories.items[self.row(user)].tolist())
        return out.union(self.disliked(user))
