"""Events of several users as arrays: the input of training, scoring and online learning."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from nearline.kernels.opinions import superseded


@dataclass(frozen=True, slots=True)
class Histories:
    """Events of several users as a ragged array: one row per user, oldest event first.

    All rows are concatenated, and `indptr` marks where each row begins, as in a CSR matrix.

    Attributes
    ----------
    indptr : int64 [n_users + 1]
        Row u is ``items[indptr[u]:indptr[u + 1]]``.
    items : int32 [n]
        Item indices; -1 for an item that is not in the vocabulary.
    weights : float32 [n]
        Event weights: 1 by default, negative for a dislike.
    times : float64 [n]
        Times in Unix seconds, or any numbers that increase along a row.
    features : float32 [n_users, f] or None
        Feature vectors of the users, f values each. Models without user features ignore them.
    """

    indptr: NDArray[np.int64]
    items: NDArray[np.int32]
    weights: NDArray[np.float32]
    times: NDArray[np.float64]
    features: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays, without features."""
        return sum(part.nbytes for part in (self.indptr, self.items, self.weights, self.times))

    def row(self, user: int) -> NDArray[np.int32]:
        """Return the items of row `user`, oldest first, as a view: int32 [length of the row]."""
        return self.items[self.indptr[user] : self.indptr[user + 1]]

    def select(self, rows: NDArray[np.integer]) -> "Histories":
        """Return a copy with the given rows, in the given order; `rows` is int [m]."""
        sizes = np.diff(self.indptr)[rows]
        indptr = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        take = np.arange(indptr[-1]) + np.repeat(self.indptr[:-1][rows] - indptr[:-1], sizes)
        features = None if self.features is None else self.features[rows]
        return Histories(indptr, self.items[take], self.weights[take], self.times[take], features)

    def take(self, keep: NDArray[np.bool_]) -> "Histories":
        """Return a copy with the events where `keep`, bool [n], is true; empty rows are kept."""
        before = np.concatenate(([0], np.cumsum(keep))).astype(np.int64)
        return Histories(
            before[self.indptr],
            self.items[keep],
            self.weights[keep],
            self.times[keep],
            self.features,
        )

    def without_superseded(self) -> "Histories":
        """Return the histories without events that a later, opposite opinion replaces.

        If there is none, the result is `self`; see `nearline.kernels.opinions`.
        """
        if not (self.weights < 0).any():
            return self
        out = superseded(self.indptr, self.items, self.weights)
        return self.take(~out) if out.any() else self

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[int]]) -> Self:
        """Create histories from one list of item indices per user, oldest first.

        All weights are 1, and the time of an event is its position in the row.
        """
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
        """Group a table of n events by user; the events of a user keep their order.

        Parameters
        ----------
        users : int64 [n]
            Row of each event, from 0 to `n_users` - 1.
        n_users : int
            Number of rows; users without events get empty rows.
        items, weights, times : array [n]
            Columns of the events, as in the attributes of `Histories`.
        """
        order = np.argsort(users, kind="stable")
        sizes = np.bincount(users, minlength=n_users)
        indptr = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        return cls(indptr, items[order], weights[order], times[order])
