"""SLIM: sparse item-to-item weights by an elastic net for each item."""

from typing import ClassVar

import numpy as np
from msgspec import Struct
from scipy import sparse

from nearline.common.progress import Progress
from nearline.data.dataset import Dataset
from nearline.kernels.edges import Rows, product_edges
from nearline.kernels.elastic_net import elastic_net_columns
from nearline.models.base import Range, Space
from nearline.models.item_weights import ItemWeights, liked_matrix, rows_of
from nearline.models.settings import require


class SlimConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `Slim`.

    Attributes
    ----------
    l1 : float
        Lasso penalty, in users: how many may not be explained before a weight is; makes W sparse.
    l2 : float
        Ridge penalty, in users: spreads weights over items that are alike.
    positive : bool
        Forbid negative weights, as the paper does.
    candidates : int
        Items of the highest cosine that each item may be explained by; bounds the time of a fit.
    sweeps : int
        Passes of coordinate descent at most, for each item.
    tolerance : float
        Coordinate descent ends when no weight changes by as much.
    """

    l1: float = 1.0
    l2: float = 100.0
    positive: bool = True
    candidates: int = 500
    sweeps: int = 50
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        for field in ("l1", "l2"):
            require(self, field, 0)
        for field in ("candidates", "sweeps"):
            require(self, field, 1)
        require(self, "tolerance", 0, above=True)


class Slim(ItemWeights):
    """Each item as a sparse, non-negative sum of other items.

    With X the binary user-item matrix, for each item j:

        minimise 0.5 |x_j - X w_j|^2 + l1 |w_j|_1 + 0.5 l2 |w_j|^2,  w_j >= 0, w_jj = 0

    and score(u, j) is the sum of W[i, j] over the items i that u liked.

    X. Ning, G. Karypis, "SLIM: sparse linear methods for top-N recommender systems", ICDM 2011,
    section 4; only the items nearest by cosine may explain an item, as in their section 4.3
    (fsSLIM).

    Use it where EASE's dense matrix is too large or its answers too slow: W is sparse, about as
    accurate, and every part of an explanation is positive. Items without events have no weights.
    It knows no order of events.

    Fitting takes O(n_items * candidates * events of an item) a sweep, in parallel over items.
    """

    name: ClassVar[str] = "slim"
    config_type: ClassVar[type[Struct]] = SlimConfig
    space: ClassVar[Space] = {
        "l1": Range(0.01, 20.0, log=True),
        "l2": Range(1.0, 2_000.0, log=True),
        "candidates": Range(50, 2_000, log=True),
        "positive": (True, False),
    }

    def _learn(self, data: Dataset, progress: Progress) -> Rows:
        config = self.config
        liked = liked_matrix(data)
        lengths = np.sqrt(np.maximum(np.asarray(liked.sum(axis=0), dtype=np.float64), 1.0))
        unit = sparse.csr_array(liked @ sparse.diags_array(1.0 / lengths))
        candidates = product_edges(
            rows_of(unit.T), rows_of(unit), data.n_items, top_k=config.candidates
        )
        progress(1, 2, "candidates")
        explained = elastic_net_columns(
            rows_of(liked.T),
            candidates,
            data.n_users,
            l1=config.l1,
            l2=config.l2,
            positive=config.positive,
            sweeps=config.sweeps,
            tolerance=config.tolerance,
        )
        progress(2, 2, "done")
        return _transposed(explained)


def _transposed(rows: Rows) -> Rows:
    """Turn rows of what explains an item into rows of what an item explains."""
    n = len(rows.indptr) - 1
    matrix = sparse.csr_array((rows.weights, rows.items, rows.indptr), shape=(n, n))
    return rows_of(matrix.T)
