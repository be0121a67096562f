"""Datasets: interactions as arrays, on which models are fitted and evaluated."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nearline.common.scipy import scipy_module
from nearline.data.order import Order
from nearline.data.users import UserEncoder
from nearline.kernels.opinions import superseded
from nearline.schema import AttributeValue
from nearline.schema.histories import Histories

if TYPE_CHECKING:
    from scipy import sparse

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
        IDs by index. Items without interactions are allowed: they are new.
    histories : Histories
        Row u contains the interactions of user u, oldest first.
    values : float32 [n]
        Rating or amount of each interaction, in the order of ``histories.items``; NaN if
        missing.
    texts : list of str or None
        Text of each item, "" if it has none; None if no item has text.
    categories : list of list of str or None
        Labels of each item; None if no item has labels.
    vectors : dict of str to float32 [n_items, d]
        Named vector columns; the row of an item without a vector is zero.
    encoder : str
        Fingerprint of the encoder of the column `LANGUAGE`; "" if there is none.
    user_features : float32 [n_users, f] or None
        Encoded attributes of each user; the row of a user without attributes is zero. None if
        there are no attributes.
    user_encoder : UserEncoder or None
        Encoder of ``user_features``, also for new users.
    user_attributes : list of dict or None
        Attributes of each user by name; None if no user has any.
    counted : bool [n] or None
        Whether each interaction counts, see `kernels.counted_events`; None if all do.
    counted_rows : Histories or None
        Value of `counted_histories`, if it differs from the choice of `counted`.
    order : str
        What orders the interactions of a user: "times", "positions" or "none". It is determined
        once, from all interactions, and kept by `take`; see `nearline.data.order`.
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
    user_attributes: list[Mapping[str, AttributeValue]] | None = None
    counted: NDArray[np.bool_] | None = None
    counted_rows: Histories | None = None
    order: Order = "times"

    @property
    def counted_histories(self) -> Histories:
        """Histories without the interactions that do not count."""
        if self.counted_rows is not None:
            return self.counted_rows
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
        """Return the user of each interaction: int32 [n_interactions]."""
        sizes = np.diff(self.histories.indptr)
        return np.repeat(np.arange(self.n_users, dtype=np.int32), sizes)

    def matrix(self, *, values: bool = False) -> "sparse.csr_array":
        """Return the user-item matrix [n_users, n_items] of counts, or of the last values.

        Interactions with unknown items (-1) are left out.

        Raises
        ------
        MissingExtra
            SciPy is not installed.
        """
        sparse_module = scipy_module("scipy.sparse", "the matrix of a data set")
        known = self.histories.items >= 0
        keep = self._newest(known) if values else np.flatnonzero(known)
        cells = self.values[keep] if values else np.ones(len(keep), dtype=np.float32)
        pairs = (self.user_of_each()[keep], self.histories.items[keep])
        shape = (self.n_users, self.n_items)
        matrix: sparse.csr_array = sparse_module.coo_array((cells, pairs), shape=shape).tocsr()
        return matrix

    def rated(self) -> "Dataset":
        """Return the newest rating of each user and item, with ratings as weights of histories.

        Interactions without a finite value, and those with unknown items, are dropped. Users, items
        and their indices are unchanged.
        """
        newest = np.zeros(self.n_interactions, dtype=np.bool_)
        newest[self._newest(np.isfinite(self.values) & (self.histories.items >= 0))] = True
        kept = self.take(newest)
        return replace(kept, histories=replace(kept.histories, weights=kept.values))

    def take(self, keep: NDArray[np.bool_]) -> "Dataset":
        """Return the interactions for which `keep` is true; users and items are unchanged."""
        counted = None if self.counted is None else self.counted[keep]
        return replace(
            self,
            histories=self.histories.take(keep),
            values=self.values[keep],
            counted=counted,
            counted_rows=None,
        )

    def of_users(self, users: NDArray[np.int64]) -> "Dataset":
        """Return the interactions of some users, int64 [m], who become users 0 to m - 1.

        Items, the order and the encoder of attributes are unchanged.
        """
        sizes = np.diff(self.histories.indptr)
        keep = np.zeros(self.n_users, dtype=np.bool_)
        keep[users] = True
        kept = self.take(np.repeat(keep, sizes))
        features, attributes = self.user_features, self.user_attributes
        return replace(
            kept,
            user_ids=[self.user_ids[user] for user in users.tolist()],
            histories=kept.histories.select(users),
            user_features=None if features is None else features[users],
            user_attributes=None if attributes is None else [attributes[u] for u in users.tolist()],
        )

    def without_superseded(self) -> "Dataset":
        """Return the interactions that no later, opposite opinion replaces, and all users.

        Models are fitted on such data. Split a dataset first, so that opinions in the test part
        have no effect on the training part. Among the interactions that count, only opinions that
        count replace others.
        """
        rows = self.histories
        if not (rows.weights < 0).any():
            return self
        out = superseded(rows.indptr, rows.items, rows.weights)
        kept = self.take(~out) if out.any() else self
        if self.counted is None:
            return kept
        return replace(kept, counted_rows=self.counted_histories.without_superseded())

    def _newest(self, among: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return the position of the last interaction of each user and known item in `among`."""
        # A user's interactions are sorted by time, so the last of a pair is the newest.
        places = np.flatnonzero(among)[::-1]
        key = self.user_of_each()[places].astype(np.int64) * self.n_items
        key += self.histories.items[places]
        return places[np.unique(key, return_index=True)[1]]
