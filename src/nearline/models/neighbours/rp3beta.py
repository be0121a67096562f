"""RP3beta: a random walk of three steps between users and items, discounted by popularity."""

from typing import ClassVar

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nearline.common.progress import Progress
from nearline.data.dataset import Dataset
from nearline.kernels.edges import Rows, product_edges
from nearline.models.base import Range, Space
from nearline.models.item_weights import ItemWeights, liked_matrix
from nearline.models.settings import require


class RP3BetaConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `RP3Beta`.

    Attributes
    ----------
    alpha : float
        Exponent of the probability of each step, 0 to 3; 1 is the plain walk.
    beta : float
        Strength of the discount of popular items, 0 to 2: scores are divided by
        ``(users of j) ** beta``.
    neighbours : int
        Maximum number of entries of W in a row.
    """

    alpha: float = 1.0
    beta: float = 0.4
    neighbours: int = 200

    def __post_init__(self) -> None:
        require(self, "alpha", 0, 3)
        require(self, "beta", 0, 2)
        require(self, "neighbours", 1, 100_000)


class RP3Beta(ItemWeights):
    """Score items by the end of a random walk user → item → user → item.

    With P_iv = 1 / (users of i) and P_vj = 1 / (items of v) where v liked i and j:

        W[i, j] = sum over users v of  P_iv ** alpha * P_vj ** alpha / (users of j) ** beta

    and the score of a user sums W over the user's items. (The first step, 1 / (items of u), is
    the same for every j and therefore omitted.)

    C. Cooper, S. H. Lee, T. Radzik, Y. Siantos, "Random walks in recommender systems: exact
    computation and simulations", WWW 2014 (P3alpha); F. Christoffel, B. Paudel, C. Newell,
    A. Bernstein, "Blockbusters and wallflowers: accurate, diverse, and scalable recommendations
    with random walks", RecSys 2015, and B. Paudel and others, ACM TiiS 7(1), 2017, section 4
    (RP3beta).

    Use it as a baseline that trains in seconds and is hard to beat on sparse data. EASE and SLIM
    are better if users have many events. Users without events get no recommendations, and items
    that nobody liked are never recommended.
    """

    name: ClassVar[str] = "rp3beta"
    config_type: ClassVar[type[Struct]] = RP3BetaConfig
    space: ClassVar[Space] = {
        "alpha": Range(0.1, 2.0),
        "beta": Range(0.0, 1.2),
        "neighbours": Range(20, 1000, log=True),
    }

    def _learn(self, data: Dataset, progress: Progress) -> Rows:
        """Compute W, in time proportional to the sum of the squared numbers of users' items."""
        liked = liked_matrix(data).astype(np.float64)
        of_user = liked.sum(axis=1)
        of_item = liked.sum(axis=0)
        step_back = _power(of_item, -self.config.alpha)
        step_on = _power(of_user, -self.config.alpha)
        discount = _power(of_item, -self.config.beta)
        edges = product_edges(
            liked.T.scaled(step_back).to_rows(),
            liked.scaled(step_on, discount).to_rows(),
            data.n_items,
            top_k=self.config.neighbours,
        )
        progress(1, 1, "done")
        return edges


def _power(counts: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    """Return counts raised to a power, and 0 for a count of 0."""
    powers: NDArray[np.float64] = np.where(counts > 0, np.maximum(counts, 1.0) ** exponent, 0.0)
    return powers
