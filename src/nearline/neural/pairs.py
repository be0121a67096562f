"""Training of networks that score pairs of a user vector and an item vector."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nearline.common.progress import Progress
from nearline.neural.export import export
from nearline.neural.layers import Dropout, initialise
from nearline.neural.losses import gbce
from nearline.neural.training import TrainingPlan, TrainingTask, device, train

Floats = NDArray[np.float32]
# (users [n, d], items [m, d]) to scores [n, m], all float32.
Score = Callable[[Floats, Floats], Floats]
# Returns the validation value of a scoring function, given the input and output vectors of all
# items as in `FittedPairs`.
Judge = Callable[[Score, Floats, Floats], float]

# Number of values in a batch below which a second thread slows training down.
SMALL = 2**21


class Taken(NamedTuple):
    """Distinct positive items of each user in ascending order, as in the rows of a CSR matrix.

    Attributes
    ----------
    indptr : int64 [n_users + 1]
        User u has the items ``items[indptr[u]:indptr[u + 1]]``.
    items : int64 [n]
        Item indices of all users, concatenated.
    n_items : int
        Size of the catalogue.
    """

    indptr: NDArray[np.int64]
    items: NDArray[np.int64]
    n_items: int


class FittedPairs(NamedTuple):
    """A trained network in a form that does not need PyTorch.

    Attributes
    ----------
    graph : bytes
        Serialised ONNX graph with the inputs ``users``, float32 [n, d], and ``items``, float32
        [m, d], and the output ``scores``, float32 [n, m].
    read : float32 [n_items, d]
        Input vectors of items: a user vector is the sum of the input vectors of the items in the
        history, divided by the square root of their number.
    table : float32 [n_items, d]
        Output vectors of items: the graph's input ``items``.
    epochs : int
        Number of epochs that the weights were trained for.
    """

    graph: bytes
    read: Floats
    table: Floats
    epochs: int


class Interaction(nn.Module):
    """Network that scores pairs by an inner product (GMF), a perceptron (MLP) or the sum of both.

    X. He et al., "Neural collaborative filtering", WWW 2017, equations 9, 10 and 12, without the
    final sigmoid, which does not change the ranking. GMF is the generalised matrix factorisation
    of the paper, an inner product with a learned weight for each factor. The sum, NeuMF, is
    equivalent to the single output layer of equation 12. In NeuMF, each part has its own
    embedding: GMF uses the first `width` values of a vector, the perceptron the last.

    Parameters
    ----------
    kind : str
        ``gmf``, ``mlp`` or ``neumf``.
    width : int
        Embedding size of each part.
    hidden : tuple of int
        Units of each layer of the perceptron.
    dropout : float
        Dropout probability, applied to user vectors and after every layer.
    """

    def __init__(self, kind: str, width: int, *, hidden: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.width = width
        self.drop = Dropout(dropout)
        self.product = nn.Linear(width, 1, bias=kind == "gmf") if kind != "mlp" else None
        if kind != "gmf":
            # The first layer over the concatenated vectors, split into two: each part is computed
            # once per user or item instead of once per pair.
            self.user = nn.Linear(width, hidden[0])
            self.item = nn.Linear(width, hidden[0], bias=False)
            self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(hidden))
            self.output = nn.Linear(hidden[-1], 1)
        self.deep = kind != "gmf"

    def extra_repr(self) -> str:
        """Return the attributes that `repr` must show, since `export` identifies networks by it."""
        return f"width={self.width}, deep={self.deep}"

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Score every user with every item.

        Parameters
        ----------
        users : float32 [..., n, d]
            User vectors.
        items : float32 [..., m, d]
            Output vectors of items.

        Returns
        -------
        Tensor
            Scores, float32 [..., n, m].
        """
        users = self.drop(users)
        parts = []
        if self.product is not None:
            weighed = users[..., : self.width] * self.product.weight
            scores = weighed @ items[..., : self.width].transpose(-1, -2)
            parts.append(scores if self.product.bias is None else scores + self.product.bias)
        if self.deep:
            left = self.user(users[..., -self.width :])
            right = self.item(items[..., -self.width :])
            states = torch.relu(left[..., :, None, :] + right[..., None, :, :])
            for layer in self.layers:
                states = torch.relu(layer(self.drop(states)))
            parts.append(self.output(self.drop(states)).squeeze(-1))
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]


class PairTables(nn.Module):
    """Pair network with its two embedding tables of items.

    Attributes
    ----------
    read, table : nn.Embedding
        Input and output vectors of items, as in `FittedPairs`.
    pairs : nn.Module
        Network that maps ``users``, [..., n, width], and ``items``, [..., m, width], to scores,
        [..., n, m].
    """

    def __init__(self, pairs: nn.Module, n_items: int, width: int) -> None:
        super().__init__()
        self.read, self.table = nn.Embedding(n_items, width), nn.Embedding(n_items, width)
        self.pairs = pairs


class PairClassification(TrainingTask):
    """Training task: tell positive from sampled items, given the user's other positive items.

    The parameters are those of `fit_pairs`; `network` contains the network and both tables.
    """

    def __init__(
        self, network: PairTables, taken: Taken, *, negatives: int, batch: int, judge: Judge | None
    ) -> None:
        self.network: PairTables = network
        self._where = network.read.weight.device
        self._n_items, self._negatives, self._judge = taken.n_items, negatives, judge
        sizes = np.diff(taken.indptr)
        rows = np.repeat(np.arange(len(sizes)), sizes)
        self._users = torch.from_numpy(np.flatnonzero(sizes)).to(self._where)
        self._starts = torch.from_numpy(taken.indptr[:-1]).to(self._where)
        self._sizes = torch.from_numpy(sizes).to(self._where)
        self._items = torch.from_numpy(taken.items).to(self._where)
        self._keys = torch.from_numpy(rows * taken.n_items + taken.items).to(self._where)
        self._batches = min(max(1, round(len(taken.items) / batch)), max(1, len(self._users)))
        self._small = batch * (1 + negatives) * network.read.embedding_dim < SMALL

    def threads(self) -> int:
        """Return the number of threads: 1 for small batches, where more would be slower."""
        return 1 if self._small else super().threads()

    def batches(self, generator: torch.Generator) -> Sequence[Tensor]:
        """Return batches of users in random order, with about `batch` positive items each."""
        order = torch.randperm(len(self._users), generator=generator, device=self._where)
        return torch.tensor_split(self._users[order], self._batches)

    def loss(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        """Compute the mean binary cross-entropy over positive and sampled items of the batch."""
        sizes = self._sizes[batch]
        row = torch.repeat_interleave(torch.arange(len(batch), device=self._where), sizes)
        within = torch.arange(len(row), device=self._where) - (sizes.cumsum(0) - sizes)[row]
        items = self._items[self._starts[batch][row] + within]
        users = self._without(items, row, sizes)
        shape = (len(items), self._negatives)
        drawn = torch.randint(self._n_items, shape, generator=generator, device=self._where)
        keys = batch[row][:, None] * self._n_items + drawn
        at = torch.searchsorted(self._keys, keys).clamp(max=len(self._keys) - 1)
        vectors = self.network.table(torch.cat((items[:, None], drawn), dim=1))
        scores = self.network.pairs(users[:, None], vectors)[:, 0].float()
        others = scores[:, 1:].masked_fill(self._keys[at] == keys, -torch.inf)
        # Without calibration this is plain cross-entropy.
        return gbce(scores[:, 0], others, self._n_items, 0.0)

    def _without(self, items: Tensor, row: Tensor, sizes: Tensor) -> Tensor:
        """Return a user vector for each of m positive items: float32 [m, d].

        It is computed from the user's other positive items, so that the item does not predict
        itself.

        Parameters
        ----------
        items, row : int64 [m]
            Positive items, and the user of each as a position in the batch.
        sizes : int64 [n]
            Number of positive items of each user in the batch.
        """
        read = self.network.read(items)
        sums = torch.zeros((len(sizes), read.shape[1]), device=self._where)
        sums = sums.index_add(0, row, read)
        found: Tensor = (sums[row] - read) / (sizes - 1).clamp(min=1).sqrt()[row][:, None]
        return found

    def validate(self) -> float | None:
        """Return the validation value that `judge` computes; None without validation data."""
        if self._judge is None:
            return None
        return self._judge(self._score, *_tables(self.network))

    def _score(self, users: Floats, items: Floats) -> Floats:
        ours = (torch.from_numpy(array).to(self._where) for array in (users, items))
        found: Floats = self.network.pairs(*ours).float().cpu().numpy()
        return found


def fit_pairs(
    interaction: Callable[[], nn.Module],
    taken: Taken,
    plan: TrainingPlan,
    *,
    width: int,
    negatives: int,
    batch: int,
    seed: int,
    judge: Judge | None,
    progress: Progress,
) -> FittedPairs:
    """Train a pair network and its two tables of item vectors.

    Parameters
    ----------
    interaction : callable
        Builds the network, which maps ``users``, [..., n, width], and ``items``, [..., m, width],
        to scores, [..., n, m].
    taken : Taken
        Positive items of each user.
    plan : TrainingPlan
        Hyperparameters of the training loop.
    width : int
        Size of an item vector in each table.
    negatives : int
        Negatives per positive item, sampled uniformly from the user's other items.
    batch : int
        Positive items per batch.
    seed : int
        Seed of initialisation and sampling.
    judge : callable or None
        Returns the validation value of the network; None disables validation.
    progress : callable
        Progress callback.
    """
    with torch.device("meta"):
        built = PairTables(interaction(), taken.n_items, width)
    network = built.to_empty(device="cpu")
    initialise(network, torch.Generator().manual_seed(seed))
    network.to(device())
    task = PairClassification(network, taken, negatives=negatives, batch=batch, judge=judge)
    epochs = plan.epochs
    if len(taken.items):
        epochs = train(task, plan, seed=seed, progress=progress).epochs
    network.eval().cpu()
    graph = export(
        network.pairs,
        {"users": torch.zeros(2, width), "items": torch.zeros(3, width)},
        {"users": {0: "n"}, "items": {0: "m"}},
        ["scores"],
    )
    return FittedPairs(graph, *_tables(network), epochs)


def _tables(network: PairTables) -> tuple[Floats, Floats]:
    read: Floats = network.read.weight.detach().cpu().numpy()
    table: Floats = network.table.weight.detach().cpu().numpy()
    return read, table
