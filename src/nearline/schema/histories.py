"""The events of several users as arrays: what models are fitted on, asked with and taught."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Histories:
    """Events of several users, one row of a ragged array each, oldest first (CSR layout).

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
    features : float32 [n_users, f] or None
        Features of the users, which models that read none ignore.
    """

    indptr: NDArray[np.int64]
    items: NDArray[np.int32]
    weights: NDArray[np.float32]
    times: NDArray[np.float64]
    features: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def row(self, user: int) -> NDArray[np.int32]:
        """Items of one user, oldest first (a view)."""
        return self.items[self.indptr[user] : self.indptr[user + 1]]

    def select(self, rows: NDArray[np.integer]) -> "Histories":
        """Rows in the order given, copied."""
        sizes = np.diff(self.indptr)[rows]
        indptr = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        take = np.arange(indptr[-1]) + np.repeat(self.indptr[:-1][rows] - indptr[:-1], sizes)
        features = None if self.features is None else self.features[rows]
        return Histories(indptr, self.items[take], self.weights[take], self.times[take], features)

    def take(self, keep: NDArray[np.bool_]) -> "Histories":
        """Keep the events where `keep` [n] is true; rows stay."""
        before = np.concatenate(([0], np.cumsum(keep))).astype(np.int64)
        return Histories(
            before[self.indptr],
            self.items[keep],
            self.weights[keep],
            self.times[keep],
            self.features,
        )

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[int]]) -> Self:
        """Build from item lists (oldest first), all weights 1; times are positions."""
        indptr = np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64)
        items = np.array([item for row in rows for item in row], dtype=np.int32)
        times = np.array([t for row in rows for t in range(len(row))], dtype=np.float64)
        return cls(indptr, items, np.ones(len(items), dtype=np.float32), times)

    @classmethod
    def group(
        cls,
        users: NDArray[np.int64],
        n_users: int,
        items: NDArray[np.int32],
        weights: NDArray[np.float32],
        times: NDArray[np.float64],
    ) -> Self:
        """Group events [n] by the row in `users`, from 0 to n_users - 1; their order stays."""
        order = np.argsort(users, kind="stable")
        sizes = np.bincount(users, minlength=n_users)
        indptr = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        return cls(indptr, items[order], weights[order], times[order])
