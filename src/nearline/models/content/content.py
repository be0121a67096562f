"""Content-based recommendation by the text, categories and vectors of items."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nearline.data.dataset import Dataset
from nearline.encoders.tfidf import TfIdf, TfIdfConfig
from nearline.errors import InvalidInput
from nearline.kernels.csr import Csr, beside
from nearline.models.array_checks import (
    MOST_ITEMS,
    check_array,
    check_indices,
    check_number,
    check_starts,
)
from nearline.models.base import Range, Space
from nearline.models.content.interest import InterestModel, unit_rows
from nearline.models.settings import require


class ContentConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `Content`.

    Attributes
    ----------
    half_life : float
        Number of later events after which the weight of an event is halved.
    threshold : float
        Only items with a cosine above this, from -1 to 1, are recommended.
    words, labels, vectors : float
        Relative weight of each block of features in the cosine of two items: the TF-IDF vectors of
        the texts, the categories, and the vector columns. 0 disables a block.
    longest : int
        Maximum length of word n-grams.
    """

    half_life: float = 10.0
    threshold: float = 0.0
    words: float = 1.0
    labels: float = 0.5
    vectors: float = 0.5
    longest: int = 1

    def __post_init__(self) -> None:
        require(self, "half_life", 0, 1e9, above=True)
        require(self, "threshold", -1, 1)
        for field in ("words", "labels", "vectors"):
            require(self, field, 0, 1e9)
        require(self, "longest", 1, 5)


class Content(InterestModel):
    """Cosine between a decayed sum of a user's items and each item.

    f_i concatenates blocks of unit length, each multiplied by the square root of its weight: TF-IDF
    of the item's text, its categories (weighted by inverse document frequency), and each vector
    column. u = sum of decayed weight * f over the history; score = u . f_i / (|u| |f_i|).

    M. Pazzani, D. Billsus, "Content-based recommendation systems", The Adaptive Web, LNCS 4321,
    2007, section 10.3; negative weights move away from an item as in J. Rocchio, "Relevance
    feedback in information retrieval", 1971.

    Use it for new items, which have no events, and if recommendations should be explained by the
    content of items. It recommends similar items regardless of their quality; if there are events,
    combine it with a collaborative model. Items without features are never listed, and a user whose
    items have none gets an empty list.

    Training takes O(total number of words) time. Scoring a user costs the postings of the terms of
    the user's items.
    """

    name: ClassVar[str] = "content"
    config_type: ClassVar[type[Struct]] = ContentConfig
    space: ClassVar[Space] = {
        "half_life": Range(1.0, 200.0, log=True),
        "words": Range(0.0, 1.0),
        "labels": Range(0.0, 1.0),
        "vectors": Range(0.0, 1.0),
        "longest": (1, 2),
    }

    def _encode(self, data: Dataset, seed: int) -> Csr:
        """Compute item vectors, sparse [n_items, d], from the features that `data` has.

        Raises
        ------
        InvalidInput
            There are no features, or a vector is not finite.
        """
        del seed
        config, blocks = self.config, []
        if data.texts is not None and config.words:
            encoder = TfIdf(TfIdfConfig(longest=config.longest))
            words = encoder.fit(data.texts)
            blocks.append((config.words, Csr.from_rows(words, encoder.n_terms)))
        if data.categories is not None and config.labels:
            blocks.append((config.labels, _labels(data.categories)))
        if config.vectors:
            blocks += [(config.vectors, block) for block in _columns(data.vectors)]
        if not blocks:
            raise InvalidInput(
                "no item has text, categories or vectors that the settings use; "
                "give items with features, or weights above 0",
                field="items",
            )
        scaled = [
            unit_rows(block).scaled(np.full(data.n_items, np.sqrt(share), dtype=np.float32))
            for share, block in blocks
        ]
        return unit_rows(beside(scaled))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the vectors of the items as a sparse matrix."""
        vectors = self._vectors
        if isinstance(vectors, np.ndarray):
            vectors = Csr.from_dense(vectors)
        return {
            "indptr": vectors.indptr,
            "columns": vectors.indices,
            "values": vectors.data,
            "width": np.array([vectors.shape[1]], dtype=np.int64),
        }

    def _load(self, arrays: dict[str, NDArray[Any]]) -> None:
        columns, indptr = arrays["columns"], arrays["indptr"]
        for name in ("columns", "indptr"):  # snapshots have either width
            check_array(arrays, name, "int32" if arrays[name].itemsize == 4 else "int64", None)
        values = check_array(arrays, "values", "float32", len(columns))
        width = check_number(arrays, "width", 0, MOST_ITEMS)
        check_starts("indptr", indptr, len(columns))
        check_indices("columns", columns, width)
        self._set_vectors(Csr(values, columns, indptr, (len(indptr) - 1, width)))


def _labels(categories: list[list[str]]) -> Csr:
    """Return the weights of the categories of n items: sparse [n, categories].

    A category of m items has the weight 1 + ln((1 + n) / (1 + m)).
    """
    number: dict[str, int] = {}
    rows, columns = [], []
    for item, labels in enumerate(categories):
        for label in dict.fromkeys(labels):
            rows.append(item)
            columns.append(number.setdefault(label, len(number)))
    shape = (len(categories), max(len(number), 1))
    counts = np.bincount(columns, minlength=shape[1])
    rarity = (1.0 + np.log((1 + len(categories)) / (1 + counts))).astype(np.float32)
    return Csr.from_pairs(rarity[columns], rows, columns, shape)


def _columns(vectors: Mapping[str, NDArray[np.float32]]) -> list[Csr]:
    """Convert vector columns to sparse matrices, in the order of their names.

    Raises
    ------
    InvalidInput
        A value is not finite.
    """
    for name, values in vectors.items():
        wrong = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if len(wrong):
            raise InvalidInput(
                f"vector {name!r} of item {wrong[0]} is not finite; impute it or leave it out",
                field=name,
            )
    return [Csr.from_dense(vectors[name]) for name in sorted(vectors)]
