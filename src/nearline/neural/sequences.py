"""Training of sequence networks, which predict each event of a history from earlier events."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from nearline.common.progress import Progress
from nearline.neural.export import export
from nearline.neural.items import ItemTable
from nearline.neural.layers import initialise
from nearline.neural.losses import gbce, sampled_scores, sampled_softmax
from nearline.neural.training import TrainingPlan, TrainingTask, device, train

Floats = NDArray[np.float32]
# Maps item indices [n, length], lengths [n] and, if the network uses them, user features [n, f]
# to user vectors, float32 [n, width].
Encode = Callable[..., Floats]
# Returns the validation value of an encoding function and item vectors, float32 [n_items, width].
Judge = Callable[[Encode, Floats], float]


# Number of values in a batch below which a second thread slows training down.
SMALL = 2**16


class Sequences(NamedTuple):
    """Training sequences: the events of n users, oldest first, at least two events each.

    Attributes
    ----------
    indptr : int64 [n + 1]
        Sequence i consists of the items ``items[indptr[i]:indptr[i + 1]]``.
    items : int64 [indptr[-1]]
        Item indices. With user features, each sequence begins with -1, which stands for the empty
        history before the first event and has a vector of zeros.
    n_items : int
        Size of the catalogue.
    features : float32 [n_items, f] or None
        Feature vector of each item.
    users : float32 [n, f] or None
        Feature vector of the user of each sequence, if the network uses them.
    """

    indptr: NDArray[np.int64]
    items: NDArray[np.int64]
    n_items: int
    features: Floats | None
    users: Floats | None = None


class Objective(NamedTuple):
    """Loss function and the way in which negatives are sampled.

    Attributes
    ----------
    loss : str
        ``softmax`` or ``gbce``.
    negatives : int
        Number of sampled negatives per batch. All items are used if there are at most so many.
    power : float
        Exponent of the items' event counts in the sampling distribution: 0 samples uniformly, 1
        proportionally to popularity.
    calibration : float
        Parameter t of the loss ``gbce``, see `losses.gbce`.
    unit : bool
        Whether scores are cosines divided by `temperature` instead of inner products.
    temperature : float
        Number by which scores are divided.
    id_dropout : float
        Probability of dropping an item's ID embedding.
    batch : int
        Approximate number of events per batch.
    in_batch : int
        Number of positive items of the batch that are used as additional negatives.
    """

    loss: str
    negatives: int
    power: float
    calibration: float
    unit: bool
    temperature: float
    id_dropout: float
    batch: int
    in_batch: int = 0


class FittedSequences(NamedTuple):
    """A trained network in a form that does not need PyTorch.

    Attributes
    ----------
    graph : bytes
        Serialised ONNX graph with the inputs ``events``, float32 [n, length, width], ``lengths``,
        int64 [n], and, if the network uses them, user features ``features``, float32 [n, f]. The
        output ``users`` contains user vectors, float32 [n, width].
    table : float32 [n_items, width]
        Item vectors. A score is the inner product of a user vector and an item vector.
    ids : float32 [n_items, width]
        ID embeddings of the items: item vectors without the part from item features.
    projection : float32 [f, width]
        Matrix that maps item features to item vectors; empty without item features.
    epochs : int
        Number of epochs that the weights were trained for.
    """

    graph: bytes
    table: Floats
    ids: Floats
    projection: Floats
    epochs: int


class NewestPosition(nn.Module):
    """Encoder for serving: returns one vector for each history, at its newest event.

    Parameters
    ----------
    encoder : nn.Module
        Encoder that returns a vector for each position.
    unit : bool
        Whether to scale the vectors to unit length.
    temperature : float
        Number by which the vectors are divided.
    """

    def __init__(self, encoder: nn.Module, *, unit: bool, temperature: float) -> None:
        super().__init__()
        self.encoder, self.unit, self.temperature = encoder, unit, temperature

    def extra_repr(self) -> str:
        """Return the attributes that `repr` must show, since `export` identifies networks by it."""
        return f"unit={self.unit}, temperature={self.temperature}"

    def scale(self, vectors: Tensor) -> Tensor:
        """Convert outputs of the encoder, [..., width], to user vectors of the same shape.

        They are scaled to unit length if `unit` is set, and divided by the temperature.
        """
        return (functional.normalize(vectors, dim=-1) if self.unit else vectors) / self.temperature

    def forward(self, events: Tensor, lengths: Tensor, features: Tensor | None = None) -> Tensor:
        """Return a user vector for each of n histories: float32 [n, width].

        Parameters
        ----------
        events : float32 [n, length, width]
            Event vectors, oldest first; positions after the newest event are padding.
        lengths : int64 [n]
            Number of events of each history, at least 1.
        features : float32 [n, f] or None
            Features of the users, if the encoder uses them.
        """
        optional = () if features is None else (features,)
        vectors = self.encoder(events, lengths, *optional)
        at = (lengths - 1)[:, None, None].expand(-1, 1, vectors.shape[2])
        return self.scale(vectors.gather(1, at).squeeze(1))


class NextEvent(TrainingTask):
    """Training task: predict each event of a sequence from the events before it.

    Parameters
    ----------
    encoder : nn.Module
        Network that encodes each prefix of a sequence.
    table : ItemTable
        Item vectors.
    data : Sequences
        Training sequences.
    objective : Objective
        Loss function and sampling of negatives.
    judge : callable or None
        Returns the validation value; None disables validation.
    """

    def __init__(
        self,
        encoder: nn.Module,
        table: ItemTable,
        data: Sequences,
        objective: Objective,
        judge: Judge | None,
    ) -> None:
        self.newest = NewestPosition(
            encoder, unit=objective.unit, temperature=objective.temperature
        )
        self.table = table
        self.network = nn.ModuleDict({"newest": self.newest, "table": table})
        self._objective, self._judge, self._n_items = objective, judge, data.n_items
        self._where = table.ids.weight.device
        self._items = torch.from_numpy(data.items).to(self._where)
        self._starts = torch.from_numpy(data.indptr[:-1]).to(self._where)
        self._lengths = torch.from_numpy(np.diff(data.indptr) - 1).to(self._where)
        self.users = None if data.users is None else torch.from_numpy(data.users).to(self._where)
        # Add-one smoothing: items without events are sampled too.
        counts = np.bincount(data.items[data.items >= 0], minlength=data.n_items) + 1.0
        chances = torch.from_numpy(counts**objective.power).to(self._where)
        self._cumulated = (chances / chances.sum()).cumsum(0)
        self._expected = objective.negatives * chances / chances.sum()
        if objective.negatives >= data.n_items:
            self._expected = torch.ones_like(chances)
        self._shares = torch.from_numpy(counts / counts.sum()).to(self._where)

    def threads(self) -> int:
        """Return the number of threads: 1 for small batches, where more would be slower."""
        small = self._objective.batch * self.table.ids.embedding_dim < SMALL
        return 1 if small else super().threads()

    def batches(self, generator: torch.Generator) -> Sequence[Tensor]:
        """Return batches of about `batch` events, each of sequences of similar length, shuffled."""
        order = torch.randperm(len(self._starts), generator=generator, device=self._where)
        order = order[torch.argsort(self._lengths[order], stable=True)]
        sizes = self._lengths[order]
        group = (torch.cumsum(sizes, 0) - sizes) // self._objective.batch
        _, counts = torch.unique_consecutive(group, return_counts=True)
        cut = torch.split(order, counts.tolist())
        shuffled = torch.randperm(len(cut), generator=generator, device=self._where)
        return [cut[at] for at in shuffled.tolist()]

    def loss(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        """Compute the mean loss over all events of a batch except the first of each sequence."""
        lengths = self._lengths[batch]
        steps = torch.arange(int(lengths.max()), device=self._where)
        valid = steps < lengths[:, None]
        at = torch.where(valid, self._starts[batch][:, None] + steps, self._starts[batch][:, None])
        inputs, targets = self._items[at], self._items[at + 1][valid]
        drawn, log_expected = self._negatives(targets, generator)
        # Compute the vector of each distinct item once.
        distinct, places = torch.unique(
            torch.cat((inputs.flatten().clamp(min=0), targets, drawn)), return_inverse=True
        )
        distinct_vectors = self.table(distinct)
        read, right, others = torch.split(
            functional.embedding(places, distinct_vectors),
            [inputs.numel(), len(targets), len(drawn)],
        )
        events = read.view(*inputs.shape, -1)
        if self.users is None:
            vectors = self.newest.encoder(events, lengths)
        else:
            events = events * (inputs >= 0)[:, :, None]
            vectors = self.newest.encoder(events, lengths, self.users[batch])
        users = self.newest.scale(vectors[valid])
        scores, other_scores = sampled_scores(users, right, others, targets, drawn)
        if self._objective.loss == "gbce":
            return gbce(scores, other_scores, self._n_items, self._objective.calibration)
        return sampled_softmax(scores, other_scores, log_expected)

    def _negatives(self, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the negatives of a batch, int64 [s], and the logarithms of their expected draws.

        The expected number of draws of an item is the sum of its expectations as a sampled negative
        and as a positive item of the batch.
        """
        drawn, expected = self._draw(generator), self._expected
        if self._objective.in_batch:
            order = torch.randperm(len(targets), generator=generator, device=self._where)
            beside = targets[order[: self._objective.in_batch]]
            drawn = torch.cat((drawn, beside))
            expected = expected + len(beside) * self._shares
        return drawn, expected[drawn].log().float()

    def _draw(self, generator: torch.Generator) -> Tensor:
        """Return sampled items, int64 [negatives]; all items if there are at most so many."""
        n = self._objective.negatives
        if n >= self._n_items:
            return torch.arange(self._n_items, device=self._where)
        draws = torch.rand(n, generator=generator, device=self._where, dtype=torch.float64)
        return torch.searchsorted(self._cumulated, draws).clamp(max=self._n_items - 1)

    def validate(self) -> float | None:
        """Return the validation value that `judge` computes; None without validation data."""
        if self._judge is None:
            return None
        return self._judge(self._encode, self.table.all().float().cpu().numpy())

    def _encode(
        self,
        items: NDArray[np.int64],
        lengths: NDArray[np.int64],
        features: Floats | None = None,
    ) -> Floats:
        rows, sizes = (torch.from_numpy(a).to(self._where) for a in (items, lengths))
        events, user_features = self.table(rows.clamp(min=0)), None
        if features is not None:
            events = events * (rows >= 0)[:, :, None]
            user_features = torch.from_numpy(features).to(self._where)
        found: Floats = self.newest(events, sizes, user_features).float().cpu().numpy()
        return found


def fit_sequences(
    encoder: Callable[[], nn.Module],
    data: Sequences,
    objective: Objective,
    plan: TrainingPlan,
    *,
    width: int,
    seed: int,
    judge: Judge | None,
    progress: Progress,
    checkpoint: tuple[Path, str] | None = None,
) -> FittedSequences:
    """Train a sequence encoder and the table of item vectors.

    Parameters
    ----------
    encoder : callable
        Builds the network, which maps events, float32 [n, length, width], and lengths, int64 [n],
        to vectors, float32 [n, length, width], where no position depends on later ones. User
        features, float32 [n, f], are a third argument if `data` has them.
    data : Sequences
        Training sequences.
    objective : Objective
        Loss and sampling of negatives.
    plan : TrainingPlan
        Hyperparameters of the training loop.
    width : int
        Size of an item vector.
    seed : int
        Seed of initialisation, sampling and dropout.
    judge : callable or None
        Returns the validation value of the network; None disables validation.
    progress : callable
        Progress callback.
    checkpoint : (Path, str) or None
        Checkpoint file and key, as in `training.train`; None disables checkpoints.
    """
    where = device()
    draws = torch.Generator().manual_seed(seed)
    features = None if data.features is None else torch.from_numpy(data.features)
    with torch.device("meta"):
        built = encoder()
        table = ItemTable(
            data.n_items, width, features, id_dropout=objective.id_dropout, unit=objective.unit
        )
    networks = []
    for network in (built, table):
        networks.append(network.to_empty(device="cpu"))
        initialise(network, draws)
    table.features = features
    for network in networks:
        network.to(where)
    task = NextEvent(built, table, data, objective, judge)
    path, key = checkpoint if checkpoint is not None else (None, "")
    epochs = plan.epochs
    if len(data.indptr) > 1:
        trained = train(task, plan, seed=seed, progress=progress, checkpoint=path, key=key)
        epochs = trained.epochs
    return _fitted(task, width, epochs)


def _fitted(task: NextEvent, width: int, epochs: int) -> FittedSequences:
    task.network.eval().cpu()
    inputs = {"events": torch.zeros(2, 3, width), "lengths": torch.tensor([3, 2])}
    axes = {"events": {0: "n", 1: "length"}, "lengths": {0: "n"}}
    if task.users is not None:
        inputs["features"] = torch.zeros(2, task.users.shape[1])
        axes["features"] = {0: "n"}
    graph = export(task.newest, inputs, axes, ["users"])
    project = task.table.project
    with torch.no_grad():
        table: Floats = task.table.all().numpy()
    projection: Floats = (
        np.zeros((0, width), dtype=np.float32)
        if project is None
        else np.ascontiguousarray(project.weight.detach().numpy().T)
    )
    ids: Floats = task.table.ids.weight.detach().numpy()
    return FittedSequences(graph, table, ids, projection, epochs)
