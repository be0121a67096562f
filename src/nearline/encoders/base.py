"""Interface of text encoders."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nearline.common.progress import Progress, no_progress

Floats = NDArray[np.float32]


class Encoder(ABC):
    """Encode texts as vectors whose cosine measures similarity of meaning.

    Other media (images, sound) are encoded outside Nearline and given as vector columns of items.

    Attributes
    ----------
    name : str
        Name that `Config.encoder` opens the encoder by, in any process.
    fingerprint : str
        Identifies the model: vectors with different fingerprints must not be compared.
    """

    name: str

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Return a hash of everything that the vectors depend on."""

    @abstractmethod
    def encode(self, texts: Sequence[str], progress: Progress = no_progress) -> Floats:
        """Encode texts as unit vectors: float32 [n, d].

        The vector of a text does not depend on the other texts, except for rounding. An exception
        raised by `progress` aborts the call.
        """

    def close(self) -> None:  # noqa: B027 (most encoders hold no resources)
        """Release resources; the encoder must not be used afterwards."""


def unit(vectors: Floats) -> Floats:
    """Scale rows to unit length; rows of zeros are unchanged."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
