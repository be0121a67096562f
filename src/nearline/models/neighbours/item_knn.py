"""Item-based nearest neighbours of events: items that the same users liked are similar."""

from typing import ClassVar

from msgspec import Struct

from nearline.common.progress import Progress
from nearline.data.dataset import Dataset
from nearline.kernels.edges import Rows
from nearline.kernels.neighbours import nearest_among
from nearline.kernels.sets import transpose
from nearline.models.base import Space
from nearline.models.item_weights import ItemWeights
from nearline.models.neighbours.set_similarity import (
    MEASURE_SPACE,
    MeasureConfig,
    fit_measure,
    fitted_sets,
)


class ItemKnnConfig(MeasureConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `ItemKnn`.

    Attributes
    ----------
    measure : str
        "cosine", "tfidf" (cosine of TF-IDF weights, in which active users count less) or "bm25"
        (inner product of BM25 weights, in which popular items count less).
    neighbours : int or None
        Maximum number of neighbours of an item; None for all above the threshold.
    threshold : float
        Only items with a similarity above this are neighbours; at least 0.
    shrinkage : float
        With n common users, a similarity is multiplied by ``n / (n + shrinkage)``, since items with
        few common users may be similar by chance.
    k1, b : float
        Parameters of BM25: saturation, and strength of the normalisation by popularity (0 to 1).
    """

    shrinkage: float = 10.0


class ItemKnn(ItemWeights):
    """Rank items by their similarity to the items that the user liked.

        score(u, j) = sum over the items i that u liked:  s(i, j) for the k items j nearest to i
        s(i, j) = n_ij / (n_ij + shrinkage) * cosine of the columns i and j

    with n_ij the number of users who liked both, and columns of ones, or of TF-IDF or BM25
    weights (a user is a term, an item a document).

    B. Sarwar, G. Karypis, J. Konstan, J. Riedl, "Item-based collaborative filtering recommendation
    algorithms", WWW 2001, section 3; top-N lists as in M. Deshpande, G. Karypis, "Item-based top-N
    recommendation algorithms", ACM TOIS 22(1), 2004, section 4; the shrinkage is that of R. Bell,
    Y. Koren, "Scalable collaborative filtering with jointly derived neighborhood interpolation
    weights", ICDM 2007, section 3.

    Use it if items have more events than users, recommendations must be explained, and training
    must take seconds. EASE and SLIM, which weigh the neighbours against each other, are more
    accurate; the item graph also uses the order of events. New items have no neighbours.

    Training takes O(sum over users of (their items) squared) time, on all cores.
    """

    name: ClassVar[str] = "item_knn"
    config_type: ClassVar[type[Struct]] = ItemKnnConfig
    space: ClassVar[Space] = MEASURE_SPACE

    def _learn(self, data: Dataset, progress: Progress) -> Rows:
        users = fitted_sets(data)
        items = transpose(users, data.n_items)
        measure = fit_measure(self.config, items, users)
        found = nearest_among(
            items,
            users,
            measure.scales(items),
            weights=measure.weights,
            top_k=self.config.neighbours,
            threshold=self.config.threshold,
            shrinkage=self.config.shrinkage,
        )
        progress(1, 1, "done")
        return found
