"""Models whose scores are sums of item-to-item weights over the liked items of a history.

    score(u, j) = sum over the items i that u liked, each once:  W[i, j]

EASE, SLIM and RP3beta differ only in how W is learned. `ItemWeights` stores W in sparse rows and
scores it as an item graph with one relation and no decay.
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

# Longer than any history: all events count.
NO_LIMIT = 2**31 - 1


def liked_once(histories: Histories) -> FloatArray:
    """Set weight 1 for the newest event of each liked item, 0 for all other events: float32 [n].

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
    """Build the user-item matrix, float32 [n_users, n_items]: 1 if the user liked the item.

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
    """Convert a SciPy matrix to rows with ascending columns; a CSR matrix is not copied."""
    matrix = sparse.csr_array(matrix)
    matrix.sort_indices()
    return Rows(
        matrix.indptr.astype(np.int64),
        matrix.indices.astype(np.int32),
        matrix.data.astype(np.float32),
    )


class ItemWeights(Model):
    """Base of models with sparse item-to-item weights W; a subclass implements `_learn`.

    Only items with a score above zero are listed, so a user without known items gets an empty list.
    A new event counts in the next answer; W changes only in `fit`.
    """

    def __init__(self, config: Struct | None = None) -> None:
        super().__init__(config)
        self._set(pack([]))

    @abstractmethod
    def _learn(self, data: Dataset, progress: Progress) -> Rows:
        """Return W: row i contains the weights of item i for other items; n_items rows."""

    def _weigh(self, histories: Histories) -> FloatArray:
        """Return the weight of each event in the sum, float32 [n]: each liked item counts once."""
        return liked_once(histories)

    def fit(
        self,
        data: Dataset,
        *,
        validation: Histories | None = None,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Self:
        """Learn W from `data`; `seed` and `validation` are not used."""
        del validation, seed
        self._set(self._learn(data, progress))
        self.fitted_on = data.histories
        return self

    @property
    def n_items(self) -> int:
        """Number of items that the model knows."""
        return self._graph.n_items

    def score_many(self, histories: Histories) -> FloatArray:
        """Score all items: float32 [n_users, n_items]; 0 for items without a weight."""
        return score_rows(self._graph, self._rows(histories))

    def recommend_from(
        self,
        histories: Histories,
        k: int,
        *,
        exclude_seen: bool = True,
        allowed: Mask | None = None,
    ) -> Ranking:
        """Recommend the k items with the highest score above zero; see `Model.recommend_from`.

        A user costs the entries of W in the rows of the history.
        """
        check_k(k)
        best = recommend_rows(
            self._graph, self._rows(histories), k, exclude_seen=exclude_seen, allowed=allowed
        )
        return Ranking(best.items, best.scores)

    def similar(self, items: IntArray, k: int) -> Ranking:
        """Find the k largest weights in the row of each item."""
        return self.recommend_from(Histories.from_rows([[int(item)] for item in items]), k)

    def explain(self, history: Histories, item: int) -> list[ModelPart]:
        """Split the score of `item` into entries of W, one per liked item, oldest event first."""
        check_single(history)
        parts = score_parts(self._graph, self._rows(history), item)[:, 0]
        return [
            ModelPart(int(event), self.name, float(parts[event])) for event in np.flatnonzero(parts)
        ]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return W in sparse rows: 8 bytes per entry."""
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
