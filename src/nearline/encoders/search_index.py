"""An inverted index of the texts of items, changed item by item, ranked with BM25.

A search text matches an item by whole words, by stems, and by the beginning of its last word. Each
counts with its own inverse document frequency, ``ln(1 + (n - df + 0.5) / (df + 0.5))``, and less
the looser it is: 1, 1/2 and 1/4. So an item with the word comes before one with its beginning only.
If the encoder's vectors are set, items are also found by the cosine of their vectors.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from math import log
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.encoders.index import VectorIndex
from nearline.encoders.prefixes import PrefixDictionary
from nearline.encoders.search_terms import TermReader
from nearline.kernels.term_scores import add_term, best_allowed

Ints = NDArray[np.int32]
Floats = NDArray[np.float32]

STEM, BEGINNING = 0.5, 0.25
# Words with the beginning that are looked at, and the most frequent of these that are searched.
LOOKED_AT, EXPANDED = 512, 32
# Entries of inverted lists that a search reads for the beginning of a word.
MOST_ENTRIES = 200_000


class SearchHits(NamedTuple):
    """Items, best first, and their scores: int32, float32 [n]."""

    items: Ints
    scores: Floats


class Postings:
    """The items that have a term, ascending, and how often it occurs in each."""

    __slots__ = ("counts", "items")

    def __init__(self) -> None:
        self.items, self.counts = array("i"), array("H")

    def put(self, item: int, count: int) -> None:
        """Set the number of occurrences in an item; 0 removes it."""
        items, counts = self.items, self.counts
        at = len(items) if not items or items[-1] < item else bisect_left(items, item)
        if at < len(items) and items[at] == item:
            if count:
                counts[at] = count
            else:
                del items[at], counts[at]
        elif count:
            items.insert(at, item)
            counts.insert(at, count)


class SearchIndex:
    """Terms and vectors of items; one thread changes items while others search.

    Parameters
    ----------
    entries : sequence of (int, texts)
        Items, each with its texts: pairs of a text and how much an occurrence in it counts.

    Notes
    -----
    A changed item takes time proportional to its text. A term of very many items takes O(items)
    time beside that, to move its list: about 10 microseconds for 100,000 items.
    """

    def __init__(self, entries: Sequence[tuple[int, Sequence[tuple[str, int]]]] = ()) -> None:
        self._lock = Lock()
        self._reader = TermReader()
        self._lists: dict[str, Postings] = {}
        self._terms: dict[int, list[str]] = {}
        self._lengths = np.zeros(0, dtype=np.int32)
        self._total = 0
        self._words = PrefixDictionary()
        self._vectors: VectorIndex | None = None
        for item, texts in entries:
            self.put(item, texts)
        self._words = PrefixDictionary(self._lists)

    def __len__(self) -> int:
        """Return the number of items with a term."""
        return len(self._terms)

    def put(self, item: int, texts: Iterable[tuple[str, int]]) -> None:
        """Set the texts of an item, which replace the previous ones; none remove it."""
        found = self._reader.terms(texts)
        with self._lock:
            self._set(item, found)

    def put_vector(self, item: int, vector: Floats | None) -> None:
        """Set the vector of an item, float32 [d]; None removes it."""
        with self._lock:
            if vector is not None and (self._vectors is None or self._vectors.width != len(vector)):
                self._vectors = VectorIndex(len(vector))
            if self._vectors is not None:
                given = np.zeros(self._vectors.width, np.float32) if vector is None else vector
                self._vectors.put(item, given)

    def search(self, text: str, k: int, allowed: NDArray[np.bool_]) -> SearchHits:
        """Return the `k` items that match a text best, and their BM25 scores.

        Parameters
        ----------
        allowed : bool [n_items]
            Items that may be returned.
        """
        asked = self._reader.asked(text)
        with self._lock:
            scores = np.zeros(len(self._lengths), dtype=np.float32)
            lists = self._lists
            for words, weight in ((asked.words, 1.0), (asked.stems, STEM)):
                for word in words:
                    if word in lists:
                        self._add(scores, word, weight * self._rarity(len(lists[word].items)))
            if asked.beginning:
                self._add_beginning(asked.beginning, scores)
        return _best(scores, k, allowed)

    def nearest(self, vector: Floats, k: int, allowed: NDArray[np.bool_]) -> SearchHits:
        """Return the `k` items whose vectors have the largest positive cosines with `vector`."""
        with self._lock:
            vectors = self._vectors
            if vectors is None or vectors.width != len(vector):
                return _best(np.zeros(0, dtype=np.float32), k, allowed)
            found = vectors.cosines(vector)
        return _best(found, k, allowed)

    def _set(self, item: int, found: Mapping[str, int]) -> None:
        lists = self._lists
        for term in self._terms.pop(item, ()):
            if term not in found:
                postings = lists[term]
                postings.put(item, 0)
                if not postings.items:
                    del lists[term]
        for term, count in found.items():
            known = lists.get(term)
            if known is None:
                known = lists[term] = Postings()
                self._words.add(term)
            if not known.items or known.items[-1] < item:  # a new item, nearly always
                known.items.append(item)
                known.counts.append(count)
            else:
                known.put(item, count)
        if found:
            self._terms[item] = list(found)
        if item >= len(self._lengths):
            more = np.zeros(item + 1 - len(self._lengths) + item // 4 + 64, dtype=np.int32)
            self._lengths = np.append(self._lengths, more)
        length = sum(found.values())
        self._total += length - int(self._lengths[item])
        self._lengths[item] = length

    def _rarity(self, df: int) -> float:
        return log(1 + (max(0, len(self._terms) - df) + 0.5) / (df + 0.5))

    def _add_beginning(self, beginning: str, scores: Floats) -> None:
        lists = self._lists
        near = self._words.beginning(beginning, LOOKED_AT, lists)
        near.sort(key=lambda word: -len(lists[word].items))
        total = 0
        chosen: list[str] = []
        for word in near[:EXPANDED]:
            size = len(lists[word].items)
            if total + size <= MOST_ENTRIES or not chosen:
                total += size
                chosen.append(word)
        weight = BEGINNING * self._rarity(min(total, len(self._terms)))
        for word in chosen:
            self._add(scores, word, weight)

    def _add(self, scores: Floats, word: str, weight: float) -> None:
        """Add the weights of a word; the arrays must not be changed meanwhile."""
        postings = self._lists[word]
        items = np.frombuffer(postings.items, dtype=np.int32)
        counts = np.frombuffer(postings.counts, dtype=np.uint16)
        mean = max(1.0, self._total / max(1, len(self._terms)))
        add_term(scores, items, counts, self._lengths, mean, weight)


def _best(scores: Floats, k: int, allowed: NDArray[np.bool_]) -> SearchHits:
    return SearchHits(*best_allowed(scores, allowed, min(k, max(1, len(scores)))))
