"""TF-IDF vectors of short texts, with a growing vocabulary.

The weights are those of scikit-learn's `TfidfVectorizer` with word n-grams, sublinear term
frequency and smooth inverse document frequency (Salton and Buckley, "Term-weighting approaches in
automatic text retrieval", 1988):

    weight(t, d) = (1 + ln tf(t, d)) * (1 + ln((1 + n) / (1 + df(t))))

tf(t, d) is the number of occurrences of term t in text d, n the number of texts, and df(t) the
number of texts that contain t. The weights of a text are scaled to unit length.

In contrast to scikit-learn, texts added later extend the vocabulary, so that two new items that
share a new word are neighbours. Earlier vectors keep the document frequencies at the time of their
creation; the next fit updates them.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nearline.errors import Damaged
from nearline.kernels.edges import Rows

Vector = tuple[NDArray[np.int32], NDArray[np.float32]]

_WORD = re.compile(r"\w\w+")


class TfIdfConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the TF-IDF encoder.

    Attributes
    ----------
    longest : int
        Maximum length of word n-grams: with 2, terms are single words and pairs of words.
    """

    longest: int = 2


def terms(text: str, longest: int) -> list[str]:
    """Return word n-grams up to n = `longest`, in lower case, of words with two letters or more."""
    words: list[str] = _WORD.findall(text.lower())
    found = words.copy()
    for length in range(2, longest + 1):
        found += map(" ".join, zip(*(words[start:] for start in range(length)), strict=False))
    return found


class TfIdf:
    """Encoder that turns texts into sparse TF-IDF vectors of unit length.

    Attributes
    ----------
    vocabulary : dict of str to int
        Column of each term in the vectors.
    frequencies : list of int
        Document frequency of each term, by column.
    n_texts : int
        Number of texts with at least one term that were learned.
    """

    def __init__(self, config: TfIdfConfig | None = None) -> None:
        self.config = config or TfIdfConfig()
        self.vocabulary: dict[str, int] = {}
        self.frequencies: list[int] = []
        self.n_texts = 0

    def fit(self, texts: Sequence[str]) -> Rows:
        """Learn the vocabulary and document frequencies of texts, and encode them.

        Returns
        -------
        Rows
            Sparse vectors, one row per text.

        Notes
        -----
        The time complexity is O(total number of words).
        """
        counted = [self._learn(text) for text in texts]
        vectors = [self._vector(counts) for counts in counted]
        sizes = [len(columns) for columns, _ in vectors]
        return Rows(
            np.concatenate(([0], np.cumsum(sizes))).astype(np.int64),
            np.concatenate([np.zeros(0, np.int32)] + [columns for columns, _ in vectors]),
            np.concatenate([np.zeros(0, np.float32)] + [values for _, values in vectors]),
        )

    def add(self, text: str) -> Vector:
        """Learn a text, including new terms; return the columns and values of its vector.

        A text that replaces another must be preceded by `remove` of the other one's columns.
        """
        return self._vector(self._learn(text))

    def remove(self, columns: NDArray[np.int32]) -> None:
        """Subtract a text with these columns from the document frequencies."""
        for column in columns.tolist():
            self.frequencies[column] -= 1
        self.n_texts -= len(columns) > 0

    def encode(self, text: str) -> Vector:
        """Return the columns and values of a text's vector without learning the text.

        Terms that are not in the vocabulary are ignored.
        """
        counts = Counter(
            self.vocabulary[term]
            for term in terms(text, self.config.longest)
            if term in self.vocabulary
        )
        return self._vector(counts)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the state of the encoder as arrays by name.

        Terms are stored as UTF-8 text with one term per line; no term contains a newline.
        """
        return {
            "terms": np.frombuffer("\n".join(self.vocabulary).encode(), dtype=np.uint8),
            "frequencies": np.array(self.frequencies, dtype=np.int64),
            "n_texts": np.array([self.n_texts], dtype=np.int64),
        }

    @classmethod
    def restore(cls, config: TfIdfConfig, arrays: dict[str, NDArray[Any]]) -> "TfIdf":
        """Create an encoder from the result of the method `arrays`.

        Raises
        ------
        Damaged
            The numbers of terms and frequencies differ.
        """
        encoder = cls(config)
        text = arrays["terms"].tobytes().decode()
        encoder.vocabulary = {term: i for i, term in enumerate(text.split("\n") if text else [])}
        encoder.frequencies = [int(count) for count in arrays["frequencies"]]
        encoder.n_texts = int(arrays["n_texts"][0])
        if len(encoder.vocabulary) != len(encoder.frequencies):
            raise Damaged(
                f"the vocabulary has {len(encoder.vocabulary)} terms but "
                f"{len(encoder.frequencies)} frequencies; fit again"
            )
        return encoder

    def _learn(self, text: str) -> dict[int, int]:
        vocabulary, frequencies = self.vocabulary, self.frequencies
        counts = {}
        for term, count in Counter(terms(text, self.config.longest)).items():
            column = vocabulary.get(term)
            if column is None:
                column = vocabulary[term] = len(vocabulary)
                frequencies.append(0)
            frequencies[column] += 1
            counts[column] = count
        self.n_texts += len(counts) > 0
        return counts

    def _vector(self, counts: Mapping[int, int]) -> Vector:
        scale = 1 + self.n_texts
        weights = [
            (1.0 + math.log(count)) * (1.0 + math.log(scale / (1 + self.frequencies[column])))
            for column, count in counts.items()
        ]
        length = math.sqrt(math.fsum(weight * weight for weight in weights))
        columns = np.fromiter(counts, dtype=np.int32, count=len(counts))
        return columns, np.array([weight / length for weight in weights], dtype=np.float32)
