"""SLIM: sparse weights between items, learned by an elastic net for each item."""

from typing import ClassVar

import numpy as np
from msgspec import Struct

from nearline.common.progress import Progress
from nearline.data.dataset import Dataset
from nearline.kernels.csr import Csr
from nearline.kernels.edges import Rows, product_edges
from nearline.kernels.elastic_net import elastic_net_columns
from nearline.models.base import Range, Space
from nearline.models.item_weights import ItemWeights, liked_matrix
from nearline.models.settings import require


class SlimConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `Slim`.

    Attributes
    ----------
    l1 : float
        L1 penalty, as a number of users; it makes W sparse.
    l2 : float
        L2 penalty, as a number of users; it distributes weight over similar items.
    positive : bool
        Whether weights must be at least 0, as in the paper.
    candidates : int
        Number of items that may have a weight for an item: those with the highest cosine. It limits
        the training time.
    sweeps : int
        Maximum number of passes of coordinate descent for each item.
    tolerance : float
        Coordinate descent stops when no weight changes by this amount or more.
    """

    l1: float = 1.0
    l2: float = 100.0
    positive: bool = True
    candidates: int = 500
    sweeps: int = 50
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        for field in ("l1", "l2"):
            require(self, field, 0, 1e12)
        for field in ("candidates", "sweeps"):
            require(self, field, 1, 100_000)
        require(self, "tolerance", 0, 1e9, above=True)


class Slim(ItemWeights):
    """Predict each item by a sparse, non-negative combination of other items.

    With X the binary user-item matrix, for each item j:

        minimise 0.5 |x_j - X w_j|^2 + l1 |w_j|_1 + 0.5 l2 |w_j|^2,  w_j >= 0, w_jj = 0

    and score(u, j) is the sum of W[i, j] over the items i that u liked.

    X. Ning, G. Karypis, "SLIM: sparse linear methods for top-N recommender systems", ICDM 2011,
    section 4; only the nearest items by cosine may have a weight, as in their section 4.3 (fsSLIM).

    Use it if EASE's dense matrix is too large or its answers are too slow: W is sparse, about as
    accurate, and every part of an explanation is positive. Items without events have no weights.
    The order of events is not used.

    Training takes O(n_items * candidates * events per item) time per sweep, in parallel over items.
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
        lengths = np.sqrt(np.maximum(liked.sum(axis=0).astype(np.float64), 1.0))
        unit = liked.scaled(columns=1.0 / lengths)
        candidates = product_edges(
            unit.T.to_rows(), unit.to_rows(), data.n_items, top_k=config.candidates
        )
        progress(1, 2, "candidates")
        explained = elastic_net_columns(
            liked.T.to_rows(),
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
    """Return the transpose of regression weights: row i has the weights of item i for others."""
    n = len(rows.indptr) - 1
    return Csr.from_rows(rows, n).T.to_rows()
