"""The loop that trains every network: minibatches, AdamW, early stopping, checkpoints.

I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019 (AdamW); L. Prechelt,
"Early stopping - but when?", Neural Networks: Tricks of the Trade, LNCS 1524, 1998 (stop after
`patience` epochs without a better value, keep the best weights); B. Polyak, A. Juditsky,
"Acceleration of stochastic approximation by averaging", SIAM Journal on Control and Optimization
30, 1992 (the mean of the weights along the way is better than the last; here a running one).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nearline.common.progress import Progress
from nearline.errors import InvalidInput
from nearline.kernels.chunks import available_threads
from nearline.neural.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from nearline.neural.layers import Dropout


class TrainingPlan(NamedTuple):
    """How long and how fast to train.

    Attributes
    ----------
    epochs : int
        Most passes over the data.
    patience : int
        Stop after so many epochs without a better validation value.
    rate : float
        Length of a step.
    weight_decay : float
        Share of a weight that a step of length one takes away; biases and scales keep theirs.
    warmup : int
        Steps over which the rate rises to its length.
    cosine : bool
        Let the rate fall to zero over all epochs, as a cosine does.
    memory : int
        Weights are judged and kept as their running mean over about so many steps; 1 takes them as
        they are.
    clip : float
        Longest gradient, over all parameters.
    """

    epochs: int
    patience: int
    rate: float
    weight_decay: float
    warmup: int
    cosine: bool
    memory: int = 1
    clip: float = 1.0


class TrainingResult(NamedTuple):
    """What a training came to.

    Attributes
    ----------
    epochs : int
        Passes that made the weights that were kept.
    losses : list of float
        Mean loss of every epoch that was run.
    values : list of float
        Validation value after each; empty without validation.
    """

    epochs: int
    losses: list[float]
    values: list[float]


class TrainingTask(ABC):
    """A network and what it is to learn.

    Attributes
    ----------
    network : nn.Module
        All parameters, initialised and on its device.
    """

    network: nn.Module

    @abstractmethod
    def batches(self, generator: torch.Generator) -> Sequence[Any]:
        """Cut one epoch into batches, in random order; as many in every epoch."""

    @abstractmethod
    def loss(self, batch: Any, generator: torch.Generator) -> Tensor:
        """Mean loss of a batch, a scalar to go down from."""

    def threads(self) -> int:
        """Say how many cores to use; a step that takes less than a millisecond wants one."""
        return available_threads()

    def validate(self) -> float | None:
        """Say how good the network is, more is better; None where nothing tells."""
        return None


def device() -> torch.device:
    """Find where to train: a GPU if PyTorch sees one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def half_precision(where: torch.device) -> bool:
    """Whether products of matrices are faster in bfloat16 there: weights stay in single precision.

    P. Micikevicius et al., "Mixed precision training", ICLR 2018.
    """
    if where.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


@contextmanager
def own_threads(threads: int) -> Iterator[None]:
    """Let PyTorch use so many threads, and give its setting back."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train(
    task: TrainingTask,
    plan: TrainingPlan,
    *,
    seed: int,
    progress: Progress,
    checkpoint: Path | None = None,
    key: str = "",
) -> TrainingResult:
    """Train the network of `task`; it ends with the weights of its best epoch.

    Parameters
    ----------
    progress : callable
        Called before every batch; what it raises ends the training.
    checkpoint : Path or None
        File written after every epoch. Where it exists the training goes on from there, and ends
        bit for bit as one that was never cut off (on the same machine, with as many threads).
    key : str
        Names data and settings: a checkpoint of another key is refused.

    Raises
    ------
    InvalidInput
        The loss is not finite, or the checkpoint is of another training.
    Damaged
        The checkpoint cannot be read.
    """
    where = next(task.network.parameters()).device
    generator = torch.Generator(where).manual_seed(seed)
    for module in task.network.modules():
        if isinstance(module, Dropout):
            module.generator = generator
    with own_threads(task.threads()):
        run = _TrainingRun(task, plan, generator, progress)
        if checkpoint is not None and checkpoint.exists():
            run.restore(read_checkpoint(checkpoint, key))
        while not run.over():
            run.epoch()
            if checkpoint is not None:
                write_checkpoint(checkpoint, run.checkpoint(key))
        task.network.load_state_dict(run.best)
        task.network.eval()
    best = run.best_epoch if run.values else run.done
    progress(plan.epochs, plan.epochs, "done")
    return TrainingResult(best, run.losses, run.values)


class _TrainingRun:
    """A training under way."""

    def __init__(
        self, task: TrainingTask, plan: TrainingPlan, generator: torch.Generator, progress: Progress
    ) -> None:
        self._task, self._plan, self._generator = task, plan, generator
        self._progress = progress
        self._half = half_precision(generator.device)
        self._optimizer = torch.optim.AdamW(_groups(task.network, plan), lr=plan.rate, fused=True)
        self.done = self.best_epoch = self._step = 0
        self.losses: list[float] = []
        self.values: list[float] = []
        self._mean = _copy(task.network)
        self.best = _copy(task.network)

    def over(self) -> bool:
        """Whether the last epoch was run, or the last that patience allows."""
        waited = self.done - self.best_epoch if self.values else 0
        return self.done >= self._plan.epochs or waited >= self._plan.patience

    def epoch(self) -> None:
        """Pass over the data once and look at the validation value."""
        batches = self._task.batches(self._generator)
        what = self._what()
        self._task.network.train()
        total = torch.zeros((), device=self._generator.device)
        for at, batch in enumerate(batches):
            self._progress(self.done * len(batches) + at, self._plan.epochs * len(batches), what)
            total += self._descend(batch, len(batches))
        loss = float(total) / max(len(batches), 1)
        if not math.isfinite(loss):
            raise InvalidInput(
                f"the loss of epoch {self.done + 1} is {loss} with rate={self._plan.rate:g}; "
                "lower it",
                field="rate",
            )
        self.losses.append(loss)
        self.done += 1
        self._judge()

    def _descend(self, batch: Any, batches: int) -> Tensor:
        rate = _rate(self._plan, self._step, batches)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.zero_grad(set_to_none=True)
        with self._cast():
            loss = self._task.loss(batch, self._generator)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._task.network.parameters(), self._plan.clip)
        self._optimizer.step()
        self._step += 1
        self._average()
        return loss.detach()

    def _cast(self) -> torch.autocast:
        """Take products of matrices in half precision, where those are faster."""
        return torch.autocast(self._generator.device.type, torch.bfloat16, enabled=self._half)

    def _average(self) -> None:
        """Move the mean to the weights: by even shares at first, so that the start is forgotten."""
        share = 1.0 / min(self._step, self._plan.memory)
        with torch.no_grad():
            for name, weights in self._task.network.state_dict().items():
                self._mean[name].lerp_(weights, share)

    def _judge(self) -> None:
        """Look at the mean of the weights, and put them back."""
        network = self._task.network
        weights = _copy(network)
        network.load_state_dict(self._mean)
        network.eval()
        with torch.no_grad(), self._cast():
            value = self._task.validate()
        # A network that has found nothing yet is not done.
        if value is None or value > max(self.values, default=0.0) or not any(self.values):
            self.best, self.best_epoch = _copy(network), self.done
        if value is not None:
            self.values.append(value)
        network.load_state_dict(weights)

    def _what(self) -> str:
        told = f", loss {self.losses[-1]:.4f}" if self.losses else ""
        told += f", ndcg@10 {self.values[-1]:.4f}" if self.values else ""
        return f"epoch {self.done + 1}{told}"

    def checkpoint(self, key: str) -> Checkpoint:
        """All that the rest of the training depends on."""
        tensors = {f"weights/{n}": t for n, t in self._task.network.state_dict().items()}
        tensors |= {f"mean/{n}": t for n, t in self._mean.items()}
        tensors |= {f"best/{n}": t for n, t in self.best.items()}
        state = self._optimizer.state_dict()["state"]
        for index, moments in state.items():
            tensors |= {f"optimizer/{index}/{n}": t for n, t in moments.items()}
        tensors["generator"] = self._generator.get_state()
        numbers = {"done": self.done, "best_epoch": self.best_epoch, "step": self._step}
        return Checkpoint(key, numbers, self.losses, self.values, tensors)

    def restore(self, found: Checkpoint) -> None:
        """Go on from a checkpoint."""
        parts: dict[str, dict[str, Tensor]] = {"weights": {}, "mean": {}, "best": {}}
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in found.tensors.items():
            part, _, rest = name.partition("/")
            if part in parts:
                parts[part][rest] = tensor
            elif part == "optimizer":
                index, _, moment = rest.partition("/")
                moments.setdefault(int(index), {})[moment] = tensor
        self._task.network.load_state_dict(parts["weights"])
        where = self._generator.device
        self._mean = {n: t.to(where) for n, t in parts["mean"].items()}
        self.best = {n: t.to(where) for n, t in parts["best"].items()}
        self._optimizer.load_state_dict(self._optimizer.state_dict() | {"state": moments})
        self._generator.set_state(found.tensors["generator"])
        self.done, self.best_epoch = found.numbers["done"], found.numbers["best_epoch"]
        self._step = found.numbers["step"]
        self.losses, self.values = list(found.losses), list(found.values)


def _groups(network: nn.Module, plan: TrainingPlan) -> list[dict[str, Any]]:
    """Matrices decay; biases and scales, which have one dimension, do not."""
    parameters = list(network.parameters())
    return [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": plan.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]


def _rate(plan: TrainingPlan, step: int, batches: int) -> float:
    """Length of a step: rising over the warm-up, then even, or falling as a cosine does."""
    rise = min(1.0, (step + 1) / plan.warmup) if plan.warmup else 1.0
    if not plan.cosine:
        return plan.rate * rise
    return plan.rate * rise * 0.5 * (1.0 + math.cos(math.pi * step / (plan.epochs * batches)))


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}
