"""The port of all encoders: texts in, unit vectors out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nearline.common.progress import Progress, no_progress

Floats = NDArray[np.float32]


class Encoder(ABC):
    """Turns texts into vectors whose cosine says how near their meanings are.

    What is no text (images, sound) is encoded outside, and comes in as vector columns of the items.

    Attributes
    ----------
    name : str
        What `Config.encoder` opens it by, in another process too.
    fingerprint : str
        Tells the model from all others: vectors of two fingerprints must never be compared.
    """

    name: str

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of everything that the vectors depend on."""

    @abstractmethod
    def encode(self, texts: Sequence[str], progress: Progress = no_progress) -> Floats:
        """Encode texts, float32 [n, d], each row of length one.

        A text has the same vector whatever others it is encoded with, but for rounding. An error
        that `progress` raises ends the work.
        """

    def close(self) -> None:  # noqa: B027 (most hold nothing that needs it)
        """Give back what is held open; nothing is encoded afterwards."""


def unit(vectors: Floats) -> Floats:
    """Rows scaled to length one; a row of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
