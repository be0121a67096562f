"""What sequence models share: a network makes a vector of a history, items have vectors of it.

    score(u, i) = user(e_h1, ..., e_hL) . e_i,    e_i = id_i + W x_i

The network sees the vectors of a user's last L liked events. It is trained with PyTorch (the room
`neural`) and served as an ONNX graph; vectors are looked up outside of it, so that an item that
comes later is one more row: its features x_i (`item_features.py`) under the learned map W.
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

# Histories that the network takes at a time.
BLOCK = 256
K = 10
FEATURES = "features/"


class SequenceObjective(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a sequence model learns to do, and from what.

    Attributes
    ----------
    loss : str
        ``softmax`` (sampled, with logQ correction) or ``gbce``.
    negatives : int
        Items drawn to stand for all others, for a whole batch; all, where they are not so many.
    power : float
        They are drawn by popularity to this power: 0 draws all items alike.
    in_batch : int
        Items that stand for all others beside them: so many of those to be told in the batch.
    calibration : float
        Of gBCE: 0 is plain cross-entropy, 1 gives calibrated probabilities.
    unit : bool
        Scores are cosines divided by the temperature, and not plain inner products.
    temperature : float
        What scores are divided by.
    id_dropout : float
        Share of items whose learned vector is left out of a step, where items have features.
    text_width : int
        Numbers that an item's words are reduced to, where it has no vectors; 0 uses neither.
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
        require(self, "negatives", 1)
        require(self, "power", 0, 1)
        require(self, "in_batch", 0)
        require(self, "calibration", 0, 1)
        require(self, "temperature", 0, above=True)
        require(self, "id_dropout", 0, 1)
        require(self, "text_width", 0)


class SequenceConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings that all sequence models have.

    Attributes
    ----------
    width : int
        Numbers that an item has.
    longest : int
        Events of a history that are read, the newest ones.
    dropout : float
        Share of numbers left out of a step.
    objective : SequenceObjective
        What is learned, and from what.
    training : TrainingConfig
        How it is trained.
    """

    width: int = 128
    longest: int = 50
    dropout: float = 0.4
    objective: SequenceObjective = SequenceObjective()
    training: TrainingConfig = TrainingConfig()

    def __post_init__(self) -> None:
        require(self, "width", 1)
        require(self, "longest", 1)
        require(self, "dropout", 0, 1)
        if self.dropout == 1 or self.objective.id_dropout == 1:
            raise InvalidInput("dropout and id_dropout must be below 1", field="dropout")


class Padded(NamedTuple):
    """Known liked events, the last `longest` of each row that has any.

    Attributes
    ----------
    rows : int64 [m]
        Which histories those are.
    items : int64 [m, length]
        Oldest first; 0 behind the newest; -1 where there is no event at all.
    lengths : int64 [m]
    """

    rows: Indices
    items: Indices
    lengths: Indices


class SequenceModel(NeuralModel):
    """Base of the sequence models. A subclass has a configuration and builds its network.

    Disliked events (weights of zero or below) are neither read nor learned from. A list costs one
    pass of the network and O(n_items * width).

    Parameters
    ----------
    checkpoint : Path or None
        File that `fit` writes after every epoch; where it is there already, the fit goes on from
        it. It must be of the same data, settings and seed.
    """

    def __init__(self, config: Struct | None = None, *, checkpoint: Path | None = None) -> None:
        super().__init__(config)
        self.checkpoint = checkpoint
        self._ids = self._projection = self._table
        self._features = ItemFeatures()
        self._n_items = 0

    @abstractmethod
    def _network(self) -> Any:
        """Build the network (`nearline.neural`), not yet initialised."""

    def fit(
        self,
        data: Dataset,
        *,
        validation: Histories | None = None,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Self:
        """Train the network and the table of items.

        With `validation` the number of epochs is chosen by NDCG@10 and written to the settings.

        Raises
        ------
        MissingExtra
            PyTorch or the packages that export its networks are not installed.
        InvalidInput
            A weight or vector is not finite, the loss grew beyond all bounds, or the checkpoint is
            of another fit.
        """
        from nearline.neural.sequences import Objective, Sequences, fit_sequences

        config, wanted = self.config, msgspec.structs.asdict(self.config.objective)
        self._features = ItemFeatures()
        liked = _liked(data.histories, data.n_items)
        features = self._features.fit(data, wanted.pop("text_width"), seed)
        told = self._told(data)
        begun = liked if told is None else _begun(liked)
        indptr, items, rows = windows(begun, config.longest)
        fitted = fit_sequences(
            self._network,
            Sequences(indptr, items, data.n_items, features, None if told is None else told[rows]),
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
        self._take(fitted.graph, fitted.epochs, liked.items, data)
        return self

    @property
    def n_items(self) -> int:
        """Number of items that the model knows."""
        return self._n_items

    def user_vectors(self, histories: Histories) -> FloatArray:
        """Vectors of users, float32 [n_users, width]; zero without a known liked event."""
        return self._vectors(histories)

    def score_many(self, histories: Histories) -> FloatArray:
        """Scores, float32 [n_users, n_items]."""
        return self._scores(histories, self._encode, self._table[: self.n_items])

    def put_items(
        self,
        items: Sequence[int],
        texts: Sequence[str],
        vectors: Mapping[str, FloatArray] | None = None,
    ) -> None:
        """Make the rows of new items from their features; learned ids keep their share."""
        if len(self._projection) == 0 or not len(items):
            return
        told = self._features.encode(texts, vectors or {}) @ self._projection
        self._grow(max(items) + 1)
        places = np.asarray(items, dtype=np.int64)
        rows = self._ids[places] + told
        self._table[places] = unit(rows) if self.config.objective.unit else rows

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Graph, table of items and what makes the rows of new ones."""
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
        """Make room for items up to `n_items`, and own arrays that a snapshot may have mapped."""
        if n_items > len(self._table) or not self._table.flags.writeable:
            room = max(n_items, len(self._table) * 5 // 4) - self.n_items
            self._table, self._ids, self._popularity = (
                np.concatenate((a[: self.n_items], np.zeros((room, *a.shape[1:]), dtype=a.dtype)))
                for a in (self._table, self._ids, self._popularity)
            )
        self._n_items = max(self.n_items, n_items)

    def _vectors(self, histories: Histories, *told: FloatArray) -> FloatArray:
        found = np.zeros((len(histories), self.config.width), dtype=np.float32)
        padded = self._pad(histories, self.n_items, *told)
        about = (features[padded.rows] for features in told)
        found[padded.rows] = self._encode(padded.items, padded.lengths, *about)
        return found

    def _pad(self, histories: Histories, n_items: int, *told: FloatArray) -> Padded:
        """Cut histories to size; features of users keep those of whom any is not 0."""
        liked = _liked(histories, n_items)
        sizes = np.diff(liked.indptr)
        known = sizes > 0
        for features in told:
            known |= features.any(axis=1) & (n_items > 0)
        rows = np.flatnonzero(known)
        lengths = np.minimum(sizes[rows], self.config.longest)
        steps = np.arange(lengths.max(initial=1))
        at = (liked.indptr[1:][rows] - lengths)[:, None] + steps
        inside = steps < lengths[:, None]
        items = np.zeros(at.shape, dtype=np.int64)
        items[inside] = liked.items[at[inside]]
        items[lengths == 0, 0] = -1
        return Padded(rows, items, np.maximum(lengths, 1))

    def _encode(self, items: Indices, lengths: Indices, *told: FloatArray) -> FloatArray:
        """Run the graph, rows of like length together."""
        found = np.zeros((len(items), self.config.width), dtype=np.float32)
        order = np.argsort(lengths, kind="stable")
        for first in range(0, len(order), BLOCK):
            some = order[first : first + BLOCK]
            events = self._table[items[some, : lengths[some].max()]]
            events[items[some, 0] < 0] = 0.0
            inputs: dict[str, NDArray[Any]] = {"events": events, "lengths": lengths[some]}
            for features in told:
                inputs["features"] = features[some]
            if self._graph is not None:
                found[some] = self._graph(**inputs)[0]
        return found

    def _scores(self, histories: Histories, *network: Any) -> FloatArray:
        """Score users of whom anything is known by encoder and table; others by popularity."""
        encode, table, *told = network
        padded = self._pad(histories, len(table), *told)
        about = (features[padded.rows] for features in told)
        found = np.empty((len(histories), len(table)), dtype=np.float32)
        found[:] = self._popularity[: len(table)]
        found[padded.rows] = encode(padded.items, padded.lengths, *about) @ table.T
        return found

    def _checkpoint(
        self,
        data: Dataset,
        features: FloatArray | None,
        validation: Histories | None,
        seed: int,
    ) -> tuple[Path, str] | None:
        """Name file and key of the checkpoint: the key is a digest of all that is trained on."""
        if self.checkpoint is None:
            return None
        digest = hashlib.sha256(msgspec.json.encode((self.name, self.config, seed)))
        for histories in (data.histories, validation):
            if histories is not None:
                for array in (histories.indptr, histories.items, histories.weights):
                    digest.update(array.tobytes())
        for numbers in (features, self._told(data)):
            if numbers is not None:
                digest.update(numbers.tobytes())
        return self.checkpoint, digest.hexdigest()


def windows(liked: Histories, longest: int) -> tuple[Indices, Indices, Indices]:
    """Cut histories into sequences: one event to begin with, and up to `longest` to tell.

    The newest events of a history make a whole one; rows of a single event make none.

    Returns
    -------
    int64 [n + 1], int64 [m], int64 [n]
        Where each sequence begins, the items, and the history that each is of.
    """
    sizes = np.diff(liked.indptr)
    counts = np.where(sizes > 1, -(-(sizes - 1) // longest), 0)
    row = np.repeat(np.arange(len(sizes)), counts)
    # Number each window of a row from its newest.
    number = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    ends = liked.indptr[1:][row] - number * longest
    starts = np.maximum(liked.indptr[:-1][row], ends - longest - 1)
    indptr = np.concatenate(([0], np.cumsum(ends - starts))).astype(np.int64)
    at = np.arange(indptr[-1]) + np.repeat(starts - indptr[:-1], ends - starts)
    return indptr, liked.items[at].astype(np.int64), row


def _begun(liked: Histories) -> Histories:
    """Put -1 before each row, so that its first event is told as well."""
    first = liked.indptr[:-1]
    return Histories(
        liked.indptr + np.arange(len(liked) + 1),
        np.insert(liked.items, first, -1),
        np.insert(liked.weights, first, 1.0),
        np.insert(liked.times, first, 0.0),
    )


def _liked(histories: Histories, n_items: int) -> Histories:
    """Events of known items with a weight above zero."""
    check_weights(histories)
    known = (histories.items >= 0) & (histories.items < n_items)
    return histories.take(known & (histories.weights > 0))
