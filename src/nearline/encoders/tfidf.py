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

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nearline.encoders.reading import WORDS, make_reader, words
from nearline.errors import Damaged
from nearline.kernels.edges import Rows
from nearline.kernels.terms import (
    TermCounts,
    TermTable,
    count_distinct,
    hash_lines,
    hash_texts,
    insert,
    learn,
    look_up,
    weigh,
)

Vector = tuple[NDArray[np.int32], NDArray[np.float32]]

# Texts that are split into words together: bounds the memory and the time of one call.
TEXTS_AT_ONCE = 1_024
# Smallest capacity of the table of terms, a power of two.
CAPACITY = 1_024


class TfIdfConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the TF-IDF encoder.

    Attributes
    ----------
    longest : int
        Maximum length of word n-grams: with 2, terms are single words and pairs of words.
    reading : str
        How texts are read, one of `READINGS`; see `nearline.encoders.reading`.
    """

    longest: int = 2
    reading: str = WORDS


def terms(text: str, longest: int) -> list[str]:
    """Return word n-grams up to n = `longest`: all words, then all pairs of words, and so on."""
    own = words(text)
    found = own.copy()
    for length in range(2, longest + 1):
        found += map(" ".join, zip(*(own[start:] for start in range(length)), strict=False))
    return found


class TfIdf:
    """Encoder that turns texts into sparse TF-IDF vectors of unit length.

    Terms are known by hashes of 64 bits; see `nearline.kernels.terms`. One thread at a time may
    add and remove texts; others may encode texts meanwhile.

    Attributes
    ----------
    n_terms : int
        Number of terms of the vocabulary; each has a column of the vectors.
    n_texts : int
        Number of texts with at least one term that were learned.
    """

    def __init__(self, config: TfIdfConfig | None = None) -> None:
        self.config = config or TfIdfConfig()
        self.n_terms = self.n_texts = 0
        self._table = _make_table(0)
        self._reader = make_reader(self.config.reading)

    @property
    def frequencies(self) -> NDArray[np.int32]:
        """Number of texts that contain each term, by column: int32 [n_terms]."""
        return self._table.frequencies[: self.n_terms]

    def columns_of(self, terms: Sequence[str]) -> NDArray[np.int32]:
        """Return the columns of some terms: int32 [n], -1 for an unknown term."""
        return look_up(self._table, _hashes_of_terms(terms))

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
        self._reader.survey(texts)
        if not any(texts):  # then the kernels for texts need not be compiled
            indptr = np.zeros(len(texts) + 1, dtype=np.int64)
            return Rows(indptr, np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32))
        blocks = [self._learn(self._reader.read(block)) for block in _blocks(texts)]
        sizes, columns, counts = (
            np.concatenate([np.zeros(0, kind), *(block[field] for block in blocks)])
            for field, kind in ((0, np.int64), (1, np.int32), (2, np.int32))
        )
        n_texts = np.full(len(texts), self.n_texts)
        values = weigh(TermCounts(sizes, columns, counts, self.frequencies[columns], n_texts))
        return Rows(np.concatenate(([0], np.cumsum(sizes))).astype(np.int64), columns, values)

    def add(self, texts: Sequence[str]) -> tuple[Rows, NDArray[np.int32]]:
        """Learn texts one after the other, including new terms, and encode each at that time.

        A text that replaces another must be preceded by `remove` of the other one's columns.

        Returns
        -------
        Rows, int32 [m]
            Vectors of the texts, and for each entry the document frequency of its term up to and
            including its text.
        """
        counted = self._learn(self._reader.learn(texts))
        indptr = np.concatenate(([0], np.cumsum(counted.sizes))).astype(np.int64)
        return Rows(indptr, counted.columns, weigh(counted)), counted.frequencies

    def remove(self, columns: NDArray[np.int32]) -> None:
        """Subtract a text with these columns from the document frequencies."""
        self._table.frequencies[columns] -= 1
        self.n_texts -= len(columns) > 0

    def encode(self, text: str) -> Vector:
        """Return the columns and values of a text's vector without learning the text.

        Terms that are not in the vocabulary are ignored. If the text may be read in several ways,
        the one with the most known terms is taken.
        """
        table = self._table
        found = [self._count(table, text) for text in self._reader.readings(text)]
        columns, counts = max(found, key=lambda one: len(one[0]))
        sizes, n_texts = np.array([len(columns)]), np.array([self.n_texts])
        frequencies = table.frequencies[columns]
        return columns, weigh(TermCounts(sizes, columns, counts, frequencies, n_texts))

    def _count(self, table: TermTable, text: str) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return the columns of the known terms of a text that was read, and their counts."""
        _, hashes = _hashes([text], self.config.longest)
        distinct, counts = hashes.copy(), np.zeros(len(hashes), dtype=np.int32)
        n = count_distinct(hashes, _slots(len(hashes)), distinct, counts)
        columns = look_up(table, distinct[:n])
        known = columns >= 0
        return columns[known], counts[:n][known]

    def restricted(self, columns: NDArray[np.int64]) -> "TfIdf":
        """Return an encoder whose vocabulary consists of some terms, numbered in this order."""
        own = self.arrays()
        chosen = {name: own[name][columns] for name in ("hashes", "frequencies")}
        return self.restore(self.config, own | chosen)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the state of the encoder as arrays by name; hashes are those of the terms."""
        table = self._table
        used = table.keys != 0
        hashes = np.zeros(self.n_terms, dtype=np.int64)
        hashes[table.columns[used]] = table.keys[used]
        return {
            "hashes": hashes,
            "frequencies": self.frequencies.astype(np.int64),
            "n_texts": np.array([self.n_texts], dtype=np.int64),
            **self._reader.arrays(),
        }

    @classmethod
    def restore(cls, config: TfIdfConfig, arrays: dict[str, NDArray[Any]]) -> "TfIdf":
        """Create an encoder from the result of the method `arrays`.

        Arrays of earlier versions contain `terms` instead of hashes: UTF-8 text with one per line.

        Raises
        ------
        Damaged
            The numbers of terms and frequencies differ.
        """
        encoder = cls(config)
        encoder._reader = make_reader(config.reading, arrays)
        if "terms" in arrays:
            text = arrays["terms"].tobytes().decode()
            hashes = _hashes_of_terms(text.split("\n") if text else [])
        else:
            hashes = np.array(arrays["hashes"], dtype=np.int64)
        frequencies = arrays["frequencies"]
        if len(hashes) != len(frequencies):
            raise Damaged(
                f"the vocabulary has {len(hashes)} terms but "
                f"{len(frequencies)} frequencies; fit again"
            )
        if frequencies.dtype != np.int64 or frequencies.ndim != 1 or hashes.ndim != 1:
            raise Damaged("the vocabulary has arrays of another type; fit again")
        encoder.n_terms, encoder.n_texts = len(hashes), int(arrays["n_texts"][0])
        encoder._table = _make_table(len(hashes))
        insert(encoder._table, hashes, np.arange(len(hashes), dtype=np.int32))
        encoder._table.frequencies[: len(hashes)] = frequencies
        return encoder

    def _learn(self, texts: Sequence[str]) -> TermCounts:
        """Learn the terms of texts that were read."""
        sizes, hashes = _hashes(texts, self.config.longest)
        self._make_room(self.n_terms + len(hashes))
        slots = _slots(int(sizes.max(initial=0)))
        counted = learn(self._table, self.n_terms, self.n_texts, sizes, hashes, slots)
        # Columns are given in order, so the largest one is that of the newest term.
        self.n_terms = max(self.n_terms, int(counted.columns.max(initial=-1)) + 1)
        if len(texts):
            self.n_texts = int(counted.n_texts[-1])
        return counted

    def _make_room(self, n_terms: int) -> None:
        """Move to a larger table if `n_terms` do not fit; other threads may read the old one."""
        old = self._table
        if _capacity(n_terms) <= len(old.keys) and n_terms <= len(old.frequencies):
            return
        table = _make_table(n_terms)
        used = old.keys != 0
        insert(table, old.keys[used], old.columns[used])
        table.frequencies[: self.n_terms] = self.frequencies
        self._table = table


def _blocks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(texts), TEXTS_AT_ONCE):
        yield texts[first : first + TEXTS_AT_ONCE]


def _hashes(texts: Sequence[str], longest: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the number of terms of texts that were read, and the hashes of the terms of all."""
    return hash_texts(np.frombuffer("\n".join(texts).encode(), dtype=np.uint8), len(texts), longest)


def _hashes_of_terms(terms: Sequence[str]) -> NDArray[np.int64]:
    joined = "\n".join(terms).encode()
    return hash_lines(np.frombuffer(joined, dtype=np.uint8), len(terms))


def _slots(n_terms: int) -> NDArray[np.int32]:
    return np.full(max(2, 1 << (2 * n_terms - 1).bit_length()), -1, dtype=np.int32)


def _capacity(n_terms: int) -> int:
    """Return the smallest capacity at which at most two thirds of the slots are used."""
    return max(CAPACITY, 1 << (n_terms + n_terms // 2).bit_length())


def _make_table(n_terms: int) -> TermTable:
    """Make an empty table with room for `n_terms`, and more frequencies."""
    capacity = _capacity(n_terms)
    return TermTable(
        np.zeros(capacity, dtype=np.int64),
        np.zeros(capacity, dtype=np.int32),
        np.zeros(2 * capacity // 3, dtype=np.int32),
    )
