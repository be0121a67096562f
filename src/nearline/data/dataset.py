"""Interactions as arrays: what models are fitted on and evaluated with."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nearline.data.users import UserEncoder

# The vector column of an item's text, encoded by a language model.
LANGUAGE = "language"

IntArray = NDArray[np.int32]
OffsetArray = NDArray[np.int64]
FloatArray = NDArray[np.float32]
TimeArray = NDArray[np.float64]


@dataclass(frozen=True)
class Histories:
    """What some users did, one row of a ragged array each, oldest first (CSR layout).

    Attributes
    ----------
    indptr : int64 [n_users + 1]
        Row u is ``items[indptr[u]:indptr[u + 1]]``.
    items : int32 [n]
        Item indices; -1 where the item is unknown to the vocabulary.
    weights : float32 [n]
        Weight of each event: 1 by default, negative for a dislike.
    times : float64 [n]
        Unix seconds, or any number that orders a row.
    """

    indptr: OffsetArray
    items: IntArray
    weights: FloatArray
    times: TimeArray

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def row(self, user: int) -> IntArray:
        """Items of one user, oldest first (a view)."""
        return self.items[self.indptr[user] : self.indptr[user + 1]]

    def select(self, rows: NDArray[np.integer]) -> "Histories":
        """Rows in the order given, copied."""
        sizes = np.diff(self.indptr)[rows]
        indptr = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        take = np.arange(indptr[-1]) + np.repeat(self.indptr[:-1][rows] - indptr[:-1], sizes)
        return Histories(indptr, self.items[take], self.weights[take], self.times[take])

    def take(self, keep: NDArray[np.bool_]) -> "Histories":
        """Keep the events where `keep` [n] is true; rows stay."""
        before = np.concatenate(([0], np.cumsum(keep))).astype(np.int64)
        return Histories(
            before[self.indptr], self.items[keep], self.weights[keep], self.times[keep]
        )

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[int]]) -> Self:
        """Build from item lists (oldest first), all weights 1; times are positions."""
        indptr = np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64)
        items = np.array([item for row in rows for item in row], dtype=np.int32)
        times = np.array([t for row in rows for t in range(len(row))], dtype=np.float64)
        return cls(indptr, items, np.ones(len(items), dtype=np.float32), times)


@dataclass(frozen=True)
class Dataset:
    """Interactions over dense indices, sorted by user and, inside a user, by time.

    Attributes
    ----------
    user_ids, item_ids : list of str
        Index to id. Items without interactions are allowed (they are new).
    histories : Histories
        Row u holds what user u did, oldest first.
    values : float32 [n]
        Ratings or amounts beside ``histories.items``; NaN where none was given.
    texts : list of str or None
        Words of each item ("" where there are none); None where no item has any.
    categories : list of list of str or None
        Labels of each item.
    vectors : dict of str to float32 [n_items, d]
        Named vector columns; a zero row where an item has none.
    encoder : str
        Fingerprint of what encoded the column `LANGUAGE`; "" where there is none.
    user_features : float32 [n_users, f] or None
        Numbers that tell of each user, zeros where nothing is known of one; None where nothing is
        known of any.
    user_encoder : UserEncoder or None
        What made them, and makes those of a new user.
    """

    user_ids: list[str]
    item_ids: list[str]
    histories: Histories
    values: FloatArray
    texts: list[str] | None = None
    categories: list[list[str]] | None = None
    vectors: dict[str, FloatArray] = field(default_factory=dict)
    encoder: str = ""
    user_features: FloatArray | None = None
    user_encoder: UserEncoder | None = None

    @property
    def n_users(self) -> int:
        """Number of users (rows)."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """Number of items (columns)."""
        return len(self.item_ids)

    @property
    def n_interactions(self) -> int:
        """Number of interactions."""
        return len(self.histories.items)

    def user_of_each(self) -> IntArray:
        """User index beside ``histories.items``: int32 [n_interactions]."""
        sizes = np.diff(self.histories.indptr)
        return np.repeat(np.arange(self.n_users, dtype=np.int32), sizes)

    def matrix(self, *, values: bool = False) -> "sparse.csr_array":
        """User-item matrix [n_users, n_items]: counts, or the last value where `values`.

        Unknown items have no column and are left out.
        """
        known = self.histories.items >= 0
        keep = self._newest(known) if values else np.flatnonzero(known)
        cells = self.values[keep] if values else np.ones(len(keep), dtype=np.float32)
        pairs = (self.user_of_each()[keep], self.histories.items[keep])
        return sparse.coo_array((cells, pairs), shape=(self.n_users, self.n_items)).tocsr()

    def rated(self) -> "Dataset":
        """Keep the newest rating of each user and item; weights of the histories become ratings.

        Interactions without a finite value and those with unknown items are dropped; users, items
        and their order stay.
        """
        newest = np.zeros(self.n_interactions, dtype=np.bool_)
        newest[self._newest(np.isfinite(self.values) & (self.histories.items >= 0))] = True
        kept = self.take(newest)
        return replace(kept, histories=replace(kept.histories, weights=kept.values))

    def take(self, keep: NDArray[np.bool_]) -> "Dataset":
        """Keep the interactions where `keep` is true; users and items stay."""
        return replace(self, histories=self.histories.take(keep), values=self.values[keep])

    def _newest(self, among: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Find the last interaction of each user and known item, of those where `among` is true."""
        # Within a user time order is row order, so the last of a pair is the newest.
        places = np.flatnonzero(among)[::-1]
        key = self.user_of_each()[places].astype(np.int64) * self.n_items
        key += self.histories.items[places]
        return places[np.unique(key, return_index=True)[1]]
