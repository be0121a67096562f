"""Content-based recommendation with Word2Vec vectors of item texts."""

from typing import Any, ClassVar

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nearline.data.dataset import Dataset
from nearline.encoders.word2vec import Word2VecConfig, word2vec_texts
from nearline.models.base import Range, Space
from nearline.models.content.interest import InterestModel, Vectors, texts_of, unit_rows
from nearline.models.settings import require


class Word2VecContentConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `Word2VecContent`.

    Attributes
    ----------
    half_life : float
        Number of later events after which the weight of an event is halved.
    threshold : float
        Only items with a cosine above this, from -1 to 1, are recommended.
    centred : bool
        Whether to subtract the mean vector of all items, which does not distinguish them.
    encoder : Word2VecConfig
        Settings of Word2Vec.
    """

    half_life: float = 10.0
    threshold: float = 0.0
    centred: bool = True
    encoder: Word2VecConfig = Word2VecConfig()

    def __post_init__(self) -> None:
        require(self, "half_life", 0, 1e9, above=True)
        require(self, "threshold", -1, 1)
        require(self.encoder, "size", 1, 4_096)
        for field in ("window", "min_count", "epochs", "negative"):
            require(self.encoder, field, 1, 10_000)


class Word2VecContent(InterestModel):
    """Cosine between a decayed sum of a user's items and each item, over Word2Vec vectors.

    The vector of an item is the mean of its word vectors, weighted by inverse document frequency;
    otherwise the model is like `Content`. Words in similar contexts have similar vectors, so items
    can be similar without a common word.

    T. Mikolov, K. Chen, G. Corrado, J. Dean, "Efficient estimation of word representations in
    vector space", 2013, section 3.

    Use it if there are many long texts (at least about ten thousand words in total) with different
    words for the same thing. With fewer words, `content` is better. Requires the extra `word2vec`.
    Items without text are never listed, and a user whose items have none gets an empty list.
    """

    name: ClassVar[str] = "word2vec"
    config_type: ClassVar[type[Struct]] = Word2VecContentConfig
    space: ClassVar[Space] = {
        "half_life": Range(1.0, 200.0, log=True),
        "encoder.size": Range(16, 256, log=True),
        "encoder.window": Range(2, 10),
        "encoder.epochs": Range(5, 50, log=True),
    }

    def _encode(self, data: Dataset, seed: int) -> Vectors:
        vectors = word2vec_texts(texts_of(data, self.name), self.config.encoder, seed)
        if self.config.centred:
            known = vectors.any(axis=1)
            vectors[known] -= vectors[known].mean(axis=0) if known.any() else 0.0
        return unit_rows(vectors.astype(np.float64))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the vectors of the items."""
        return {"vectors": np.asarray(self._vectors)}

    def _load(self, arrays: dict[str, NDArray[Any]]) -> None:
        self._set_vectors(arrays["vectors"])
