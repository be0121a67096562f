"""Neural collaborative filtering: a network that scores pairs of a user and an item.

    p_u = sum of r_j over the liked items j of u / sqrt(number of liked items)

    gmf: h . (p_u * q_i)        mlp: perceptron(p_u, q_i)        neumf: gmf + mlp

p_u is the vector of user u, and r_j and q_i are the input and output vectors of items. Users are
represented by their liked items instead of IDs, so that the network can score any history.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nearline.common.progress import Progress, no_progress
from nearline.data.dataset import Dataset, FloatArray, Histories
from nearline.errors import InvalidInput
from nearline.kernels.csr import Csr
from nearline.models.base import Range, Space, check_weights
from nearline.models.sequence.neural_model import NeuralModel
from nearline.models.sequence.training_config import TrainingConfig
from nearline.models.settings import require, require_each, require_one_of

# Maps vectors of users, float32 [n, d], and of items, float32 [m, d], to scores, float32 [n, m].
Score = Callable[[FloatArray, FloatArray], FloatArray]

# Number of pairs that are scored at a time.
PAIRS = 1 << 16
K = 10


class NcfConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `Ncf`.

    Attributes
    ----------
    kind : str
        ``gmf``, ``mlp`` or ``neumf``: an inner product with learned weights, a perceptron, or both.
    width : int
        Size of the vectors of users and items in each of the two parts.
    hidden : tuple of int
        Units of each layer of the perceptron.
    negatives : int
        Number of negatives per liked item, sampled uniformly from items that the user did not like.
    dropout : float
        Dropout probability.
    training : TrainingConfig
        Settings of the training loop.
    """

    kind: str = "neumf"
    width: int = 32
    hidden: tuple[int, ...] = (64, 32, 16)
    negatives: int = 4
    dropout: float = 0.2
    training: TrainingConfig = TrainingConfig(rate=0.003)

    def __post_init__(self) -> None:
        require_one_of(self, "kind", ("neumf", "gmf", "mlp"))
        require(self, "width", 1, 4_096)
        require(self, "negatives", 1, 1_000)
        require(self, "dropout", 0, 1)
        if self.dropout == 1:
            raise InvalidInput("dropout is 1; it must be below 1", field="dropout")
        require_each(self, "hidden", 1, 8_192, most=16)
        if not self.hidden or min(self.hidden) < 1:
            raise InvalidInput(
                f"hidden is {self.hidden}; give at least one layer, each with at least 1 unit",
                field="hidden",
            )


class Ncf(NeuralModel):
    """Generalised matrix factorisation, a perceptron over user and item, or both.

    X. He, L. Liao, H. Zhang, L. Nie, X. Hu, T.-S. Chua, "Neural collaborative filtering", WWW 2017.
    The input of the paper is any vector that describes a user (section 3.1). Here it is the sum of
    the liked items divided by the square root of their number, during training without the item to
    be predicted: Y. Koren, "Factorization meets the neighborhood", KDD 2008, equation 14.

    A list costs one evaluation of the network per item.
    """

    name: ClassVar[str] = "ncf"
    config_type: ClassVar[type[Struct]] = NcfConfig
    space: ClassVar[Space] = {
        "kind": ("neumf", "gmf", "mlp"),
        "width": Range(8, 128, log=True),
        "negatives": Range(1, 16, log=True),
        "dropout": Range(0.0, 0.6),
        "training.rate": Range(0.0005, 0.01, log=True),
        "training.weight_decay": Range(0.001, 1.0, log=True),
    }

    def __init__(self, config: Struct | None = None) -> None:
        super().__init__(config)
        self._read = self._table

    def fit(
        self,
        data: Dataset,
        *,
        validation: Histories | None = None,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Self:
        """Train the network and its input and output vectors of items.

        With `validation`, the number of epochs is chosen by NDCG@10 and stored in the settings.

        Raises
        ------
        MissingExtra
            PyTorch or the packages for exporting its networks are not installed.
        InvalidInput
            A weight is not finite, or the loss diverged.
        """
        from nearline.neural.pairs import Interaction, Taken, fit_pairs

        config = self.config
        taken = liked_sets(data.histories, data.n_items)
        fitted = fit_pairs(
            lambda: Interaction(
                config.kind, config.width, hidden=config.hidden, dropout=config.dropout
            ),
            Taken(taken.indptr, taken.indices.astype(np.int64), data.n_items),
            self._plan(),
            width=config.width * (2 if config.kind == "neumf" else 1),
            negatives=config.negatives,
            batch=config.training.batch,
            seed=seed,
            judge=self._judge(data, validation, seed),
            progress=progress,
        )
        self._read, self._table = fitted.read, fitted.table
        self._set_fitted(fitted.graph, fitted.epochs, taken.indices, data)
        return self

    def score_many(self, histories: Histories) -> FloatArray:
        """Return the log-odds that users like items: float32 [n_users, n_items]."""
        return self._scores(histories, self._score, self._read, self._table)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the graph, the vectors of items and the popularity of items."""
        return {
            "graph": self._bytes,
            "read": self._read,
            "table": self._table,
            "popularity": self._popularity,
        }

    def _load(self, arrays: dict[str, NDArray[Any]]) -> None:
        self._read, self._table = arrays["read"], arrays["table"]
        self._popularity = arrays["popularity"]
        self._set_graph(arrays["graph"])

    def _score(self, users: FloatArray, items: FloatArray) -> FloatArray:
        if self._graph is None:
            return np.zeros((len(users), len(items)), dtype=np.float32)
        return self._graph(users=users, items=items)[0]

    def _scores(self, histories: Histories, *network: Any) -> FloatArray:
        """Return scores by the network or, for users without liked items, by popularity."""
        score, read, table = network
        taken = liked_sets(histories, len(table))
        sizes = np.diff(taken.indptr)
        found = np.empty((len(histories), len(table)), dtype=np.float32)
        found[:] = self._popularity
        rows = np.flatnonzero(sizes)
        roots = np.sqrt(sizes[rows].astype(np.float32))
        users = np.asarray((taken.take(rows) @ read) / roots[:, None], dtype=np.float32)
        size = max(1, PAIRS // max(len(table), 1))
        for first in range(0, len(rows), size):
            some = slice(first, first + size)
            for column in range(0, len(table), PAIRS):
                block = slice(column, column + PAIRS)
                found[rows[some], block] = score(users[some], table[block])
        return found


def liked_sets(histories: Histories, n_items: int) -> Csr:
    """Return the matrix of liked items: [n_users, n_items], with 1 for a positive weight."""
    check_weights(histories)
    known = (histories.items >= 0) & (histories.items < n_items) & (histories.weights > 0)
    rows = np.repeat(np.arange(len(histories)), np.diff(histories.indptr))[known]
    ones = np.ones(len(rows), dtype=np.float32)
    shape = (len(histories), n_items)
    found = Csr.from_pairs(ones, rows, histories.items[known], shape)
    return found.map(np.ones_like)
