"""Item-based nearest neighbours of ratings: predictions from a user's ratings of similar items."""

from typing import ClassVar

import numpy as np
from msgspec import Struct

from nearline.data.dataset import Histories, IntArray
from nearline.kernels.corated import corated_rows, mean_by_columns
from nearline.kernels.edges import Rows, pack
from nearline.kernels.ridge import Targets
from nearline.kernels.sets import Sets
from nearline.models.base import Arrays, ModelPart, Ranking, check_single
from nearline.models.neighbours.rating_neighbours import (
    NeighbourConfig,
    RatingNeighbours,
    first_of_rows,
)
from nearline.models.rating_model import Doubles, ratings_by_item
from nearline.models.settings import require


class ItemKnnRatingsConfig(NeighbourConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `ItemKnnRatings`.

    Attributes
    ----------
    measure : str
        "cosine"; "adjusted_cosine", with ratings centred by each user's mean; "pearson", centred by
        the items' means over the common users; "pearson_baseline", centred by the baselines.
    prediction : str
        Values that are averaged over the neighbours: the user's ratings ("average"), their
        differences from the items' means ("mean"), these in standard deviations ("zscore"), or
        their differences from the baselines ("baseline").
    neighbours : int or None
        Maximum number of neighbours, which are items that the user rated; None for all above the
        threshold.
    threshold : float
        Only items with a similarity above this are neighbours; at least 0.
    shrinkage : float
        With n common users, a similarity is multiplied by ``(n - 1) / (n - 1 + shrinkage)``.
    item_l2, user_l2 : float
        Regularisation of the baseline, which is added to the number of ratings of an item or user.
    sweeps : int
        Number of times that the baseline updates the biases of all items and then of all users.
    kept : int
        Number of neighbours that are stored for an item. A prediction uses those that the user
        rated.
    """

    kept: int = 2_000

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "kept", 1, 1_000_000)


class ItemKnnRatings(RatingNeighbours):
    """Predict a rating from the user's own ratings of the most similar items.

        r^_uj = b_uj + sum over i in N_k(u, j): s_ij (r_ui - b_ui) / sum over them: s_ij

    with N_k(u, j) the k items most similar to j that u rated. s_ij is computed over the users who
    rated both, and shrunk if they are few. Instead of differences from the baseline b, the model
    can average ratings, differences from means, or z-scores.

    B. Sarwar, G. Karypis, J. Konstan, J. Riedl, "Item-based collaborative filtering recommendation
    algorithms", WWW 2001, section 3 (adjusted cosine, weighted sum); baselines and shrinkage as in
    Y. Koren, "Factor in the neighbors: scalable and accurate collaborative filtering", ACM TKDD
    4(1), 2010, section 2.2.

    Use it for ratings on a scale if predictions must be explained: a prediction is a sum over the
    user's ratings, and a new rating counts at once. `als`, `svdpp` and `bpmf` are more accurate and
    smaller. For clicks and purchases use `item_knn`. Only items with a positive similarity are
    neighbours; without any, the prediction is the baseline.

    Notes
    -----
    Training costs O(sum over users of (their ratings) squared) time, and 8 bytes for each of the
    `kept` neighbours of an item. Predicting a pair costs at most `kept`.
    """

    name: ClassVar[str] = "item_knn_ratings"
    config_type: ClassVar[type[Struct]] = ItemKnnRatingsConfig
    by_user: ClassVar[bool] = False

    def __init__(self, config: Struct | None = None) -> None:
        super().__init__(config)
        self._near = pack([])

    def explain(self, history: Histories, item: int) -> list[ModelPart]:
        """Return parts of the score of `item`: the offset, and one for each neighbour."""
        check_single(history)
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
        """Return similarities, means and biases of items; the arrays contain no data of users."""
        near: Arrays = {
            "indptr": self._near.indptr,
            "items": self._near.items,
            "similarities": self._near.weights,
        }
        return {**super().arrays(), **near}

    def _load(self, arrays: Arrays) -> None:
        super()._load(arrays)
        self._near = Rows(arrays["indptr"], arrays["items"], arrays["similarities"])

    def _learn_neighbours(self, rated: Histories) -> None:
        by_user = self._residuals(rated)
        by_item, order = ratings_by_item(rated, self.n_items)
        self._near = corated_rows(
            Targets(by_item.indptr, by_item.columns, by_user.values[order]),
            by_user,
            self.n_items,
            self._affinity._replace(most=self.config.kept),
            leave_out=np.arange(self.n_items, dtype=np.int32),
        )

    def _near_means(self, known: Histories, wanted: Sets) -> Doubles:
        return mean_by_columns(self._near, self._deviations(known), wanted, self._k)

    def _similar_items(self, items: IntArray, k: int) -> Ranking:
        return first_of_rows(self._near, items, k)
