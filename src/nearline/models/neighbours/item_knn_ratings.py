"""Item-based neighbourhoods of ratings: what a user gave the items most like this one."""

from typing import ClassVar, Self

import numpy as np
from msgspec import Struct

from nearline.common.progress import Progress, no_progress
from nearline.data.dataset import Dataset, Histories, IntArray
from nearline.errors import InvalidInput
from nearline.kernels.corated import corated_rows, mean_by_columns
from nearline.kernels.edges import Rows, pack
from nearline.kernels.ridge import Targets
from nearline.kernels.sets import Sets
from nearline.models.base import ModelPart, Ranking, check_k
from nearline.models.factors.factor_model import check_indices, transpose
from nearline.models.neighbours.rating_neighbours import (
    Arrays,
    Doubles,
    NeighbourConfig,
    RatingNeighbours,
)
from nearline.models.settings import require


class ItemKnnRatingsConfig(NeighbourConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `ItemKnnRatings`.

    Attributes
    ----------
    measure : str
        "cosine"; "adjusted_cosine", less each user's mean; "pearson", less the items' means over
        the users in common; "pearson_baseline", less the baselines.
    prediction : str
        "average" of the user's ratings of the neighbours; of their distances from the items'
        "mean"; of these in standard deviations, "zscore"; of distances from the "baseline".
    neighbours : int or None
        Nearest items among those that the user rated; None for all above the threshold.
    threshold : float
        Only items more similar than this count, at least 0.
    shrinkage : float
        With n users in common, a similarity is multiplied by ``(n - 1) / (n - 1 + shrinkage)``.
    item_l2, user_l2 : float
        What the baseline adds to the number of ratings of an item or user: few say little.
    sweeps : int
        Times that the baseline settles the biases of all items and then of all users.
    kept : int
        Most neighbours kept of each item: at prediction, only those that the user rated count.
    """

    kept: int = 2_000

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "kept", 1)


class ItemKnnRatings(RatingNeighbours):
    """A rating from the user's own ratings of the most similar items.

        r^_uj = b_uj + sum over i in N_k(u, j): s_ij (r_ui - b_ui) / sum over them: s_ij

    with N_k(u, j) the k items most similar to j that u rated. s_ij is computed over the users who
    rated both, and shrunken where they are few. Weighted averages, distances from means and
    z-scores take the place of distances from the baseline, if wanted.

    B. Sarwar, G. Karypis, J. Konstan, J. Riedl, "Item-based collaborative filtering recommendation
    algorithms", WWW 2001, section 3 (adjusted cosine, weighted sum); baselines and shrinkage as in
    Y. Koren, "Factor in the neighbors: scalable and accurate collaborative filtering", ACM TKDD
    4(1), 2010, section 2.2.

    Use it for ratings on a scale whose predictions must be explained: the prediction is a sum over
    what the user rated, and a new rating counts at once. `als`, `svdpp` and `bpmf` are more
    accurate, and smaller. It is not for clicks and purchases: use `item_knn`. Similarities that are
    not positive are no neighbours; without any, the baseline is the prediction.

    Notes
    -----
    Fitting costs O(sum over users of (their ratings) squared) time and 8 bytes for each of
    `kept` neighbours of an item; a pair costs at most `kept`.
    """

    name: ClassVar[str] = "item_knn_ratings"
    config_type: ClassVar[type[Struct]] = ItemKnnRatingsConfig
    by_user: ClassVar[bool] = False

    def __init__(self, config: Struct | None = None) -> None:
        super().__init__(config)
        self._near = pack([])

    def fit(
        self,
        data: Dataset,
        *,
        validation: Histories | None = None,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Self:
        """Learn baselines and similarities; nothing is random, and `validation` is not used.

        Raises
        ------
        InvalidInput
            The data has no rating.
        """
        del validation, seed
        rated = self._learn_baseline(data)
        by_user = self._residuals(rated)
        by_item, order = transpose(rated, data.n_items)
        self._near = corated_rows(
            Targets(by_item.indptr, by_item.columns, by_user.values[order]),
            by_user,
            data.n_items,
            self._affinity._replace(most=self.config.kept),
            leave_out=np.arange(data.n_items, dtype=np.int32),
        )
        self.fitted_on = rated
        progress(1, 1, "done")
        return self

    def similar(self, items: IntArray, k: int) -> Ranking:
        """Top-k of the kept neighbours of each item."""
        check_k(k)
        check_indices(np.asarray(items), self.n_items, "items")
        return first_of_rows(self._near, items, k)

    def explain(self, history: Histories, item: int) -> list[ModelPart]:
        """Parts of the score of `item`: the offset, then one for each neighbour that was rated."""
        if len(history) != 1:
            raise InvalidInput(f"history has {len(history)} rows; explain takes one")
        if not 0 <= item < self.n_items:
            return []
        known = self._known(history)
        deviations = dict(zip(known.items.tolist(), self._deviations(known).values, strict=True))
        place = {int(i): at for at, i in enumerate(history.items)}
        own = slice(self._near.indptr[item], self._near.indptr[item + 1])
        near = [
            (int(i), float(s))
            for i, s in zip(self._near.items[own], self._near.weights[own], strict=True)
            if int(i) in deviations
        ][: self._k]
        baseline = self.mean + self._user_biases(known) + self._item_biases[item]
        offset, scale = self._frame(self._items.at(np.array([item])), baseline)
        mass = sum(s for _, s in near)
        start = offset if near else baseline
        parts = [ModelPart(-1, self.config.prediction if near else "baseline", float(start[0]))]
        for i, s in near:
            parts.append(ModelPart(place[i], self.name, float(scale[0] * s * deviations[i] / mass)))
        return [part for part in parts if part.amount]

    def arrays(self) -> Arrays:
        """Similarities, and means and biases of items: 8 bytes a neighbour, no users."""
        near: Arrays = {
            "indptr": self._near.indptr,
            "items": self._near.items,
            "similarities": self._near.weights,
        }
        return {**self._base_arrays(), **near}

    def _load(self, arrays: Arrays) -> None:
        self._load_base(arrays)
        self._near = Rows(arrays["indptr"], arrays["items"], arrays["similarities"])

    def _near_means(self, known: Histories, wanted: Sets) -> Doubles:
        return mean_by_columns(self._near, self._deviations(known), wanted, self._k)


def first_of_rows(rows: Rows, chosen: IntArray, k: int) -> Ranking:
    """First k entries of some rows, filled up with -1."""
    items = np.full((len(chosen), k), -1, dtype=np.int32)
    scores = np.zeros((len(chosen), k), dtype=np.float32)
    for at, row in enumerate(chosen):
        first = rows.indptr[row]
        size = min(k, int(rows.indptr[row + 1] - first))
        items[at, :size] = rows.items[first : first + size]
        scores[at, :size] = rows.weights[first : first + size]
    return Ranking(items, scores)
