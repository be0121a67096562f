"""Training loop of all networks: minibatches, AdamW, early stopping and checkpoints.

I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019 (AdamW); L. Prechelt,
"Early stopping - but when?", Neural Networks: Tricks of the Trade, LNCS 1524, 1998 (training stops
after `patience` epochs without a better validation value, and the best weights are kept);
B. Polyak, A. Juditsky, "Acceleration of stochastic approximation by averaging", SIAM Journal on
Control and Optimization 30, 1992 (a running mean of the weights is more accurate than the last
weights).
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
    """Hyperparameters of the training loop.

    Attributes
    ----------
    epochs : int
        Maximum number of epochs.
    patience : int
        Number of epochs without a better validation value after which training stops.
    rate : float
        Learning rate.
    weight_decay : float
        Weight decay of AdamW; biases and normalisation scales are not decayed.
    warmup : int
        Number of first steps over which the learning rate rises linearly.
    cosine : bool
        Whether the learning rate follows a cosine schedule down to zero over all epochs.
    memory : int
        Approximate number of steps over which weights are averaged for validation and for the
        result; 1 disables averaging.
    clip : float
        Maximum norm of the gradient over all parameters.
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
    """Result of a training run.

    Attributes
    ----------
    epochs : int
        Epoch of the selected weights: the one with the best validation value, or the last one
        without validation.
    losses : list of float
        Mean training loss of each epoch.
    values : list of float
        Validation value after each epoch, higher is better; empty without validation.
    """

    epochs: int
    losses: list[float]
    values: list[float]


class TrainingTask(ABC):
    """Abstract base class of a network with its training data, loss and validation.

    Attributes
    ----------
    network : nn.Module
        Module with all parameters, initialised and on its device.
    """

    network: nn.Module

    @abstractmethod
    def batches(self, generator: torch.Generator) -> Sequence[Any]:
        """Return the batches of one epoch in random order; every epoch has the same number."""

    @abstractmethod
    def loss(self, batch: Any, generator: torch.Generator) -> Tensor:
        """Compute the mean loss of a batch: a scalar tensor with gradients.

        All random numbers must be drawn from `generator`, for reproducible training.
        """

    def threads(self) -> int:
        """Return the number of threads for training; tasks with very short steps override it."""
        return available_threads()

    def validate(self) -> float | None:
        """Return a validation value that is higher for better networks; None without validation."""
        return None


def device() -> torch.device:
    """Return the device to train on: a GPU if PyTorch can use one, the CPU otherwise."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def half_precision(where: torch.device) -> bool:
    """Return whether matrix products are faster in bfloat16 than in float32 on a device.

    Weights are stored as float32 in both cases.

    P. Micikevicius et al., "Mixed precision training", ICLR 2018.
    """
    if where.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


@contextmanager
def own_threads(threads: int) -> Iterator[None]:
    """Return a context in which PyTorch uses `threads` threads."""
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
    """Train the network of `task`; afterwards, the network has the weights of its best epoch.

    Parameters
    ----------
    task : TrainingTask
        Network, training data, loss and validation.
    plan : TrainingPlan
        Hyperparameters of the training loop.
    seed : int
        Seed of batch order, sampling and dropout.
    progress : callable
        Progress callback, called before every batch; an exception that it raises ends training.
    checkpoint : Path or None
        File written after every epoch. If it exists, training resumes from it; the result is
        bit-identical to that of an uninterrupted run (same machine and number of threads).
    key : str
        Identifier of data and settings; a checkpoint with another key is rejected.

    Raises
    ------
    InvalidInput
        The loss is not finite, or the checkpoint belongs to another training run.
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
    """State of a training run: network, optimiser, averaged weights and best weights."""

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
        """Return whether training is finished, by the number of epochs or by early stopping."""
        waited = self.done - self.best_epoch if self.values else 0
        return self.done >= self._plan.epochs or waited >= self._plan.patience

    def epoch(self) -> None:
        """Train for one epoch and compute the validation value."""
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
        """Return a context in which matrix products use bfloat16 if that is faster."""
        return torch.autocast(self._generator.device.type, torch.bfloat16, enabled=self._half)

    def _average(self) -> None:
        """Update the running mean of the weights.

        It is the arithmetic mean for the first `memory` steps, then an exponential moving average.
        """
        share = 1.0 / min(self._step, self._plan.memory)
        with torch.no_grad():
            for name, weights in self._task.network.state_dict().items():
                self._mean[name].lerp_(weights, share)

    def _judge(self) -> None:
        """Validate the averaged weights and store them if they are the best so far.

        The network has its current weights again afterwards.
        """
        network = self._task.network
        weights = _copy(network)
        network.load_state_dict(self._mean)
        network.eval()
        with torch.no_grad(), self._cast():
            value = self._task.validate()
        # While every validation value is 0, later weights replace earlier ones.
        if value is None or value > max(self.values, default=0.0) or not any(self.values):
            self.best, self.best_epoch = _copy(network), self.done
        if value is not None:
            self.values.append(value)
        network.load_state_dict(weights)

    def _what(self) -> str:
        metrics = f", loss {self.losses[-1]:.4f}" if self.losses else ""
        metrics += f", ndcg@10 {self.values[-1]:.4f}" if self.values else ""
        return f"epoch {self.done + 1}{metrics}"

    def checkpoint(self, key: str) -> Checkpoint:
        """Return a checkpoint from which training can be resumed."""
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
        """Replace the state of this run with that of a checkpoint."""
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
    """Return parameter groups for the optimiser: only matrices have weight decay."""
    parameters = list(network.parameters())
    return [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": plan.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]


def _rate(plan: TrainingPlan, step: int, batches: int) -> float:
    """Return the learning rate of a step: a linear warm-up, times a constant or cosine schedule.

    `batches` is the number of steps in an epoch.
    """
    rise = min(1.0, (step + 1) / plan.warmup) if plan.warmup else 1.0
    if not plan.cosine:
        return plan.rate * rise
    return plan.rate * rise * 0.5 * (1.0 + math.cos(math.pi * step / (plan.epochs * batches)))


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}
