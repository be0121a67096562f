"""Common parts of the content-based models, which compare a user's interest vector with items.

    u = sum over the user's events, most recent first: 0.5 ** (age / half_life) * weight * f_item
    score(u, i) = cosine(u, f_i) = u . f_i / (|u| |f_i|)

where f_i is the vector of item i, of unit length, and the age of an event is the number of known
events after it. An item without features has a zero vector: it is never recommended and does not
change a user's interest.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple, Self, overload

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nearline.common.progress import Progress, no_progress
from nearline.data.dataset import Dataset, FloatArray, Histories
from nearline.errors import InvalidInput
from nearline.kernels.csr import Csr
from nearline.kernels.row_sums import dense_rows, row_sums
from nearline.models.base import ModelPart, check_single, check_weights
from nearline.models.dense_scores import DenseModel

# float32 [n_items, d], dense or sparse; each row has unit length or is zero.
Vectors = NDArray[np.float32] | Csr


class Events(NamedTuple):
    """Events with known items: position in the histories, row, item and decayed weight of each."""

    positions: NDArray[np.int64]
    rows: NDArray[np.int64]
    items: NDArray[np.int32]
    weights: NDArray[np.float64]


class InterestModel(DenseModel):
    """Abstract base class of the content-based models.

    A subclass implements `_encode`; its settings include `half_life` and `threshold`.
    """

    def __init__(self, config: Struct | None = None) -> None:
        super().__init__(config)
        self._floor = self.config.threshold
        self._set_vectors(np.zeros((0, 1), dtype=np.float32))

    @abstractmethod
    def _encode(self, data: Dataset, seed: int) -> Vectors:
        """Compute the vectors of all items: float32 [n_items, d]."""

    def fit(
        self,
        data: Dataset,
        *,
        validation: Histories | None = None,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Self:
        """Compute the vectors of the items. Interactions and `validation` are not used."""
        del validation
        check_weights(data.histories)
        self._set_vectors(self._encode(data, seed))
        self.fitted_on = data.histories
        progress(1, 1, "done")
        return self

    @property
    def n_items(self) -> int:
        """Number of items that the model can score."""
        return int(self._vectors.shape[0])

    @property
    def vectors(self) -> Vectors:
        """Vectors of the items, float32 [n_items, d]; each has unit length or is zero."""
        return self._vectors

    def interest(self, histories: Histories) -> Vectors:
        """Compute interest vectors of users, float32 [n_users, d]; each has unit length or is zero.

        The result is dense or sparse, like the vectors of the items.
        """
        events = self._events(histories)
        distinct, column = np.unique(events.items, return_inverse=True)
        shape = (len(histories), len(distinct))
        pick = Csr.from_pairs(events.weights, events.rows, column, shape)
        return unit_rows(pick @ _take(self._vectors, distinct))

    def score_many(self, histories: Histories) -> FloatArray:
        """Return the cosines of users and items: float32 [n_users, n_items]; 0 for zero vectors."""
        interest = self.interest(histories)
        if isinstance(interest, np.ndarray):
            return row_sums(self._columns, dense_rows(interest))
        return interest.astype(np.float64).dense_product(self._columns).astype(np.float32)

    def explain(self, history: Histories, item: int) -> list[ModelPart]:
        """Return a part of the cosine for each event: decayed weight times similarity to `item`."""
        check_single(history)
        if not 0 <= item < self.n_items:
            return []
        events = self._events(history)
        some = _take(self._vectors, events.items)
        alike = some @ _dense(_take(self._vectors, np.array([item])))[0]
        interest = some.T @ events.weights
        length = float(np.linalg.norm(interest))
        amounts = events.weights * alike / (length if length > 0 else 1.0)
        return [
            ModelPart(int(position), self.name, float(amount))
            for position, amount in zip(events.positions, amounts, strict=True)
            if amount
        ]

    def _events(self, histories: Histories) -> Events:
        """Return the events with known items; weights are halved every `half_life` later events."""
        check_weights(histories)
        rows = np.repeat(np.arange(len(histories), dtype=np.int64), np.diff(histories.indptr))
        known = (histories.items >= 0) & (histories.items < self.n_items)
        positions = np.flatnonzero(known)
        rows = rows[known]
        # Age: known events up to the end of the row, minus those up to the event itself.
        ends = np.cumsum(np.bincount(rows, minlength=len(histories)))
        age = ends[rows] - 1 - np.arange(len(rows))
        weights = histories.weights[known] * np.exp2(-age / self.config.half_life)
        return Events(positions, rows, histories.items[known], weights.astype(np.float64))

    def _set_vectors(self, vectors: Vectors) -> None:
        self._vectors = vectors
        # A row per dimension: scores are sums of rows, so that requests copy no vectors.
        self._columns: Any = (
            np.ascontiguousarray(vectors.T)
            if isinstance(vectors, np.ndarray)
            else vectors.T.astype(np.float64)
        )


@overload
def unit_rows(vectors: NDArray[Any]) -> NDArray[np.float32]: ...
@overload
def unit_rows(vectors: Csr) -> Csr: ...
def unit_rows(vectors: NDArray[Any] | Csr) -> Vectors:
    """Scale the rows of a dense or sparse matrix to unit length; leave zero rows unchanged."""
    if isinstance(vectors, np.ndarray):
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0), dtype=np.float32)
    squares = vectors.map(np.square).sum(axis=1)
    scale = 1.0 / np.sqrt(np.where(squares > 0, squares, 1.0))
    return vectors.scaled(scale).astype(np.float32)


def texts_of(data: Dataset, name: str) -> Sequence[str]:
    """Return the text of each item.

    Raises
    ------
    InvalidInput
        No item has a text.
    """
    if data.texts is None:
        raise InvalidInput(
            f"no item has text, and {name} uses nothing else; "
            "give items with a title, text or categories",
            field="texts",
        )
    return data.texts


def _take(vectors: Vectors, items: NDArray[Any]) -> NDArray[np.float64] | Csr:
    """Return the vectors of some items in double precision."""
    some = vectors[items] if isinstance(vectors, np.ndarray) else vectors.take(items)
    return some.astype(np.float64)


def _dense(vectors: NDArray[np.float64] | Csr) -> NDArray[np.float64]:
    return vectors if isinstance(vectors, np.ndarray) else vectors.toarray()
