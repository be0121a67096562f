"""User-based nearest neighbours of ratings: predictions from the ratings of similar users."""

from typing import ClassVar

import numpy as np
from msgspec import Struct

from nearline.data.dataset import Histories, IntArray
from nearline.kernels.corated import corated_rows, mean_by_rows
from nearline.kernels.edges import Rows
from nearline.kernels.ridge import Targets
from nearline.kernels.sets import Sets
from nearline.models.base import Arrays, Ranking
from nearline.models.neighbours.rating_neighbours import (
    NeighbourConfig,
    RatingNeighbours,
    first_of_rows,
)
from nearline.models.rating_model import Doubles, ratings_by_item


class UserKnnRatingsConfig(NeighbourConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `UserKnnRatings`.

    Attributes
    ----------
    measure : str
        "cosine"; "adjusted_cosine", with ratings centred by each item's mean; "pearson", centred by
        the users' means over the common items; "pearson_baseline", centred by the baselines.
    prediction : str
        Values that are averaged over the neighbours: their ratings ("average"), the differences
        from the users' means ("mean"), these in standard deviations ("zscore"), or the differences
        from the baselines ("baseline").
    neighbours : int or None
        Maximum number of neighbours, who are users who rated the item; None for all above the
        threshold.
    threshold : float
        Only users with a similarity above this are neighbours; at least 0.
    shrinkage : float
        With n common items, a similarity is multiplied by ``(n - 1) / (n - 1 + shrinkage)``.
    item_l2, user_l2 : float
        Regularisation of the baseline, which is added to the number of ratings of an item or user.
    sweeps : int
        Number of times that the baseline updates the biases of all items and then of all users.
    """


class UserKnnRatings(RatingNeighbours):
    """Predict a rating from the ratings of the most similar users who rated the item.

        r^_uj = b_uj + sum over v in N_k(u, j): s_uv (r_vj - b_vj) / sum over them: s_uv

    with N_k(u, j) the k users most similar to u who rated j. s_uv is computed over the items that
    both rated, and shrunk if they are few. Prediction "mean" with measure "pearson" is the formula
    of GroupLens; prediction "average" is the plain weighted average.

    P. Resnick, N. Iacovou, M. Suchak, P. Bergstrom, J. Riedl, "GroupLens: an open architecture for
    collaborative filtering of netnews", CSCW 1994; z-scores and thresholds as in J. Herlocker,
    J. Konstan, A. Borchers, J. Riedl, "An algorithmic framework for performing collaborative
    filtering", SIGIR 1999; baselines and shrinkage as in Y. Koren, "Factor in the neighbors", ACM
    TKDD 4(1), 2010, section 2.2.

    Use it for ratings on a scale with fewer users than items. Nothing is precomputed: a new rating
    changes the neighbours at once. Do not use it with very many users, or if a snapshot must not
    contain users' ratings, as this model consists of them. Erasing a user requires a new training.

    Notes
    -----
    Predicting for a user costs the number of ratings of all items that the user rated, plus all
    ratings of the neighbours.
    """

    name: ClassVar[str] = "user_knn_ratings"
    config_type: ClassVar[type[Struct]] = UserKnnRatingsConfig
    by_user: ClassVar[bool] = True

    def __init__(self, config: Struct | None = None) -> None:
        super().__init__(config)
        self._set(Histories.from_rows([]))

    def neighbours(self, histories: Histories) -> Rows:
        """Return the similar users of the training data for each history, nearest first."""
        return self._similar_users(self._known(histories))

    def arrays(self) -> Arrays:
        """Return the ratings of each user, without user IDs, and means and biases of items."""
        ratings: Arrays = {
            "indptr": self._rated.indptr,
            "items": self._rated.items,
            "ratings": self._rated.weights,
        }
        return {**super().arrays(), **ratings}

    def _load(self, arrays: Arrays) -> None:
        super()._load(arrays)
        items = arrays["items"]
        times = np.zeros(len(items))
        self._set(Histories(arrays["indptr"], items, arrays["ratings"], times))

    def _learn_neighbours(self, rated: Histories) -> None:
        self._set(rated)

    def _set(self, rated: Histories) -> None:
        self._rated = rated
        self._by_user = self._residuals(rated)
        by_item, order = ratings_by_item(rated, self.n_items)
        self._by_item = Targets(by_item.indptr, by_item.columns, self._by_user.values[order])
        self._given = self._deviations(rated)

    def _similar_users(self, known: Histories) -> Rows:
        rows = self._residuals(known)
        return corated_rows(rows, self._by_item, len(self._rated), self._affinity)

    def _near_means(self, known: Histories, wanted: Sets) -> Doubles:
        near = self._similar_users(known)
        return mean_by_rows(near, self._given, wanted, self._k, self.n_items)

    def _similar_items(self, items: IntArray, k: int) -> Ranking:
        columns = self._by_item
        sizes = np.diff(columns.indptr)[items]
        indptr = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        take = np.arange(indptr[-1]) + np.repeat(columns.indptr[:-1][items] - indptr[:-1], sizes)
        near = corated_rows(
            Targets(indptr, columns.columns[take], columns.values[take]),
            self._by_user,
            self.n_items,
            self._affinity._replace(most=k),
            leave_out=items,
        )
        return first_of_rows(near, np.arange(len(items), dtype=np.int32), k)
