"""Abstract base class of text encoders."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nearline.common.progress import Progress, no_progress

Floats = NDArray[np.float32]


class Encoder(ABC):
    """Abstract base class of encoders: the cosine of two text vectors measures similar meaning.

    Images and sound are encoded outside Nearline and stored as vectors of catalogue entries.

    Attributes
    ----------
    name : str
        Value of the setting `Config.encoder` with which any process can open the same encoder.
    fingerprint : str
        Hash that identifies the model. Vectors of different models must not be compared.
    """

    name: str

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of everything that the vectors depend on."""

    @abstractmethod
    def encode(self, texts: Sequence[str], progress: Progress = no_progress) -> Floats:
        """Encode n texts as unit vectors of dimension d.

        The vector of a text does not depend on the other texts, except for rounding.

        Parameters
        ----------
        texts : sequence of str
            Texts to encode.
        progress : callable
            Progress callback. An exception that it raises ends the encoding and is passed on.

        Returns
        -------
        float32 [n, d]
            The vectors, in the order of the texts.
        """

    def close(self) -> None:  # noqa: B027 (most encoders hold no resources)
        """Release the resources of the encoder, which must not be used afterwards."""


def unit(vectors: Floats) -> Floats:
    """Scale the rows of `vectors`, float32 [n, d], to unit length; leave zero rows unchanged."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
