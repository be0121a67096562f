"""Truncated singular value decomposition of the matrix of ratings."""

from typing import Any, ClassVar

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from nearline.common.progress import Progress
from nearline.data.dataset import Dataset, Histories
from nearline.kernels.csr import Csr
from nearline.kernels.ridge import Doubles
from nearline.models.base import ModelPart, Range, Space, check_single
from nearline.models.factors.factor_model import FactorModel, Users
from nearline.models.settings import require, require_one_of
from nearline.models.truncated_svd import truncated_svd

CENTRES = ("none", "global", "user", "item")

# Number of matrix entries up to which a dense decomposition is faster than Lanczos iterations.
DENSE_CELLS = 10_000


class SvdConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `Svd`.

    Attributes
    ----------
    factors : int
        Number of singular values; it is reduced to the number of users or items if there are fewer.
    centre : str
        Number that is first subtracted from each rating, so that a missing rating, which counts as
        0, is like an average one: ``none``, ``global`` (the mean), or ``user`` or ``item`` (the
        mean of that user or item).
    """

    factors: int = 16
    centre: str = "user"

    def __post_init__(self) -> None:
        require(self, "factors", 1, 1_024)
        require_one_of(self, "centre", CENTRES)


class Svd(FactorModel):
    """The best approximation of the (centred) rating matrix by a matrix of rank f.

        R - C = U S V^T,   r^_ui = c_ui + ((R - C)_u V) . v_i

    where C is the centre and missing entries of R - C are 0; the f largest singular values are
    kept. A history is folded in by projection on V; for users of the training data this gives U S.

    C. Eckart, G. Young, "The approximation of one matrix by another of lower rank", Psychometrika
    1(3), 1936; for lists, PureSVD in P. Cremonesi, Y. Koren, R. Turrin, "Performance of recommender
    algorithms on top-N recommendation tasks", RecSys 2010, section 3.2; folding in as in B. Sarwar
    and others, "Incremental singular value decomposition algorithms", 2002.

    Use it for top-N lists from ratings without tuning (centre `none` or `user`), or if the whole
    matrix is known. Do not use it to predict ratings of a sparse matrix, as it treats missing
    ratings as average; use `als`.

    Notes
    -----
    Lanczos iterations (ARPACK) cost O(f (ratings + (users + items) f)). Matrices of up to 10,000
    cells, and decompositions of full rank, are computed densely. One thread, for equal bits.
    """

    name: ClassVar[str] = "svd"
    config_type: ClassVar[type[Struct]] = SvdConfig
    space: ClassVar[Space] = {"factors": Range(2, 256, log=True), "centre": CENTRES}

    def _learn(self, rated: Dataset, seed: int, progress: Progress) -> None:
        self.item_biases = self._item_means(rated)
        self.item_factors = np.zeros((rated.n_items, 1))
        with threadpool_limits(1, user_api="blas"):
            matrix, _ = self._centred(rated.histories)
            self.item_factors = _right_vectors(matrix, self.config.factors, seed)
        progress(1, 1, "done")

    def rebuild(self, histories: Histories) -> Doubles:
        """Return rows of the approximated rating matrix for n histories: float64 [n, n_items]."""
        users = self.user_factors(histories)
        rows: Doubles = users.factors @ self.item_factors.T
        return rows + users.biases[:, None] + self.item_biases + self.mean

    def explain(self, history: Histories, item: int) -> list[ModelPart]:
        """Return parts of the score of `item`: the centre, and ``(r_h - c_h) v_h . v_item``.

        The latter is the part of each rating r_h, of an item with centre c_h and vector v_h.
        """
        check_single(history)
        if not 0 <= item < self.n_items:
            return []
        known = np.flatnonzero((history.items >= 0) & (history.items < self.n_items))
        _, last = np.unique(history.items[known][::-1], return_index=True)
        known = np.sort(known[len(known) - 1 - last])
        bias = float(self.user_factors(history).biases[0])
        items = history.items[known]
        left = history.weights[known] - self.mean - bias - self.item_biases[items]
        amounts = left * (self.item_factors[items] @ self.item_factors[item])
        centre = self.mean + bias + float(self.item_biases[item])
        return [
            ModelPart(-1, "centre", centre),
            *(
                ModelPart(int(at), self.name, float(amount))
                for at, amount in zip(known, amounts, strict=True)
            ),
        ]

    def _learn_scale(self, ratings: NDArray[np.floating]) -> None:
        super()._learn_scale(ratings)
        if self.config.centre == "none":
            self.mean = 0.0

    def _item_means(self, data: Dataset) -> Doubles:
        if self.config.centre != "item":
            return np.zeros(data.n_items)
        items = data.histories.items
        left = data.histories.weights.astype(np.float64) - self.mean
        counts = np.bincount(items, minlength=data.n_items)
        sums: Doubles = np.bincount(items, left, minlength=data.n_items).astype(np.float64)
        return sums / np.maximum(counts, 1)

    def _centred(self, histories: Histories) -> tuple[Csr, Doubles]:
        """Return the matrix R - C, and the bias of each user that is part of C.

        Of several ratings of an item by a user, the newest is used.
        """
        n, n_items = len(histories), self.n_items
        rows = np.repeat(np.arange(n), np.diff(histories.indptr))
        key = rows * n_items + histories.items
        _, last = np.unique(key[::-1], return_index=True)
        newest = len(key) - 1 - last
        rows, items = rows[newest], histories.items[newest]
        values = histories.weights[newest].astype(np.float64) - self.mean - self.item_biases[items]
        biases = np.zeros(n)
        if self.config.centre == "user":
            counts = np.bincount(rows, minlength=n)
            biases = np.bincount(rows, values, minlength=n) / np.maximum(counts, 1)
        values = values - biases[rows]
        return Csr.from_pairs(values, rows, items, (n, n_items)), biases

    def _fold_in(self, histories: Histories) -> Users:
        matrix, biases = self._centred(histories)
        return Users(matrix @ self.item_factors, biases)


def _right_vectors(matrix: Csr, factors: int, seed: int) -> Doubles:
    """Return the right singular vectors of the largest singular values: float64 [n_items, f]."""
    most = min(matrix.shape)
    rank = min(factors, most)
    if not matrix.data.any():
        # All entries are 0: every direction is equally good, and Lanczos iterations would fail.
        return np.eye(matrix.shape[1], rank)
    if rank == most or matrix.shape[0] * matrix.shape[1] <= DENSE_CELLS:
        right: Any = np.linalg.svd(matrix.toarray(), full_matrices=False)[2]
    else:
        start = np.random.default_rng(seed).uniform(-1.0, 1.0, most)
        right = truncated_svd(matrix, rank, start, "the model svd")[1]
    return np.ascontiguousarray(right[:rank].T)
