"""Interactions as arrays: what models are fitted on and evaluated with."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nearline.data.users import UserEncoder
from nearline.schema.histories import Histories

# The vector column of an item's text, encoded by a language model.
LANGUAGE = "language"

__all__ = [
    "LANGUAGE",
    "Dataset",
    "FloatArray",
    "Histories",
    "IntArray",
    "OffsetArray",
    "TimeArray",
]

IntArray = NDArray[np.int32]
OffsetArray = NDArray[np.int64]
FloatArray = NDArray[np.float32]
TimeArray = NDArray[np.float64]


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
    counted : bool [n] or None
        Whether each interaction counts, see `kernels.counted_events`; None if all do.
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
    counted: NDArray[np.bool_] | None = None

    @property
    def counted_histories(self) -> Histories:
        """Histories without the interactions that do not count."""
        return self.histories if self.counted is None else self.histories.take(self.counted)

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
        counted = None if self.counted is None else self.counted[keep]
        return replace(
            self, histories=self.histories.take(keep), values=self.values[keep], counted=counted
        )

    def _newest(self, among: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Find the last interaction of each user and known item, of those where `among` is true."""
        # Within a user time order is row order, so the last of a pair is the newest.
        places = np.flatnonzero(among)[::-1]
        key = self.user_of_each()[places].astype(np.int64) * self.n_items
        key += self.histories.items[places]
        return places[np.unique(key, return_index=True)[1]]
