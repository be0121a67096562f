"""Checkpoints of training runs: a safetensors file each, with metadata as JSON in its header."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from nearline.errors import Damaged, InvalidInput


class Checkpoint(NamedTuple):
    """State of a training run from which it can be resumed.

    Attributes
    ----------
    key : str
        Identifier of the data and settings of the run.
    numbers : dict of str to int
        Counters: completed epochs, best epoch and completed steps.
    losses, values : list of float
        Training loss and validation value of each completed epoch.
    tensors : dict of str to Tensor
        Current, averaged and best weights, optimiser moments and generator state.
    """

    key: str
    numbers: dict[str, int]
    losses: list[float]
    values: list[float]
    tensors: Mapping[str, Tensor]


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: str
    numbers: dict[str, int]
    losses: list[float]
    values: list[float]


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint file; an existing file is replaced atomically."""
    header = _Header(checkpoint.key, checkpoint.numbers, checkpoint.losses, checkpoint.values)
    tensors = {name: tensor.cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    part = path.with_name(path.name + ".part")
    save_file(tensors, part, metadata={"training": msgspec.json.encode(header).decode()})
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)


def read_checkpoint(path: Path, key: str) -> Checkpoint:
    """Read a checkpoint file.

    Parameters
    ----------
    path : Path
        Checkpoint file.
    key : str
        Identifier that the checkpoint must have.

    Raises
    ------
    InvalidInput
        The checkpoint has another key: it belongs to other data or settings.
    Damaged
        The file cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = msgspec.json.decode(file.metadata()["training"], type=_Header)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, TypeError, KeyError, msgspec.MsgspecError) as error:
        raise Damaged(
            f"the checkpoint {path} cannot be read: {error}; delete it to train from the start"
        ) from error
    if header.key != key:
        raise InvalidInput(
            f"the checkpoint {path} is of other data, settings or seed; delete it, or give "
            "another path",
            field="checkpoint",
        )
    return Checkpoint(header.key, header.numbers, header.losses, header.values, tensors)
