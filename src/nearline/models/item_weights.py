"""Models whose scores are sums of weights between items over the liked items of a history.

    score(u, j) = sum over the items i that u liked, each once:  W[i, j]

The models differ in how the weights W are learned. `ItemWeights` stores W as a sparse matrix and
scores it as an item graph with one relation and no decay.
"""

from abc import abstractmethod
from typing import Any, Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nearline.common.progress import Progress, no_progress
from nearline.data.dataset import Dataset, FloatArray, Histories, IntArray
from nearline.kernels.arrays import read_only
from nearline.kernels.csr import Csr
from nearline.kernels.edges import Rows, pack
from nearline.kernels.scoring import Graph, recommend_rows, score_parts, score_rows
from nearline.kernels.sets import newest
from nearline.kernels.sparse_scores import score_row
from nearline.models.array_checks import check_array, check_indices, check_starts
from nearline.models.base import (
    Mask,
    Model,
    ModelPart,
    Ranking,
    check_k,
    check_single,
    check_weights,
)
from nearline.models.capabilities import SparseScores

# Longer than any history, so that all events are used.
NO_LIMIT = 2**31 - 1


def liked_once(histories: Histories) -> FloatArray:
    """Return 1 for the newest event of each liked item, and 0 for other events: float32 [n].

    An item is liked if its newest event has a positive weight.

    Raises
    ------
    InvalidInput
        A weight is not finite.
    """
    check_weights(histories)
    liked = newest(histories.indptr, histories.items)
    liked &= histories.weights > 0
    return liked.astype(np.float32)


def liked_matrix(data: Dataset) -> Csr:
    """Return the matrix of liked items: float32 [n_users, n_items], with 1 for a liked item.

    Raises
    ------
    InvalidInput
        The weight of an event is not finite.
    """
    kept = np.flatnonzero(liked_once(data.histories))
    users, items = data.user_of_each()[kept], data.histories.items[kept]
    ones = np.ones(len(kept), dtype=np.float32)
    return Csr.from_pairs(ones, users, items, (data.n_users, data.n_items))


def weights_graph(weights: Rows) -> Graph:
    """Return weights between items as a graph of one relation without decay, for scoring."""
    n_items = len(weights.indptr) - 1
    return Graph(
        indptr=np.ascontiguousarray(weights.indptr[None, :]),
        items=read_only(weights.items),
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


class ItemWeights(Model):
    """Abstract base class of models with sparse weights W between items.

    A subclass implements `_learn`. Only items with a score above zero are recommended, so that the
    list of a user without known items is empty. A new event takes effect in the next answer, but W
    changes only in `fit`.
    """

    def __init__(self, config: Struct | None = None) -> None:
        super().__init__(config)
        self._set(pack([]))

    @abstractmethod
    def _learn(self, data: Dataset, progress: Progress) -> Rows:
        """Learn W; return n_items rows, where row i contains the weights of item i for others."""

    def _weigh(self, histories: Histories) -> FloatArray:
        """Return the weight of each event in the sum: float32 [n], 1 for each liked item."""
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
        """Number of items that the model can score."""
        return self._graph.n_items

    def score_many(self, histories: Histories) -> FloatArray:
        """Return the scores of all items: float32 [n_users, n_items], 0 without a weight."""
        return score_rows(self._graph, self._rows(histories))

    def score_sparse(self, history: Histories) -> SparseScores:
        """Return the scores other than 0 for one history; see `ScoresSparsely`."""
        check_single(history)
        return SparseScores(*score_row(self._graph, self._rows(history)))

    def recommend_from(
        self,
        histories: Histories,
        k: int,
        *,
        exclude_seen: bool = True,
        allowed: Mask | None = None,
    ) -> Ranking:
        """Return the `k` items with the highest scores above zero; see `Model.recommend_from`.

        The time for a user is proportional to the entries of W in the rows of the history.
        """
        check_k(k)
        best = recommend_rows(
            self._graph, self._rows(histories), k, exclude_seen=exclude_seen, allowed=allowed
        )
        return Ranking(best.items, best.scores)

    def similar(self, items: IntArray, k: int) -> Ranking:
        """Return the items with the `k` largest weights in the row of each item."""
        return self.recommend_from(Histories.from_rows([[int(item)] for item in items]), k)

    def explain(self, history: Histories, item: int) -> list[ModelPart]:
        """Return the entry of W for each liked item, oldest event first, as a part of the score."""
        check_single(history)
        parts = score_parts(self._graph, self._rows(history), item)[:, 0]
        return [
            ModelPart(int(event), self.name, float(parts[event])) for event in np.flatnonzero(parts)
        ]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return W as a sparse matrix, with 8 bytes per entry."""
        return {
            "indptr": self._weights.indptr,
            "items": self._weights.items,
            "weights": self._weights.weights,
        }

    def _load(self, arrays: dict[str, NDArray[Any]]) -> None:
        indptr = check_array(arrays, "indptr", "int64", None)
        items = check_array(arrays, "items", "int32", None)
        weights = check_array(arrays, "weights", "float32", len(items))
        check_starts("indptr", indptr, len(items))
        check_indices("items", items, len(indptr) - 1)
        self._set(Rows(indptr, items, weights))

    def _set(self, weights: Rows) -> None:
        self._weights = weights
        self._graph = weights_graph(weights)

    def _rows(self, histories: Histories) -> Rows:
        return Rows(histories.indptr, histories.items, self._weigh(histories))
