"""BPR: matrix factorisation that is trained to rank liked items above others."""

from typing import Any, ClassVar, Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nearline.common.progress import Progress, no_progress
from nearline.data.dataset import Dataset, FloatArray, Histories, IntArray
from nearline.errors import InvalidInput
from nearline.kernels.csr import Csr
from nearline.kernels.edges import Rows
from nearline.kernels.pairwise import fold_in_pairs, pair_epoch
from nearline.kernels.row_sums import dense_rows, row_sums
from nearline.models.array_checks import check_array, check_indices
from nearline.models.base import Range, Ranking, Space
from nearline.models.dense_scores import DenseModel, rank_dense
from nearline.models.item_weights import liked_matrix, liked_once
from nearline.models.settings import require, require_one_of

# Number of rows of negative candidates for fold-in, more than the steps of most users.
FOLD_IN_DRAWS = 4096


class BprConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `Bpr`.

    Attributes
    ----------
    factors : int
        Number of factors.
    epochs : int
        Number of passes over all liked items.
    rate : float
        Initial learning rate, which decreases linearly to almost zero.
    l2 : float
        Penalty on factors and biases.
    negatives : str
        Distribution of negative items: ``uniform``, or ``popularity`` for the numbers of events.
    hardest_of : int
        Number of negatives drawn in each step, of which the one with the highest score is used
        (dynamic negative sampling); 1 is the method of the BPR paper.
    fold_in_passes : int
        Number of passes over a user's items to compute the user's factors.
    """

    factors: int = 64
    epochs: int = 60
    rate: float = 0.05
    l2: float = 0.03
    negatives: str = "uniform"
    hardest_of: int = 3
    fold_in_passes: int = 20

    def __post_init__(self) -> None:
        require(self, "factors", 1, 1_024)
        require(self, "epochs", 1, 10_000)
        require(self, "hardest_of", 1, 1_000)
        require(self, "fold_in_passes", 1, 10_000)
        require(self, "rate", 0, 1, above=True)
        require(self, "l2", 0, 10)
        require_one_of(self, "negatives", ("uniform", "popularity"))


class Bpr(DenseModel):
    """Bayesian personalised ranking by stochastic gradient descent.

    score(u, i) = p_u . q_i + b_i, learned from pairs of an item i that u liked and an item j that u
    did not:

        minimise  sum -ln sigmoid(score(u, i) - score(u, j)) + l2 / 2 * (squared factors, biases)

    S. Rendle, C. Freudenthaler, Z. Gantner, L. Schmidt-Thieme, "BPR: Bayesian personalized ranking
    from implicit feedback", UAI 2009, section 4 (LearnBPR, matrix factorisation). Taking the
    hardest of a few negatives: W. Zhang, T. Chen, J. Wang, Y. Yu, "Optimizing top-N collaborative
    filtering via dynamic negative item sampling", SIGIR 2013.

    Use it for large catalogues if the order of a short list matters, or as a standard baseline.
    EASE and SLIM are more accurate on small catalogues. The order of events is not used, and scores
    are not sums over a history, so `explain` returns a single part.

    No user factors are stored: p_u is learned for each request from the user's liked items by the
    same steps with fixed item factors, so a new event counts at once. A user without known items
    gets the items with the largest bias, which are popular.

    Training takes O(epochs * events * hardest_of * factors) time on one thread.
    """

    name: ClassVar[str] = "bpr"
    config_type: ClassVar[type[Struct]] = BprConfig
    space: ClassVar[Space] = {
        "factors": Range(16, 128, log=True),
        "epochs": Range(10, 100, log=True),
        "rate": Range(0.005, 0.2, log=True),
        "l2": Range(1e-4, 0.1, log=True),
        "negatives": ("uniform", "popularity"),
        "hardest_of": Range(1, 5),
    }

    def __init__(self, config: Struct | None = None) -> None:
        super().__init__(config)
        empty = np.zeros((0, self.config.factors), dtype=np.float32)
        self._set(empty, np.zeros(0, np.float32), np.zeros((0, 1), np.int32))

    def fit(
        self,
        data: Dataset,
        *,
        validation: Histories | None = None,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Self:
        """Learn item factors; `validation` is not used.

        Raises
        ------
        InvalidInput
            The learning rate made the factors diverge, or a weight is not finite.
        """
        del validation
        config = self.config
        rng = np.random.default_rng(seed)
        liked = liked_matrix(data).to_rows()
        users, items = (
            (rng.standard_normal((n, config.factors)) / np.sqrt(config.factors)).astype(np.float32)
            * np.float32(0.1)
            for n in (data.n_users, data.n_items)
        )
        biases = np.zeros(data.n_items, dtype=np.float32)
        user_of = np.repeat(np.arange(data.n_users, dtype=np.int32), np.diff(liked.indptr))
        for epoch in range(config.epochs):
            progress(epoch, config.epochs, "epochs")
            order = rng.permutation(len(liked.items))
            negatives = self._draw(liked, data.n_items, len(order), rng)
            rate = config.rate * (1.0 - epoch / config.epochs)
            pair_epoch(liked, order, user_of, negatives, users, items, biases, rate, config.l2)
        if not (np.isfinite(items).all() and np.isfinite(biases).all()):
            raise InvalidInput(
                f"the factors diverged with rate={config.rate:g}; lower it",
                field="rate",
            )
        self._set(items, biases, self._draw(liked, data.n_items, FOLD_IN_DRAWS, rng))
        self.fitted_on = data.histories
        progress(config.epochs, config.epochs, "done")
        return self

    @property
    def n_items(self) -> int:
        """Number of items that the model can score."""
        return len(self._biases)

    def user_factors(self, histories: Histories) -> FloatArray:
        """Compute the factors of users from their liked items: float32 [n_users, factors]."""
        rows = np.repeat(np.arange(len(histories)), np.diff(histories.indptr))
        kept = np.flatnonzero((liked_once(histories) > 0) & (histories.items < self.n_items))
        ones, shape = np.ones(len(kept), np.float32), (len(histories), max(self.n_items, 1))
        liked = Csr.from_pairs(ones, rows[kept], histories.items[kept], shape)
        return fold_in_pairs(
            liked.to_rows(),
            self._draws,
            self._items,
            self._biases,
            passes=self.config.fold_in_passes,
            rate=self.config.rate,
            l2=self.config.l2,
        )

    def score_many(self, histories: Histories) -> FloatArray:
        """Return the scores of all items for each history: float32 [n_users, n_items]."""
        ones = np.ones((len(histories), 1), dtype=np.float32)
        return row_sums(self._columns, dense_rows(np.hstack((self.user_factors(histories), ones))))

    def similar(self, items: IntArray, k: int) -> Ranking:
        """Return the `k` items whose factors have the largest cosine; biases are not used."""
        lengths = np.linalg.norm(self._items.astype(np.float64), axis=1, keepdims=True)
        unit = (self._items / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
        columns = np.ascontiguousarray(unit.T)
        asked = Histories.from_rows([[int(item)] for item in items])
        return rank_dense(
            lambda block: row_sums(columns, dense_rows(unit[block.items])),
            asked,
            k,
            self.n_items,
            exclude_seen=True,
            allowed=None,
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return item factors and biases, and the negatives used by fold-in."""
        return {"items": self._items, "biases": self._biases, "draws": self._draws}

    def _load(self, arrays: dict[str, NDArray[Any]]) -> None:
        items = check_array(arrays, "items", "float32", None, self.config.factors)
        biases = check_array(arrays, "biases", "float32", len(items))
        draws = check_array(arrays, "draws", "int32", None, None)
        check_indices("draws", draws, len(items))
        self._set(items, biases, draws)

    def _draw(self, liked: Rows, n_items: int, n: int, rng: np.random.Generator) -> IntArray:
        """Draw candidates for the negative items of n steps: int32 [n, hardest_of]."""
        shape = (n, self.config.hardest_of)
        if len(liked.items) == 0:
            return np.zeros((n, 0), dtype=np.int32)
        if self.config.negatives == "uniform":
            return rng.integers(n_items, size=shape, dtype=np.int32)
        return liked.items[rng.integers(len(liked.items), size=shape)]

    def _set(self, items: FloatArray, biases: FloatArray, draws: IntArray) -> None:
        self._items, self._biases, self._draws = items, biases, draws
        # A row per factor and one for the biases: scores are sums of rows.
        self._columns = np.ascontiguousarray(np.vstack((items.T, biases[None, :])))
