"""Models whose score is a history times a matrix of item-to-item weights.

    score(u, j) = sum over the items i that u liked, each once:  W[i, j]

EASE, SLIM and RP3beta differ only in how W is learned. `ItemWeights` keeps W in sparse rows and
scores it as an item graph of one relation without decay.
"""

from abc import abstractmethod
from typing import Any, Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy import sparse

from nearline.common.progress import Progress, no_progress
from nearline.data.dataset import Dataset, FloatArray, Histories, IntArray
from nearline.kernels.edges import Rows, pack
from nearline.kernels.scoring import Graph, recommend_rows, score_parts, score_rows
from nearline.kernels.sets import newest
from nearline.models.base import (
    Mask,
    Model,
    ModelPart,
    Ranking,
    check_k,
    check_single,
    check_weights,
)

# More events than any history has: none is too old to count.
NO_LIMIT = 2**31 - 1


def liked_once(histories: Histories) -> FloatArray:
    """Weight 1 for the newest event of each liked item and 0 for all other events: float32 [n].

    An item is liked if its newest event has a positive weight. O(n) time.

    Raises
    ------
    InvalidInput
        A weight is not finite.
    """
    check_weights(histories)
    liked = newest(histories.indptr, histories.items)
    liked &= histories.weights > 0
    return liked.astype(np.float32)


def liked_matrix(data: Dataset) -> "sparse.csr_array":
    """User-item matrix, float32 [n_users, n_items]: 1 where the user liked the item.

    Raises
    ------
    InvalidInput
        An event's weight is not finite.
    """
    kept = np.flatnonzero(liked_once(data.histories))
    users, items = data.user_of_each()[kept], data.histories.items[kept]
    ones = np.ones(len(kept), dtype=np.float32)
    return sparse.coo_array((ones, (users, items)), shape=(data.n_users, data.n_items)).tocsr()


def rows_of(matrix: Any) -> Rows:
    """View a scipy matrix as rows, each in the order of columns; no entry is copied for CSR."""
    matrix = sparse.csr_array(matrix)
    matrix.sort_indices()
    return Rows(
        matrix.indptr.astype(np.int64),
        matrix.indices.astype(np.int32),
        matrix.data.astype(np.float32),
    )


class ItemWeights(Model):
    """A model of sparse item-to-item weights; a subclass says how they are learned.

    Only items that score above zero are listed, so that a user without known items gets an empty
    list. A new event changes the next answer; W itself changes with the next `fit`.
    """

    def __init__(self, config: Struct | None = None) -> None:
        super().__init__(config)
        self._set(pack([]))

    @abstractmethod
    def _learn(self, data: Dataset, progress: Progress) -> Rows:
        """W: row i holds the items j that i speaks for, n_items rows."""

    def _weigh(self, histories: Histories) -> FloatArray:
        """Say what each event counts, float32 [n]: each liked item once."""
        return liked_once(histories)

    def fit(
        self,
        data: Dataset,
        *,
        validation: Histories | None = None,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Self:
        """Learn W from `data`; nothing is drawn at random, and `validation` is not used."""
        del validation, seed
        self._set(self._learn(data, progress))
        self.fitted_on = data.histories
        return self

    @property
    def n_items(self) -> int:
        """Number of items that the model knows."""
        return self._graph.n_items

    def score_many(self, histories: Histories) -> FloatArray:
        """Scores, float32 [n_users, n_items]; 0 where nothing connects."""
        return score_rows(self._graph, self._rows(histories))

    def recommend_from(
        self,
        histories: Histories,
        k: int,
        *,
        exclude_seen: bool = True,
        allowed: Mask | None = None,
    ) -> Ranking:
        """Top-k items that score above zero; O(entries of W in the rows of the history) a user."""
        check_k(k)
        best = recommend_rows(
            self._graph, self._rows(histories), k, exclude_seen=exclude_seen, allowed=allowed
        )
        return Ranking(best.items, best.scores)

    def similar(self, items: IntArray, k: int) -> Ranking:
        """Top-k of the row of W of each item."""
        return self.recommend_from(Histories.from_rows([[int(item)] for item in items]), k)

    def explain(self, history: Histories, item: int) -> list[ModelPart]:
        """Parts of the score of `item`, oldest event first: one entry of W an item that speaks."""
        check_single(history)
        parts = score_parts(self._graph, self._rows(history), item)[:, 0]
        return [
            ModelPart(int(event), self.name, float(parts[event])) for event in np.flatnonzero(parts)
        ]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """W in sparse rows: 8 bytes an entry."""
        return {
            "indptr": self._weights.indptr,
            "items": self._weights.items,
            "weights": self._weights.weights,
        }

    def _load(self, arrays: dict[str, NDArray[Any]]) -> None:
        self._set(Rows(arrays["indptr"], arrays["items"], arrays["weights"]))

    def _set(self, weights: Rows) -> None:
        n_items = len(weights.indptr) - 1
        self._weights = weights
        self._graph = Graph(
            indptr=np.ascontiguousarray(weights.indptr[None, :]),
            items=weights.items,
            values=weights.weights,
            heads=np.full((1, n_items), -1, dtype=np.int64),
            following=np.zeros(0, dtype=np.int64),
            added_items=np.zeros(0, dtype=np.int32),
            added_values=np.zeros(0, dtype=np.float32),
            weights=np.ones(1),
            ratios=np.ones(1),
            sources=np.zeros((0, 0)),
            targets=np.zeros((0, 0)),
            offsets=np.zeros(0),
            gains=np.ones(n_items),
            n_items=n_items,
            max_history=NO_LIMIT,
        )

    def _rows(self, histories: Histories) -> Rows:
        return Rows(histories.indptr, histories.items, self._weigh(histories))
