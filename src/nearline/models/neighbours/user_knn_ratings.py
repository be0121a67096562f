"""User-based neighbourhoods of ratings: what people of the same taste gave this item."""

from typing import ClassVar, Self

import numpy as np
from msgspec import Struct

from nearline.common.progress import Progress, no_progress
from nearline.data.dataset import Dataset, Histories, IntArray
from nearline.kernels.corated import corated_rows, mean_by_rows
from nearline.kernels.edges import Rows
from nearline.kernels.ridge import Targets
from nearline.kernels.sets import Sets
from nearline.models.base import Ranking, check_k
from nearline.models.factors.factor_model import check_indices, transpose
from nearline.models.neighbours.item_knn_ratings import first_of_rows
from nearline.models.neighbours.rating_neighbours import (
    Arrays,
    Doubles,
    NeighbourConfig,
    RatingNeighbours,
)


class UserKnnRatingsConfig(NeighbourConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `UserKnnRatings`.

    Attributes
    ----------
    measure : str
        "cosine"; "adjusted_cosine", less each item's mean; "pearson", less the users' means over
        the items in common; "pearson_baseline", less the baselines.
    prediction : str
        "average" of the neighbours' ratings; of their distances from the users' "mean"; of these
        in standard deviations, "zscore"; of distances from the "baseline".
    neighbours : int or None
        Nearest users among those who rated the item; None for all above the threshold.
    threshold : float
        Only users more similar than this count, at least 0.
    shrinkage : float
        With n items in common, a similarity is multiplied by ``(n - 1) / (n - 1 + shrinkage)``.
    item_l2, user_l2 : float
        What the baseline adds to the number of ratings of an item or user: few say little.
    sweeps : int
        Times that the baseline settles the biases of all items and then of all users.
    """


class UserKnnRatings(RatingNeighbours):
    """A rating from those of the most similar users who rated the item.

        r^_uj = b_uj + sum over v in N_k(u, j): s_uv (r_vj - b_vj) / sum over them: s_uv

    with N_k(u, j) the k users most similar to u who rated j. s_uv is computed over the items that
    both rated, and shrunken where they are few. With prediction "mean" and measure "pearson" it is
    GroupLens's formula, with prediction "average" the plain weighted average.

    P. Resnick, N. Iacovou, M. Suchak, P. Bergstrom, J. Riedl, "GroupLens: an open architecture for
    collaborative filtering of netnews", CSCW 1994; z-scores and thresholds as in J. Herlocker,
    J. Konstan, A. Borchers, J. Riedl, "An algorithmic framework for performing collaborative
    filtering", SIGIR 1999; baselines and shrinkage as in Y. Koren, "Factor in the neighbors", ACM
    TKDD 4(1), 2010, section 2.2.

    Use it for ratings on a scale with fewer users than items. Nothing is computed beforehand: a new
    rating changes who is near at once. Do not use it with very many users, nor where a snapshot may
    not hold what users rated: that is what this model consists of. Erasing a user takes a new fit.

    Notes
    -----
    A user costs the ratings of all items that the user rated, and all ratings of the neighbours.
    """

    name: ClassVar[str] = "user_knn_ratings"
    config_type: ClassVar[type[Struct]] = UserKnnRatingsConfig
    by_user: ClassVar[bool] = True

    def __init__(self, config: Struct | None = None) -> None:
        super().__init__(config)
        self._set(Histories.from_rows([]))

    def fit(
        self,
        data: Dataset,
        *,
        validation: Histories | None = None,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Self:
        """Learn baselines, and keep the ratings; `validation` is not used.

        Raises
        ------
        InvalidInput
            The data has no rating.
        """
        del validation, seed
        rated = self._learn_baseline(data)
        self._set(rated)
        self.fitted_on = rated
        progress(1, 1, "done")
        return self

    def neighbours(self, histories: Histories) -> Rows:
        """Find the users of the fit similar to each history, nearest first, with similarities."""
        return self._similar_users(self._known(histories))

    def similar(self, items: IntArray, k: int) -> Ranking:
        """Top-k items by the same measure, computed now over the users who rated both."""
        check_k(k)
        asked = np.asarray(items, dtype=np.int32)
        check_indices(asked, self.n_items, "items")
        columns = self._by_item
        sizes = np.diff(columns.indptr)[asked]
        indptr = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        take = np.arange(indptr[-1]) + np.repeat(columns.indptr[:-1][asked] - indptr[:-1], sizes)
        near = corated_rows(
            Targets(indptr, columns.columns[take], columns.values[take]),
            self._by_user,
            self.n_items,
            self._affinity._replace(most=k),
            leave_out=asked,
        )
        return first_of_rows(near, np.arange(len(asked), dtype=np.int32), k)

    def arrays(self) -> Arrays:
        """Return the ratings by user, ids not among it, and means and biases of items."""
        ratings: Arrays = {
            "indptr": self._rated.indptr,
            "items": self._rated.items,
            "ratings": self._rated.weights,
        }
        return {**self._base_arrays(), **ratings}

    def _load(self, arrays: Arrays) -> None:
        self._load_base(arrays)
        items = arrays["items"]
        times = np.zeros(len(items))
        self._set(Histories(arrays["indptr"], items, arrays["ratings"], times))

    def _set(self, rated: Histories) -> None:
        self._rated = rated
        self._by_user = self._residuals(rated)
        by_item, order = transpose(rated, self.n_items)
        self._by_item = Targets(by_item.indptr, by_item.columns, self._by_user.values[order])
        self._given = self._deviations(rated)

    def _similar_users(self, known: Histories) -> Rows:
        rows = self._residuals(known)
        return corated_rows(rows, self._by_item, len(self._rated), self._affinity)

    def _near_means(self, known: Histories, wanted: Sets) -> Doubles:
        near = self._similar_users(known)
        return mean_by_rows(near, self._given, wanted, self._k, self.n_items)
