"""RP3beta: three steps of a random walk between users and items, popular ends held back."""

from typing import ClassVar

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy import sparse

from nearline.common.progress import Progress
from nearline.data.dataset import Dataset
from nearline.kernels.edges import Rows, product_edges
from nearline.models.base import Range, Space
from nearline.models.item_weights import ItemWeights, liked_matrix, rows_of
from nearline.models.settings import require


class RP3BetaConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `RP3Beta`.

    Attributes
    ----------
    alpha : float
        Exponent of the probability of each step, 0 to 3; 1 is the plain walk.
    beta : float
        What popular items lose: scores are divided by ``users of j ** beta``, 0 to 2.
    neighbours : int
        Entries of W kept a row.
    """

    alpha: float = 1.0
    beta: float = 0.4
    neighbours: int = 200

    def __post_init__(self) -> None:
        require(self, "alpha", 0, 3)
        require(self, "beta", 0, 2)
        require(self, "neighbours", 1)


class RP3Beta(ItemWeights):
    """Where a random walk user → item → user → item ends, discounted by popularity.

    With P_iv = 1 / (users of i) and P_vj = 1 / (items of v) where v liked i and j:

        W[i, j] = sum over users v of  P_iv ** alpha * P_vj ** alpha / (users of j) ** beta

    and the score of a user sums W over the user's items. (The first step, 1 / (items of u), is
    the same for every j, so it is left out.)

    C. Cooper, S. H. Lee, T. Radzik, Y. Siantos, "Random walks in recommender systems: exact
    computation and simulations", WWW 2014 (P3alpha); F. Christoffel, B. Paudel, C. Newell,
    A. Bernstein, "Blockbusters and wallflowers: accurate, diverse, and scalable recommendations
    with random walks", RecSys 2015, and B. Paudel and others, ACM TiiS 7(1), 2017, section 4
    (RP3beta).

    Use it as a baseline that is fitted in seconds and hard to beat on sparse data. EASE and SLIM
    do better where users have many events. Users without events and items that nobody liked
    connect to nothing.
    """

    name: ClassVar[str] = "rp3beta"
    config_type: ClassVar[type[Struct]] = RP3BetaConfig
    space: ClassVar[Space] = {
        "alpha": Range(0.1, 2.0),
        "beta": Range(0.0, 1.2),
        "neighbours": Range(20, 1000, log=True),
    }

    def _learn(self, data: Dataset, progress: Progress) -> Rows:
        """O(sum over users of (their items) squared) time; the full product is never held."""
        liked = liked_matrix(data).astype(np.float64)
        of_user = np.asarray(liked.sum(axis=1), dtype=np.float64)
        of_item = np.asarray(liked.sum(axis=0), dtype=np.float64)
        step_back = _power(of_item, -self.config.alpha)
        step_on = _power(of_user, -self.config.alpha)
        discount = _power(of_item, -self.config.beta)
        edges = product_edges(
            rows_of(sparse.diags_array(step_back) @ liked.T),
            rows_of(sparse.diags_array(step_on) @ liked @ sparse.diags_array(discount)),
            data.n_items,
            top_k=self.config.neighbours,
        )
        progress(1, 1, "done")
        return edges


def _power(counts: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    """Raise counts to a power; 0 stays 0, since it multiplies nothing."""
    powers: NDArray[np.float64] = np.where(counts > 0, np.maximum(counts, 1.0) ** exponent, 0.0)
    return powers
