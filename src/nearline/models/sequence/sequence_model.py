"""Common parts of sequence models, whose network encodes a history as a vector.

    score(u, i) = user(e_h1, ..., e_hL) . e_i,    e_i = id_i + W x_i

The network `user` encodes the vectors e of the items h_1 to h_L of a user's last L liked events.
The vector of an item is the sum of an ID embedding and its features x_i (see `item_features`),
multiplied by a learned matrix W. The network is trained with PyTorch (package `neural`) and served
as an ONNX graph. Vectors of items are not part of the graph, so a new item needs only a new row.
"""

import hashlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nearline.common.progress import Progress, no_progress
from nearline.data.dataset import Dataset, FloatArray, Histories
from nearline.encoders.base import unit
from nearline.errors import InvalidInput
from nearline.models.base import check_weights
from nearline.models.sequence.item_features import ItemFeatures
from nearline.models.sequence.neural_model import NeuralModel
from nearline.models.sequence.training_config import TrainingConfig
from nearline.models.settings import require, require_one_of

Indices = NDArray[np.int64]

# Number of histories that are encoded at a time.
BLOCK = 256
K = 10
FEATURES = "features/"


class SequenceObjective(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Loss and negative sampling of a sequence model.

    Attributes
    ----------
    loss : str
        ``softmax`` (sampled, with logQ correction) or ``gbce``.
    negatives : int
        Number of sampled negatives per batch. All items are used if there are at most so many.
    power : float
        Exponent of the items' event counts in the sampling distribution; 0 samples uniformly.
    in_batch : int
        Number of positive items of the batch that are used as additional negatives.
    calibration : float
        Parameter t of the loss ``gbce``: 0 is plain cross-entropy; 1 results in calibrated
        probabilities.
    unit : bool
        Whether scores are cosines divided by the temperature, instead of inner products.
    temperature : float
        Number by which scores are divided.
    id_dropout : float
        Probability of dropping an item's ID embedding in a step, if items have features.
    text_width : int
        Number of dimensions of text features, which are used for items without vector columns; 0
        disables all item features.
    """

    loss: str = "softmax"
    negatives: int = 512
    power: float = 0.5
    in_batch: int = 0
    calibration: float = 0.75
    unit: bool = False
    temperature: float = 1.0
    id_dropout: float = 0.3
    text_width: int = 128

    def __post_init__(self) -> None:
        require_one_of(self, "loss", ("softmax", "gbce"))
        require(self, "negatives", 1, 1_000_000)
        require(self, "power", 0, 1)
        require(self, "in_batch", 0, 1_000_000)
        require(self, "calibration", 0, 1)
        require(self, "temperature", 0, 1e9, above=True)
        require(self, "id_dropout", 0, 1)
        require(self, "text_width", 0, 4_096)


class SequenceConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of all sequence models.

    Attributes
    ----------
    width : int
        Size of an item vector.
    longest : int
        Maximum number of events of a history that are used: the newest ones.
    dropout : float
        Dropout probability.
    objective : SequenceObjective
        Loss and negative sampling.
    training : TrainingConfig
        Settings of the training loop.
    """

    width: int = 128
    longest: int = 50
    dropout: float = 0.4
    objective: SequenceObjective = SequenceObjective()
    training: TrainingConfig = TrainingConfig()

    def __post_init__(self) -> None:
        require(self, "width", 1, 4_096)
        require(self, "longest", 1, 10_000)
        require(self, "dropout", 0, 1)
        if self.dropout == 1 or self.objective.id_dropout == 1:
            raise InvalidInput("dropout and id_dropout must be below 1", field="dropout")


class Padded(NamedTuple):
    """Last `longest` known liked events of m histories, as a matrix.

    Attributes
    ----------
    rows : int64 [m]
        Row of each of these histories among all.
    items : int64 [m, length]
        Items, oldest first, padded with 0 at the end; -1 for a row without events.
    lengths : int64 [m]
        Number of events, at least 1: a row without events has the single entry -1.
    """

    rows: Indices
    items: Indices
    lengths: Indices


class SequenceModel(NeuralModel):
    """Abstract base class of sequence models; a subclass implements `_network`.

    Events with a weight of zero or less are ignored. A list takes one evaluation of the network and
    O(n_items * width) time.

    Parameters
    ----------
    config : Struct or None
        Settings; None for the defaults.
    checkpoint : Path or None
        File that `fit` writes after every epoch. If it exists, training resumes from it; it must
        belong to the same data, settings and seed.
    """

    def __init__(self, config: Struct | None = None, *, checkpoint: Path | None = None) -> None:
        super().__init__(config)
        self.checkpoint = checkpoint
        self._ids = self._projection = self._table
        self._features = ItemFeatures()
        self._n_items = 0

    @abstractmethod
    def _network(self) -> Any:
        """Return the network, a module of `nearline.neural` that is not yet initialised."""

    def fit(
        self,
        data: Dataset,
        *,
        validation: Histories | None = None,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Self:
        """Train the network and the vectors of items.

        With `validation`, the number of epochs is chosen by NDCG@10 and stored in the settings.

        Raises
        ------
        MissingExtra
            PyTorch or the packages for exporting its networks are not installed.
        InvalidInput
            A weight or vector is not finite, the loss diverged, or the checkpoint belongs to
            another training run.
        """
        from nearline.neural.sequences import Objective, Sequences, fit_sequences

        config, wanted = self.config, msgspec.structs.asdict(self.config.objective)
        self._features = ItemFeatures()
        liked = _liked(data.histories, data.n_items)
        features = self._features.fit(data, wanted.pop("text_width"), seed)
        users = self._user_features(data)
        started = liked if users is None else _with_start(liked)
        indptr, items, rows = windows(started, config.longest)
        of_rows = None if users is None else users[rows]
        fitted = fit_sequences(
            self._network,
            Sequences(indptr, items, data.n_items, features, of_rows),
            Objective(**wanted, batch=config.training.batch),
            self._plan(),
            width=config.width,
            seed=seed,
            judge=self._judge(data, validation, seed),
            progress=progress,
            checkpoint=self._checkpoint(data, features, validation, seed),
        )
        self._table, self._projection = fitted.table, fitted.projection
        self._ids = fitted.ids
        self._n_items = data.n_items
        self._set_fitted(fitted.graph, fitted.epochs, liked.items, data)
        return self

    @property
    def n_items(self) -> int:
        """Number of items that the model can score."""
        return self._n_items

    def user_vectors(self, histories: Histories) -> FloatArray:
        """Return vectors of users: float32 [n_users, width], zero without a known liked event."""
        return self._vectors(histories)

    def score_many(self, histories: Histories) -> FloatArray:
        """Return the scores of all items for each history: float32 [n_users, n_items]."""
        return self._scores(histories, self._encode, self._table[: self.n_items])

    def put_items(
        self,
        items: Sequence[int],
        texts: Sequence[str],
        vectors: Mapping[str, FloatArray] | None = None,
    ) -> None:
        """Compute the vectors of items from new texts or vectors; ID embeddings are kept."""
        if len(self._projection) == 0 or not len(items):
            return
        projected = self._features.encode(texts, vectors or {}) @ self._projection
        self._grow(max(items) + 1)
        indices = np.asarray(items, dtype=np.int64)
        rows = self._ids[indices] + projected
        self._table[indices] = unit(rows) if self.config.objective.unit else rows

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the graph, the vectors of items and the parameters for new items."""
        return {
            "graph": self._bytes,
            "table": self._table[: self.n_items],
            "ids": self._ids[: self.n_items],
            "popularity": self._popularity[: self.n_items],
            "projection": self._projection,
            **{f"{FEATURES}{name}": array for name, array in self._features.arrays().items()},
        }

    def _load(self, arrays: dict[str, NDArray[Any]]) -> None:
        self._table, self._ids = arrays["table"], arrays["ids"]
        self._popularity, self._projection = arrays["popularity"], arrays["projection"]
        own = {k.removeprefix(FEATURES): a for k, a in arrays.items() if k.startswith(FEATURES)}
        self._features = ItemFeatures.restore(own)
        self._n_items = len(self._table)
        self._set_graph(arrays["graph"])

    def _grow(self, n_items: int) -> None:
        """Extend the tables to `n_items` rows; copy them if they are read-only."""
        if n_items > len(self._table) or not self._table.flags.writeable:
            room = max(n_items, len(self._table) * 5 // 4) - self.n_items
            self._table, self._ids, self._popularity = (
                np.concatenate((a[: self.n_items], np.zeros((room, *a.shape[1:]), dtype=a.dtype)))
                for a in (self._table, self._ids, self._popularity)
            )
        self._n_items = max(self.n_items, n_items)

    def _vectors(self, histories: Histories, *features: FloatArray) -> FloatArray:
        found = np.zeros((len(histories), self.config.width), dtype=np.float32)
        padded = self._pad(histories, self.n_items, *features)
        of_rows = (values[padded.rows] for values in features)
        found[padded.rows] = self._encode(padded.items, padded.lengths, *of_rows)
        return found

    def _pad(self, histories: Histories, n_items: int, *features: FloatArray) -> Padded:
        """Truncate and pad histories; leave out users with neither events nor features."""
        liked = _liked(histories, n_items)
        sizes = np.diff(liked.indptr)
        known = sizes > 0
        for values in features:
            known |= values.any(axis=1) & (n_items > 0)
        rows = np.flatnonzero(known)
        lengths = np.minimum(sizes[rows], self.config.longest)
        steps = np.arange(lengths.max(initial=1))
        at = (liked.indptr[1:][rows] - lengths)[:, None] + steps
        inside = steps < lengths[:, None]
        items = np.zeros(at.shape, dtype=np.int64)
        items[inside] = liked.items[at[inside]]
        items[lengths == 0, 0] = -1
        return Padded(rows, items, np.maximum(lengths, 1))

    def _encode(self, items: Indices, lengths: Indices, *features: FloatArray) -> FloatArray:
        """Return vectors of padded histories, computed in batches of similar lengths."""
        found = np.zeros((len(items), self.config.width), dtype=np.float32)
        order = np.argsort(lengths, kind="stable")
        for first in range(0, len(order), BLOCK):
            some = order[first : first + BLOCK]
            events = self._table[items[some, : lengths[some].max()]]
            events[items[some, 0] < 0] = 0.0
            inputs: dict[str, NDArray[Any]] = {"events": events, "lengths": lengths[some]}
            for values in features:
                inputs["features"] = values[some]
            if self._graph is not None:
                found[some] = self._graph(**inputs)[0]
        return found

    def _scores(self, histories: Histories, *network: Any) -> FloatArray:
        """Return scores by the network or, without events and features, by popularity."""
        encode, table, *features = network
        padded = self._pad(histories, len(table), *features)
        of_rows = (values[padded.rows] for values in features)
        found = np.empty((len(histories), len(table)), dtype=np.float32)
        found[:] = self._popularity[: len(table)]
        found[padded.rows] = encode(padded.items, padded.lengths, *of_rows) @ table.T
        return found

    def _checkpoint(
        self,
        data: Dataset,
        features: FloatArray | None,
        validation: Histories | None,
        seed: int,
    ) -> tuple[Path, str] | None:
        """Return the path and the key of the checkpoint, a hash of data, settings and seed."""
        if self.checkpoint is None:
            return None
        digest = hashlib.sha256(msgspec.json.encode((self.name, self.config, seed)))
        for histories in (data.histories, validation):
            if histories is not None:
                for array in (histories.indptr, histories.items, histories.weights):
                    digest.update(array.tobytes())
        for numbers in (features, self._user_features(data)):
            if numbers is not None:
                digest.update(numbers.tobytes())
        return self.checkpoint, digest.hexdigest()


def windows(liked: Histories, longest: int) -> tuple[Indices, Indices, Indices]:
    """Split histories into training sequences: an event, and up to `longest` events to predict.

    Histories are split from the newest event on, so that only the oldest sequence of a history can
    be shorter. A history with a single event has no sequence.

    Returns
    -------
    int64 [n + 1], int64 [m], int64 [n]
        Start of each of n sequences, items of all sequences, and history of each sequence.
    """
    sizes = np.diff(liked.indptr)
    counts = np.where(sizes > 1, -(-(sizes - 1) // longest), 0)
    row = np.repeat(np.arange(len(sizes)), counts)
    # Number of each sequence in its row, from the newest.
    number = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    ends = liked.indptr[1:][row] - number * longest
    starts = np.maximum(liked.indptr[:-1][row], ends - longest - 1)
    indptr = np.concatenate(([0], np.cumsum(ends - starts))).astype(np.int64)
    at = np.arange(indptr[-1]) + np.repeat(starts - indptr[:-1], ends - starts)
    return indptr, liked.items[at].astype(np.int64), row


def _with_start(liked: Histories) -> Histories:
    """Insert -1 at the beginning of each row, so that its first event is predicted too."""
    first = liked.indptr[:-1]
    return Histories(
        liked.indptr + np.arange(len(liked) + 1),
        np.insert(liked.items, first, -1),
        np.insert(liked.weights, first, 1.0),
        np.insert(liked.times, first, 0.0),
    )


def _liked(histories: Histories, n_items: int) -> Histories:
    """Return the events of known items with a positive weight."""
    check_weights(histories)
    known = (histories.items >= 0) & (histories.items < n_items)
    return histories.take(known & (histories.weights > 0))
