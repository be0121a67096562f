"""EASE: weights between items, learned by ridge regression in closed form."""

from typing import Any, ClassVar, Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from nearline.common.progress import Progress, no_progress
from nearline.common.scipy import scipy_module
from nearline.data.dataset import Dataset, FloatArray, Histories
from nearline.errors import InvalidInput
from nearline.kernels.edges import Rows
from nearline.kernels.row_sums import row_sums
from nearline.models.array_checks import check_array
from nearline.models.base import ModelPart, Range, Space, check_single
from nearline.models.dense_scores import DenseModel
from nearline.models.item_weights import liked_matrix, liked_once
from nearline.models.settings import require

# Bytes per pair of items: the Gram matrix, which is inverted in place, in double precision, and the
# weights in single precision.
BYTES_A_PAIR = 8 + 4


class EaseConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `Ease`.

    Attributes
    ----------
    l2 : float
        Ridge penalty, as a number of users; above 0. Sparse data requires a larger penalty.
    max_items : int
        Maximum number of items. Training takes 12 bytes per pair of items (4.8 GB for 20,000
        items), and serving 4 bytes (1.6 GB).
    """

    l2: float = 200.0
    max_items: int = 20_000

    def __post_init__(self) -> None:
        require(self, "l2", 0, 1e12, above=True)
        require(self, "max_items", 1, 100_000)


class Ease(DenseModel):
    """A linear autoencoder in which items do not predict themselves.

    With X the binary user-item matrix and P = (X'X + l2 I)^-1:

        W[i, j] = -P[i, j] / P[j, j],  W[j, j] = 0;    score(u, j) = sum over liked i: W[i, j]

    which minimises |X - XW|^2 + l2 |W|^2 with a zero diagonal.

    H. Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019, section 3.1.

    Use it for catalogues of up to about ten thousand items: it is among the most accurate models
    there and has one setting. Negative weights represent evidence against an item. For larger
    catalogues than `EaseConfig.max_items`, use `slim`. The order of events is not used.

    Only items with a score above zero are listed. Training takes O(n_items^3) time on one thread,
    so that the number of cores does not change the bits; scoring a user takes O(liked items *
    n_items).
    """

    name: ClassVar[str] = "ease"
    config_type: ClassVar[type[Struct]] = EaseConfig
    _floor = 0.0
    space: ClassVar[Space] = {"l2": Range(1.0, 5_000.0, log=True)}

    def __init__(self, config: Struct | None = None) -> None:
        super().__init__(config)
        self._weights: FloatArray = np.zeros((0, 0), dtype=np.float32)

    def fit(
        self,
        data: Dataset,
        *,
        validation: Histories | None = None,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Self:
        """Compute the weights by inverting the Gram matrix; `seed` and `validation` are not used.

        Raises
        ------
        InvalidInput
            The catalogue is larger than `max_items`, or a weight is not finite.
        MissingExtra
            SciPy is not installed. It is not needed to load and use a trained model.
        """
        del validation, seed
        n = data.n_items
        if n > self.config.max_items:
            raise InvalidInput(
                f"there are {n:,} items and EASE takes at most {self.config.max_items:,}: it would "
                f"need {BYTES_A_PAIR * n * n / 2**30:.0f} GiB. Use the model 'slim', or raise "
                "max_items if the memory is there",
                field="max_items",
            )
        liked = liked_matrix(data).astype(np.float64)
        self._weights = weights_from_gram(liked.T.dense_product(liked), self.config.l2)
        self.fitted_on = data.histories
        progress(1, 1, "done")
        return self

    @property
    def n_items(self) -> int:
        """Number of items that the model can score."""
        return len(self._weights)

    def score_many(self, histories: Histories) -> FloatArray:
        """Return the scores of all items: float32 [n_users, n_items], 0 without known items."""
        rows = Rows(histories.indptr, histories.items, liked_once(histories))
        return row_sums(self._weights, rows)

    def explain(self, history: Histories, item: int) -> list[ModelPart]:
        """Return the entry of W for each liked item, oldest event first, as a part of the score."""
        check_single(history)
        if not 0 <= item < self.n_items:
            return []
        events = np.flatnonzero((liked_once(history) > 0) & (history.items < self.n_items))
        amounts = self._weights[history.items[events], item]
        return [
            ModelPart(int(event), self.name, float(amount))
            for event, amount in zip(events, amounts, strict=True)
            if amount
        ]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the weights W: float32 [n_items, n_items]."""
        return {"weights": self._weights}

    def _load(self, arrays: dict[str, NDArray[Any]]) -> None:
        n_items = len(arrays["weights"])
        self._weights = check_array(arrays, "weights", "float32", n_items, n_items)


def weights_from_gram(gram: NDArray[np.float64], l2: float) -> FloatArray:
    """Compute the weights of EASE: float32 [n, n], zero for items that nobody liked.

    Parameters
    ----------
    gram : float64 [n, n]
        Gram matrix X'X, which is overwritten.
    l2 : float
        Ridge penalty.

    Raises
    ------
    InvalidInput
        The regularised matrix is not positive definite.
    MissingExtra
        SciPy is not installed.
    """
    lapack = scipy_module("scipy.linalg.lapack", "training the model ease")
    n = len(gram)
    if n == 0:
        return np.zeros((0, 0), dtype=np.float32)
    gram[np.diag_indices(n)] += l2
    # With several threads of BLAS, the last bits would depend on their number.
    with threadpool_limits(limits=1, user_api="blas"):
        # The transpose is the same matrix in LAPACK's memory order, which avoids a copy.
        factor, indefinite = lapack.dpotrf(gram.T, lower=True, overwrite_a=True)
        inverse, failed = lapack.dpotri(factor, lower=True, overwrite_c=True)
    if indefinite or failed:
        raise InvalidInput(f"the Gram matrix is singular with l2={l2:g}; raise l2", field="l2")
    for i in range(n):
        inverse[i, i + 1 :] = inverse[i + 1 :, i]
    inverse /= -np.diag(inverse)
    np.fill_diagonal(inverse, 0.0)
    weights: FloatArray = np.ascontiguousarray(inverse, dtype=np.float32)
    return weights
