"""User-based nearest neighbours of events: recommendations of items that similar users liked."""

from typing import Any, ClassVar, Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nearline.common.progress import Progress, no_progress
from nearline.data.dataset import Dataset, FloatArray, Histories
from nearline.kernels.csr import Csr
from nearline.kernels.edges import Rows
from nearline.kernels.neighbours import make_index, nearest_rows
from nearline.kernels.sets import Sets, transpose
from nearline.models.array_checks import (
    MOST_ITEMS,
    check_array,
    check_indices,
    check_number,
    check_starts,
)
from nearline.models.base import ModelPart, Space, check_single
from nearline.models.dense_scores import DenseModel
from nearline.models.neighbours.set_similarity import (
    MEASURE_SPACE,
    MeasureConfig,
    fit_measure,
    fitted_sets,
    liked_sets,
)


class UserKnnConfig(MeasureConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `UserKnn`.

    Attributes
    ----------
    measure : str
        "cosine", "tfidf" (cosine of TF-IDF weights, in which popular items count less) or "bm25"
        (inner product of BM25 weights, in which active users count less).
    neighbours : int or None
        Maximum number of neighbours; None for all above the threshold.
    threshold : float
        Only users with a similarity above this are neighbours; at least 0.
    shrinkage : float
        With n common items, a similarity is multiplied by ``n / (n + shrinkage)``.
    k1, b : float
        Parameters of BM25: saturation, and strength of the normalisation by activity (0 to 1).
    """


class UserKnn(DenseModel):
    """Recommend items that the most similar users liked.

        score(u, j) = sum over the k users v nearest to u who liked j:  s(u, v)
        s(u, v) = n_uv / (n_uv + shrinkage) * cosine of the rows u and v

    with n_uv the number of items that both liked, and rows of ones, or of TF-IDF or BM25 weights
    (an item is a term, a user a document).

    P. Resnick, N. Iacovou, M. Suchak, P. Bergstrom, J. Riedl, "GroupLens: an open architecture for
    collaborative filtering of netnews", CSCW 1994; for lists rather than ratings, B. Sarwar,
    G. Karypis, J. Konstan, J. Riedl, "Analysis of recommendation algorithms for e-commerce",
    EC 2000, section 3.

    Use it if there are fewer users than items, or if single items say little about a user's taste.
    Nothing is precomputed: a new event changes the neighbours at once. Do not use it if an answer
    must take less than a millisecond with many users, or if a snapshot must not contain users'
    events, as this model consists of them. Erasing a user requires a new training.

    Notes
    -----
    An answer costs the number of events of all users who share an item, plus O(n_items). The
    nearest neighbour of a user of the training data is that user, which adds nothing to unseen
    items.
    """

    name: ClassVar[str] = "user_knn"
    config_type: ClassVar[type[Struct]] = UserKnnConfig
    _floor = 0.0
    space: ClassVar[Space] = MEASURE_SPACE

    def __init__(self, config: Struct | None = None) -> None:
        super().__init__(config)
        self._set(Sets(np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int32)), 0)

    def fit(
        self,
        data: Dataset,
        *,
        validation: Histories | None = None,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Self:
        """Store the liked items of each user, and their transpose; `validation` is not used.

        Raises
        ------
        InvalidInput
            An event's weight is not finite.
        """
        del validation, seed
        self._set(fitted_sets(data), data.n_items)
        self.fitted_on = data.histories
        progress(1, 1, "done")
        return self

    @property
    def n_items(self) -> int:
        """Number of items that the model can score."""
        return self._n_items

    def neighbours(self, histories: Histories) -> Rows:
        """Return the most similar users of the training data for each history, nearest first."""
        liked, _ = liked_sets(histories, self._n_items)
        return nearest_rows(
            liked,
            self._measure.scales(liked),
            self._index,
            top_k=self.config.neighbours,
            threshold=self.config.threshold,
            shrinkage=self.config.shrinkage,
        )

    def score_many(self, histories: Histories) -> FloatArray:
        """Return the scores of all items: float32 [n_users, n_items], 0 without a neighbour."""
        near = self.neighbours(histories)
        shape = (len(histories), len(self._users.indptr) - 1)
        weights = near.weights.astype(np.float64)
        similarities = Csr(weights, near.items, near.indptr, shape)
        return similarities.dense_product(self._liked).astype(np.float32)

    def explain(self, history: Histories, item: int) -> list[ModelPart]:
        """Return a part of the score of `item` for each event, oldest first.

        The similarity of each neighbour who liked `item` is distributed over the common items, in
        proportion to their weights.
        """
        check_single(history)
        liked, kept = liked_sets(history, self._n_items)
        events = np.flatnonzero(kept)
        of_feature = self._measure.weights
        weights = np.ones(len(events)) if of_feature is None else of_feature[liked.items]
        near = self.neighbours(history)
        amounts = np.zeros(len(events))
        for user, similarity in zip(near.items, near.weights, strict=True):
            own = self._users.items[self._users.indptr[user] : self._users.indptr[user + 1]]
            if item in own:
                common = weights * np.isin(liked.items, own)
                amounts += float(similarity) * common / common.sum()
        return [
            ModelPart(int(event), self.name, float(amount))
            for event, amount in zip(events, amounts, strict=True)
            if amount
        ]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the liked items of each user, without user IDs."""
        return {
            "indptr": self._users.indptr,
            "items": self._users.items,
            "n_items": np.array([self._n_items], dtype=np.int64),
        }

    def _load(self, arrays: dict[str, NDArray[Any]]) -> None:
        indptr = check_array(arrays, "indptr", "int64", None)
        items = check_array(arrays, "items", "int32", None)
        n_items = check_number(arrays, "n_items", 0, MOST_ITEMS)
        check_starts("indptr", indptr, len(items))
        check_indices("items", items, n_items)
        self._set(Sets(indptr, items), n_items)

    def _set(self, users: Sets, n_items: int) -> None:
        self._users, self._n_items = users, n_items
        lists = transpose(users, n_items)
        self._measure = fit_measure(self.config, users, lists)
        self._index = make_index(lists, self._measure.scales(users), self._measure.weights)
        shape = (len(users.indptr) - 1, n_items)
        ones = np.ones(len(users.items), dtype=np.float32)
        self._liked = Csr(ones, users.items, users.indptr, shape)
