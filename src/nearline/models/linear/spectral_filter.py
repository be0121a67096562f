"""Spectral filter: a linear and an ideal low-pass filter on the graph of users and items."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from nearline.common.progress import Progress, no_progress
from nearline.data.dataset import Dataset, FloatArray, Histories
from nearline.kernels.csr import Csr
from nearline.kernels.edges import Rows, pack, product_edges
from nearline.kernels.scoring import score_rows
from nearline.models.base import ModelPart, Range, Space, check_single, check_validation
from nearline.models.dense_scores import DenseModel
from nearline.models.item_weights import liked_matrix, liked_once, weights_graph
from nearline.models.settings import require
from nearline.models.validation import draw_users, mean_ndcg

# Random columns beyond the number of factors, and power iterations, of the decomposition.
OVERSAMPLED, POWER_STEPS = 16, 4
# Length of the lists by which settings are chosen, and minimum number of users.
CUTOFF, FEWEST_USERS = 10, 100
# Values that a fit with validation data tries, one setting after the other.
GRID: Mapping[str, tuple[float, ...]] = {
    "alpha": (0.0, 0.1, 0.3, 0.6, 1.0),
    "linear_shift": (0.0, 0.1, 0.2, 0.3),
    "factors": (64, 128, 256),
    "spectral_shift": (0.3, 0.5),
}


class SpectralFilterConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `SpectralFilter`.

    Attributes
    ----------
    alpha : float
        Weight of the low-pass filter, relative to the linear filter.
    factors : int
        Number of singular vectors of the low-pass filter.
    linear_shift, spectral_shift : float
        Exponents a and b of ``(n_j / n_i) ** a``, by which the entry (i, j) of each filter is
        multiplied; n is the number of users of an item. Larger values favour popular items.
    neighbours : int
        Maximum number of entries of the linear filter in a row.
    sample : int
        Maximum number of users on which a fit with validation data evaluates the other settings.
    """

    alpha: float = 0.3
    factors: int = 256
    linear_shift: float = 0.2
    spectral_shift: float = 0.5
    neighbours: int = 600
    sample: int = 1_500

    def __post_init__(self) -> None:
        require(self, "alpha", 0, 1e6)
        require(self, "factors", 1, 10_000)
        require(self, "linear_shift", -5, 5)
        require(self, "spectral_shift", -5, 5)
        require(self, "neighbours", 1, 100_000)
        require(self, "sample", 1, 1_000_000)


class SpectralFilter(DenseModel):
    """Score items by the neighbours of a user's items and by the main directions of all histories.

    With R the binary user-item matrix, whose entries are divided by the square roots of the numbers
    of items of the user and of users of the item, and V its first right singular vectors:

        W[i, j] = (R'R)[i, j] * (n_j / n_i) ** a  +  alpha * (VV')[i, j] * (n_j / n_i) ** b

    and score(u, j) is the sum of W[i, j] over the items i that u liked.

    Y. Shen and others, "How powerful is graph convolution for recommendation?", CIKM 2021 (GF-CF),
    in which a is 0 and b is 0.5. Singular vectors are computed by randomised subspace iteration:
    N. Halko, P. Martinsson, J. Tropp, "Finding structure with randomness", SIAM Review 53(2), 2011.

    Use it for users whose interactions have no order, in particular if the catalogue is too large
    for `ease`. New items have no entries, and only items with a score above zero are listed.
    Training takes seconds to minutes; the time for a list is O(factors * n_items).
    """

    name: ClassVar[str] = "spectral_filter"
    config_type: ClassVar[type[Struct]] = SpectralFilterConfig
    _floor = 0.0
    tunes_itself: ClassVar[bool] = True
    space: ClassVar[Space] = {
        "alpha": Range(0.01, 3.0, log=True),
        "factors": Range(16, 512, log=True),
        "linear_shift": Range(0.0, 0.5),
        "spectral_shift": Range(0.0, 1.0),
    }

    def __init__(self, config: Struct | None = None) -> None:
        super().__init__(config)
        self._set(pack([]), np.zeros((0, 0), np.float32), np.zeros(0, np.float32))

    def fit(
        self,
        data: Dataset,
        *,
        validation: Histories | None = None,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Self:
        """Compute both filters; with `validation`, choose the settings in `GRID` by NDCG@10.

        They are only chosen if there are at least 100 users with targets.
        """
        source = _Source(data, self.config, seed, searched=validation is not None)
        self._use(source)
        self.fitted_on = data.histories
        if validation is not None:
            check_validation(validation, data)
            users = draw_users(validation, self.config.sample, seed)
            if len(users) >= FEWEST_USERS:
                self._choose(
                    source, data.histories.select(users), validation.select(users), progress
                )
        progress(1, 1, "done")
        return self

    def _choose(
        self, source: "_Source", histories: Histories, truth: Histories, progress: Progress
    ) -> None:
        def quality(config: SpectralFilterConfig) -> float:
            self.config = config
            self._use(source)
            return mean_ndcg(self.recommend_from(histories, CUTOFF).items, truth)

        best = self.config
        top = quality(best)
        for done, (name, values) in enumerate(GRID.items()):
            progress(done, len(GRID), name)
            for value in values:
                other = replace(best, **{name: value})
                if other != best and (found := quality(other)) > top:
                    best, top = other, found
        self.config = best
        self._use(source)

    @property
    def n_items(self) -> int:
        """Number of items that the model can score."""
        return len(self._users_of)

    def score_many(self, histories: Histories) -> FloatArray:
        """Return the scores of all items: float32 [n_users, n_items], 0 without known items."""
        rows = Rows(histories.indptr, histories.items, liked_once(histories))
        scores = score_rows(self._graph, rows)
        if self.config.alpha == 0:
            return scores
        known = (rows.items >= 0) & (rows.items < self.n_items) & (rows.weights > 0)
        before = np.concatenate(([0], np.cumsum(known)))
        liked = Csr(
            rows.weights[known],
            rows.items[known],
            before[rows.indptr],
            (len(histories), self.n_items),
        )
        scores += (liked @ self._left) @ self._right.T
        return scores

    def explain(self, history: Histories, item: int) -> list[ModelPart]:
        """Return the entry of W for each liked item, oldest event first, as a part of the score."""
        check_single(history)
        if not 0 <= item < self.n_items:
            return []
        parts = []
        for event in np.flatnonzero((liked_once(history) > 0) & (history.items < self.n_items)):
            source = history.items[event]
            if source < 0:
                continue
            row = slice(self._linear.indptr[source], self._linear.indptr[source + 1])
            near = self._linear.weights[row][self._linear.items[row] == item].sum()
            amount = float(near) + float(self._left[source] @ self._right[item])
            if amount:
                parts.append(ModelPart(int(event), self.name, amount))
        return parts

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the linear filter as a sparse matrix, V and the number of users of each item."""
        return {
            "indptr": self._linear.indptr,
            "items": self._linear.items,
            "weights": self._linear.weights,
            "vectors": self._vectors,
            "users_of": self._users_of,
        }

    def _load(self, arrays: dict[str, NDArray[Any]]) -> None:
        linear = Rows(arrays["indptr"], arrays["items"], arrays["weights"])
        self._set(linear, arrays["vectors"], arrays["users_of"])

    def _use(self, source: "_Source") -> None:
        config = self.config
        vectors = np.ascontiguousarray(source.vectors[:, : config.factors])
        self._set(source.linear(config), vectors, source.users_of)

    def _set(self, linear: Rows, vectors: FloatArray, users_of: FloatArray) -> None:
        self._linear, self._vectors, self._users_of = linear, vectors, users_of
        self._graph = weights_graph(linear)
        scale = np.maximum(users_of, 1.0)[:, None] ** np.float32(self.config.spectral_shift)
        self._left = vectors / scale
        # An item without users has no entries.
        alpha = np.float32(self.config.alpha)
        self._right = alpha * vectors * np.where(users_of[:, None] > 0, scale, np.float32(0.0))


class _Source:
    """Normalised interactions, from which both filters are computed for different settings."""

    def __init__(
        self, data: Dataset, config: SpectralFilterConfig, seed: int, *, searched: bool
    ) -> None:
        liked = liked_matrix(data).astype(np.float64)
        items_of = np.maximum(liked.sum(axis=1), 1.0)
        users_of = liked.sum(axis=0)
        self.users_of: FloatArray = users_of.astype(np.float32)
        self._n = np.maximum(users_of, 1.0)
        self._matrix = liked.scaled(items_of**-0.5, self._n**-0.5)
        largest = max(config.factors, int(max(GRID["factors"])) if searched else 0)
        self.vectors = singular_vectors(self._matrix, largest, seed)
        self._kept: tuple[tuple[float, int], Rows] | None = None

    def linear(self, config: SpectralFilterConfig) -> Rows:
        """Return the linear filter for some settings."""
        key = config.linear_shift, config.neighbours
        if self._kept is None or self._kept[0] != key:
            down, up = self._n**-config.linear_shift, self._n**config.linear_shift
            rows = product_edges(
                self._matrix.T.scaled(down).to_rows(),
                self._matrix.scaled(columns=up).to_rows(),
                len(self._n),
                top_k=config.neighbours,
            )
            self._kept = key, rows
        return self._kept[1]


def singular_vectors(matrix: Csr, k: int, seed: int) -> FloatArray:
    """Compute the first right singular vectors of a matrix, which are equal for equal seeds.

    Parameters
    ----------
    matrix : Csr [n, m]
        The matrix.
    k : int
        Number of vectors; at most as many as the shorter side of the matrix are returned.
    seed : int
        Seed of the random start.

    Returns
    -------
    float32 [m, k]
        One column for each vector.
    """
    width = min(k + OVERSAMPLED, *matrix.shape)
    if width == 0:
        return np.zeros((matrix.shape[1], 0), dtype=np.float32)
    matrix = matrix.astype(np.float32)
    turned = matrix.T
    start = np.random.default_rng(seed).normal(size=(matrix.shape[1], width)).astype(np.float32)
    # With several threads of BLAS, the last bits would depend on their number.
    with threadpool_limits(limits=1, user_api="blas"):
        basis = np.linalg.qr(matrix @ start)[0]
        for _ in range(POWER_STEPS):
            basis = np.linalg.qr(matrix @ np.linalg.qr(turned @ basis)[0])[0]
        found = np.linalg.svd(turned @ basis, full_matrices=False)[0]
    vectors: FloatArray = np.ascontiguousarray(found[:, : min(k, width)], dtype=np.float32)
    return vectors
