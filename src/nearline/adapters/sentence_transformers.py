"""Text encoder that uses the library sentence-transformers, for models without an ONNX file."""

import os
from collections.abc import Sequence
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from nearline.common.progress import Progress, no_progress
from nearline.encoders.base import Encoder, Floats, unit
from nearline.errors import DataNotFound, MissingExtra

PREFIX = "sentence_transformers:"
BATCH_TEXTS = 256


class SentenceTransformersEncoder(Encoder):
    """Encoder for models that the library sentence-transformers can load.

    It uses a GPU if there is one.

    Parameters
    ----------
    name : str
        ``sentence_transformers:MODEL``, where MODEL is a folder or a name on the Hugging Face hub.

    Raises
    ------
    MissingExtra
        The library is not installed.
    """

    def __init__(self, name: str) -> None:
        try:
            import sentence_transformers
        except ImportError:
            raise MissingExtra(
                f"encoder {name!r} needs sentence-transformers: "
                "pip install 'nearline[sentence-transformers]'"
            ) from None
        self.name, self._model_name = name, name.removeprefix(PREFIX)
        self._library: Any = sentence_transformers

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the name and, if the model is a folder, of its files."""
        digest = blake2b(self.name.encode(), digest_size=16)
        folder = Path(self._model_name)
        for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
            if path.is_file():
                digest.update(os.fsencode(path.relative_to(folder)) + b"\0" + path.read_bytes())
        return digest.hexdigest()

    def encode(self, texts: Sequence[str], progress: Progress = no_progress) -> Floats:
        """Encode n texts as unit vectors: float32 [n, d], as described in `Encoder.encode`.

        Raises
        ------
        DataNotFound
            The library cannot load the model.
        """
        model, parts = self._model, []
        for first in range(0, len(texts), BATCH_TEXTS):
            progress(first, len(texts), "encode texts")
            batch = list(texts[first : first + BATCH_TEXTS])
            found = model.encode(batch, show_progress_bar=False, convert_to_numpy=True)
            parts.append(unit(np.asarray(found, dtype=np.float32)))
        progress(len(texts), len(texts), "encode texts")
        return np.concatenate(parts) if parts else np.zeros((0, 0), dtype=np.float32)

    @cached_property
    def _model(self) -> Any:
        try:
            return self._library.SentenceTransformer(self._model_name)
        except Exception as error:  # the library and its dependencies raise many exception types
            raise DataNotFound(
                f"sentence-transformers cannot load {self._model_name!r} "
                f"({type(error).__name__}); check the name, the network or the folder"
            ) from error
