"""Networks over pairs of a user and an item, each of them vectors that are looked up before."""

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
# Tells how good a scorer is, with the tables that users and items are looked up in.
Judge = Callable[[Score, Floats, Floats], float]

# Numbers in a batch of pairs below which a second thread costs more than it gives.
SMALL = 2**21


class Taken(NamedTuple):
    """Which items each user took, each once, in rising order (CSR layout).

    Attributes
    ----------
    indptr : int64 [n_users + 1]
    items : int64 [n]
    n_items : int
    """

    indptr: NDArray[np.int64]
    items: NDArray[np.int64]
    n_items: int


class FittedPairs(NamedTuple):
    """A trained network, without PyTorch.

    Attributes
    ----------
    graph : bytes
        ONNX: `users` float32 [n, d] and `items` float32 [m, d] to `scores` [n, m].
    read : float32 [n_items, d]
        What an item in a history tells of its user.
    table : float32 [n_items, d]
        Items as they are scored.
    epochs : int
        Passes that made it.
    """

    graph: bytes
    read: Floats
    table: Floats
    epochs: int


class Interaction(nn.Module):
    """Scores of pairs: a weighed inner product (GMF), a perceptron (MLP), or their sum (NeuMF).

    X. He et al., "Neural collaborative filtering", WWW 2017, equations 9, 10 and 12, without the
    last sigmoid, which changes no order. The sum is what equation 12's one output layer over both
    parts comes to. Each part has numbers of its own: the first and the last `width` of a vector.

    Parameters
    ----------
    kind : str
        ``gmf``, ``mlp`` or ``neumf``.
    width : int
        Numbers of a user and of an item in each part.
    hidden : tuple of int
        Units of each layer of the perceptron.
    dropout : float
        Share of numbers dropped while training: of users and behind every layer.
    """

    def __init__(self, kind: str, width: int, *, hidden: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.width = width
        self.drop = Dropout(dropout)
        self.product = nn.Linear(width, 1, bias=kind == "gmf") if kind != "mlp" else None
        if kind != "gmf":
            # The first layer over user and item side by side, in two parts: each is the same for
            # all pairs of a user, or of an item.
            self.user = nn.Linear(width, hidden[0])
            self.item = nn.Linear(width, hidden[0], bias=False)
            self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(hidden))
            self.output = nn.Linear(hidden[-1], 1)
        self.deep = kind != "gmf"

    def extra_repr(self) -> str:
        """Name what no submodule tells."""
        return f"width={self.width}, deep={self.deep}"

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Score every user with every item: [..., n, d] and [..., m, d] to [..., n, m]."""
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
    """A network of pairs and the tables that its users and items are looked up in.

    Attributes
    ----------
    read, table : nn.Embedding
        As in `FittedPairs`.
    pairs : nn.Module
        ``pairs(users [..., n, width], items [..., m, width])`` gives scores [..., n, m].
    """

    def __init__(self, pairs: nn.Module, n_items: int, width: int) -> None:
        super().__init__()
        self.read, self.table = nn.Embedding(n_items, width), nn.Embedding(n_items, width)
        self.pairs = pairs


class TakenOrNot(TrainingTask):
    """To tell an item that a user took from drawn ones, by all others that the user took."""

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
        """One where a batch is small: threads would wait for each other most of the time."""
        return 1 if self._small else super().threads()

    def batches(self, generator: torch.Generator) -> Sequence[Tensor]:
        """Users in random order, as many in each batch, about `batch` items together."""
        order = torch.randperm(len(self._users), generator=generator, device=self._where)
        return torch.tensor_split(self._users[order], self._batches)

    def loss(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        """Mean binary cross-entropy over all that the users of the batch took, and drawn items."""
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
        """Vector of each item's user, made of all the user took but this item."""
        read = self.network.read(items)
        sums = torch.zeros((len(sizes), read.shape[1]), device=self._where)
        sums = sums.index_add(0, row, read)
        found: Tensor = (sums[row] - read) / (sizes - 1).clamp(min=1).sqrt()[row][:, None]
        return found

    def validate(self) -> float | None:
        """NDCG@10 as `judge` says it."""
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
    """Train a network of pairs and both of its tables.

    Parameters
    ----------
    interaction : callable
        Builds the network: ``network(users [..., n, width], items [..., m, width])`` gives scores
        [..., n, m].
    width : int
        Numbers that an item has in each table.
    negatives : int
        Items drawn for each that was taken, alike from those that the user did not take.
    batch : int
        Items taken in a batch.
    """
    with torch.device("meta"):
        built = PairTables(interaction(), taken.n_items, width)
    network = built.to_empty(device="cpu")
    initialise(network, torch.Generator().manual_seed(seed))
    network.to(device())
    task = TakenOrNot(network, taken, negatives=negatives, batch=batch, judge=judge)
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
