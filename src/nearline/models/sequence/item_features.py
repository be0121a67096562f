"""Item features of neural models: vector columns, or the texts in few dimensions.

    x = (f - mean) / spread,    f = concatenated unit vectors, or tfidf(text) V

f are the features of an item before normalisation, and V contains the first right singular vectors
of the TF-IDF matrix of the catalogue (S. Deerwester et al., "Indexing by latent semantic analysis",
JASIS 41, 1990). An item without vectors or text has features of zero. Items that are added later
are encoded in the same way, which needs only NumPy.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.data.dataset import Dataset, FloatArray
from nearline.encoders.base import unit
from nearline.encoders.tfidf import TfIdf, TfIdfConfig
from nearline.errors import InvalidInput
from nearline.kernels.csr import Csr
from nearline.models.truncated_svd import truncated_svd

Arrays = dict[str, NDArray[Any]]

# Minimum number of items with a term; a term of a single item relates it to no other.
FEWEST_ITEMS = 2
# Number of rows or columns up to which a full decomposition is as fast as a truncated one.
DENSE = 256


class ItemFeatures:
    """Encoder of item features. Features of the catalogue have mean 0 and mean squared length 1.

    Attributes
    ----------
    names : list of str
        Vector columns that are used; if empty, texts are used.
    mean : float32 [f]
        Mean of the features.
    spread : float32 [1]
        Root mean square length of the centred features.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.mean: FloatArray = np.zeros(0, dtype=np.float32)
        self.spread: FloatArray = np.ones(1, dtype=np.float32)
        self._sizes: list[int] = []
        self._words = TfIdf(TfIdfConfig(longest=1))
        self._directions: FloatArray = np.zeros((0, 0), dtype=np.float32)

    def fit(self, data: Dataset, width: int, seed: int) -> FloatArray | None:
        """Learn from a catalogue and return its features, or None if there are none.

        Parameters
        ----------
        data : Dataset
            Items with texts or vectors.
        width : int
            Maximum number of dimensions of text features; 0 disables all item features.
        seed : int
            Seed of the decomposition.

        Returns
        -------
        float32 [n_items, f] or None
            Features of each item.

        Raises
        ------
        InvalidInput
            A vector is not finite.
        """
        if width == 0 or data.n_items == 0:
            return None
        self.names = sorted(data.vectors)
        self._sizes = [data.vectors[name].shape[1] for name in self.names]
        if not self.names and data.texts is not None:
            self._learn_words(data.texts, width, seed)
        raw = self._raw(data.texts or [""] * data.n_items, data.vectors)
        known = raw.any(axis=1)
        if not known.any():
            return None
        self.mean = raw[known].mean(axis=0)
        centred = raw[known] - self.mean
        self.spread = np.sqrt((centred * centred).sum(axis=1).mean(keepdims=True))
        if self.spread[0] <= 0:
            self.spread = np.ones(1, dtype=np.float32)
        return self._scaled(raw)

    def encode(self, texts: Sequence[str], vectors: Mapping[str, FloatArray]) -> FloatArray:
        """Return the features of n items: float32 [n, f]; a missing vector column is zero."""
        return self._scaled(self._raw(texts, vectors))

    def arrays(self) -> Arrays:
        """Return all learned parameters as arrays by name.

        The names of vector columns are stored as UTF-8, each followed by a zero byte.
        """
        words = self._words.arrays()
        return {
            "names": np.frombuffer("".join(f"{n}\0" for n in self.names).encode(), dtype=np.uint8),
            "sizes": np.array(self._sizes, dtype=np.int64),
            "mean": self.mean,
            "spread": self.spread,
            "directions": self._directions,
            **{f"words/{name}": array for name, array in words.items()},
        }

    @classmethod
    def restore(cls, arrays: Arrays) -> "ItemFeatures":
        """Create an encoder from the result of the method `arrays`."""
        features = cls()
        features.names = arrays["names"].tobytes().decode().split("\0")[:-1]
        features._sizes = [int(size) for size in arrays["sizes"]]
        features.mean, features.spread = arrays["mean"], arrays["spread"]
        features._directions = arrays["directions"]
        prefix = "words/"
        words = {k.removeprefix(prefix): a for k, a in arrays.items() if k.startswith(prefix)}
        features._words = TfIdf.restore(TfIdfConfig(longest=1), words)
        return features

    def _learn_words(self, texts: Sequence[str], width: int, seed: int) -> None:
        self._words.fit(texts)
        kept = np.flatnonzero(self._words.frequencies >= FEWEST_ITEMS)
        self._words = self._words.restricted(kept)
        self._directions = _directions(self._tfidf(texts), width, seed)

    def _tfidf(self, texts: Sequence[str]) -> Csr:
        vectors = [self._words.encode(text) for text in texts]
        sizes = np.cumsum([0] + [len(columns) for columns, _ in vectors])
        columns = np.concatenate([np.zeros(0, np.int32)] + [columns for columns, _ in vectors])
        values = np.concatenate([np.zeros(0, np.float32)] + [values for _, values in vectors])
        shape = (len(texts), self._words.n_terms)
        return Csr(values, columns, sizes, shape)

    def _raw(self, texts: Sequence[str], vectors: Mapping[str, FloatArray]) -> FloatArray:
        if not self.names:
            if not self._directions.size:
                return np.zeros((len(texts), 0), dtype=np.float32)
            rows: FloatArray = np.asarray(self._tfidf(texts) @ self._directions, dtype=np.float32)
            return rows
        columns = []
        for name, size in zip(self.names, self._sizes, strict=True):
            block = vectors.get(name)
            block = np.zeros((len(texts), size), np.float32) if block is None else block
            wrong = np.flatnonzero(~np.isfinite(block).all(axis=1))
            if len(wrong):
                raise InvalidInput(
                    f"vector {name!r} of item {wrong[0]} is not finite; impute it or leave it out",
                    field=name,
                )
            columns.append(unit(block))
        return np.hstack(columns)

    def _scaled(self, raw: FloatArray) -> FloatArray:
        known = raw.any(axis=1, keepdims=True)
        return np.where(known, (raw - self.mean) / self.spread, np.float32(0.0))


def _directions(matrix: Csr, width: int, seed: int) -> FloatArray:
    """Return the first `width` right singular vectors of a matrix: float32 [n_terms, width]."""
    smaller = min(matrix.shape)
    if smaller == 0 or matrix.nnz == 0:
        return np.zeros((matrix.shape[1], 0), dtype=np.float32)
    if smaller <= max(DENSE, width):
        _, values, right = np.linalg.svd(matrix.toarray().astype(np.float64), full_matrices=False)
    else:
        start = np.random.default_rng(seed).standard_normal(smaller)
        user = "text as a feature of a neural model"
        values, right = truncated_svd(matrix.astype(np.float64), width, start, user)
    kept = values > 1e-6 * values[0]
    return np.ascontiguousarray(right[kept][:width].T, dtype=np.float32)
