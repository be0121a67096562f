"""Nearest-neighbour index of texts, in which single items can be updated."""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.encoders.later_vectors import LaterVectors
from nearline.encoders.tfidf import TfIdf, TfIdfConfig, Vector
from nearline.kernels.edges import Rows, occurrences, pack, product_edges
from nearline.kernels.text_neighbours import longest_search, nearest_added, nearest_rows
from nearline.kernels.text_search import (
    EXACT,
    EXACT_TOGETHER,
    SearchScratch,
    make_scratch,
    nearest,
)

Ints = NDArray[np.int32]
Floats = NDArray[np.float32]
Arrays = dict[str, NDArray[Any]]


class TextChanges(NamedTuple):
    """Items with new texts and the digests of these; `replaces` if the only item had a text."""

    items: list[int]
    texts: list[str]
    digests: list[int]
    replaces: bool


class TextIndex:
    """Nearest-neighbour index of item texts, by the cosine of their TF-IDF vectors.

    Vectors of `fit` are stored in sparse arrays. Vectors set later with `put` are stored beside
    them and override them. Neighbours are exact unless very many items share the terms of one:
    see `nearline.kernels.text_search`.
    """

    def __init__(self, config: TfIdfConfig | None = None) -> None:
        self.encoder = TfIdf(config)
        self._digests = np.zeros(0, dtype=np.int64)
        self._set_base(pack([]), 0)

    def fit(self, texts: list[str], k: int) -> Rows:
        """Index the texts of all items.

        Parameters
        ----------
        texts : list of str
            Text of each item; an empty text has no neighbours.
        k : int
            Maximum number of neighbours of an item.

        Returns
        -------
        Rows
            The `k` nearest items of each item, with their cosines.
        """
        vectors = self.encoder.fit(texts)
        self._digests = np.array([_digest(text) for text in texts], dtype=np.int64)
        self._set_base(vectors, self.encoder.n_terms)
        if not len(vectors.items):
            return vectors
        if longest_search(vectors, self._postings) <= EXACT_TOGETHER:
            return product_edges(vectors, self._postings, len(texts), top_k=k)
        return nearest_rows(self._vectors, self._postings, self._later.arrays, min(k, len(texts)))

    @property
    def vectors(self) -> Rows:
        """TF-IDF vectors from the last `fit`, one sparse row per item."""
        return self._vectors

    def put(self, item: int, text: str) -> bool:
        """Set the text of an item; return whether it differs from the previous text."""
        return any(self.put_all(run, 0) for run in self.changes([item], [text]))

    def changes(self, items: Sequence[int], texts: Sequence[str]) -> Iterator["TextChanges"]:
        """Yield the texts that differ from the previous ones, in order; items are distinct.

        Consecutive items that had no text come together, an item that had one alone. `put_all`
        must be called with each result before the next one.
        """
        known = np.zeros(max(0, max(items, default=-1) + 1 - len(self._digests)), dtype=np.int64)
        if len(known):
            more = np.zeros(max(len(known), len(self._digests)), dtype=np.int64)
            self._digests = np.append(self._digests, more)
        run = TextChanges([], [], [], replaces=False)
        for item, text in zip(items, texts, strict=True):
            digest, old = _digest(text), self._digests[item]
            if digest == old:
                continue
            if old and run.items:
                yield run
                run = TextChanges([], [], [], replaces=False)
            run.items.append(item)
            run.texts.append(text)
            run.digests.append(digest)
            if old:
                yield run._replace(replaces=True)
                run = TextChanges([], [], [], replaces=False)
        if run.items:
            yield run

    def put_all(self, changes: "TextChanges", k: int) -> Rows:
        """Set texts one after the other; return the `k` nearest items of each at that time."""
        items = np.array(changes.items, dtype=np.int64)
        self._digests[items] = changes.digests
        if changes.replaces:
            self.encoder.remove(self.vector(changes.items[0])[0])
        vectors, frequencies = self.encoder.add(changes.texts)
        self._later.set(items, vectors, self.encoder.n_terms)
        return nearest_added(
            self._vectors,
            self._postings,
            self._later.arrays,
            items,
            vectors.indptr,
            frequencies,
            k,
            self._later.scratches,
        )

    def vector(self, item: int) -> Vector:
        """Return the columns and values of an item's vector; empty without text."""
        changed = self._later.get(item)
        if changed is not None:
            return changed
        base = self._vectors
        if item >= len(base.indptr) - 1:
            return np.zeros(0, np.int32), np.zeros(0, np.float32)
        row = slice(base.indptr[item], base.indptr[item + 1])
        return base.items[row], base.weights[row]

    def rows(self, items: Ints) -> Rows:
        """Return the vectors of several items, one sparse row each."""
        base, later = self._vectors, self._later.arrays
        n_base, n_later = len(base.indptr) - 1, len(later.starts)
        changed = items < n_later
        changed[changed] = later.starts[items[changed]] >= 0
        known = ~changed & (items < n_base)
        sizes = np.zeros(len(items), dtype=np.int64)
        sizes[changed] = later.sizes[items[changed]]
        sizes[known] = base.indptr[items[known] + 1] - base.indptr[items[known]]
        indptr = np.append(np.int64(0), np.cumsum(sizes))
        columns = np.zeros(indptr[-1], dtype=np.int32)
        values = np.zeros(indptr[-1], dtype=np.float32)
        for those, starts, source in (
            (changed, later.starts, (later.columns, later.values)),
            (known, base.indptr, (base.items, base.weights)),
        ):
            lengths = sizes[those]
            within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
            places = np.repeat(starts[items[those]], lengths) + within
            targets = np.repeat(indptr[:-1][those], lengths) + within
            columns[targets], values[targets] = source[0][places], source[1][places]
        return Rows(indptr, columns, values)

    def nearest(self, item: int, k: int) -> tuple[Ints, Floats]:
        """Return the `k` items nearest to an item and their cosines, best first.

        One thread at a time may call this or `put`.
        """
        scratch = self._later.scratch()
        return self._search(self.vector(item), item, None, k, EXACT, scratch)

    def matching(
        self, text: str, k: int, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[Ints, Floats]:
        """Return the `k` items nearest to a text, int32, and their cosines, best first.

        If `allowed` (bool [n_items]) is given, only items where it is true are returned. Terms
        outside the vocabulary are ignored. The search is exact, and another thread may call `put`
        meanwhile.
        """
        scratch = make_scratch(len(self._later.arrays.starts))
        return self._search(self.encoder.encode(text), -1, allowed, k, 1 << 62, scratch)

    def _search(
        self,
        vector: Vector,
        item: int,
        allowed: NDArray[np.bool_] | None,
        k: int,
        exact: int,
        scratch: SearchScratch,
    ) -> tuple[Ints, Floats]:
        columns, values = np.array(vector[0]), np.array(vector[1])
        items, found = nearest(
            self._vectors,
            self._postings,
            self._later.arrays,
            columns,
            values,
            self._later.chains(columns),
            self.encoder.frequencies[columns].astype(np.int64),
            item,
            np.zeros(0, dtype=np.bool_) if allowed is None else np.array(allowed),
            allowed is not None,
            k,
            exact,
            scratch,
        )
        return items, found.astype(np.float32)

    def arrays(self) -> Arrays:
        """Return the state of the index as arrays; vectors set with `put` are merged."""
        n_items = max(len(self._vectors.indptr) - 1, self._later.n_items)
        merged = self._vectors
        if self._later.n_items:
            rows = [self.vector(item) for item in range(n_items)]
            sizes = np.array([len(columns) for columns, _ in rows], dtype=np.int64)
            columns = np.concatenate([columns for columns, _ in rows])
            merged = pack([(sizes, columns, np.concatenate([values for _, values in rows]))])
        digests = np.zeros(n_items, dtype=np.int64)
        known = self._digests[:n_items]
        digests[: len(known)] = known
        return self.encoder.arrays() | {
            "indptr": merged.indptr,
            "columns": merged.items,
            "values": merged.weights,
            "digests": digests,
        }

    @classmethod
    def restore(cls, config: TfIdfConfig, arrays: Arrays) -> "TextIndex":
        """Create an index from the result of the method `arrays`, which may be read-only."""
        index = cls(config)
        index.encoder = TfIdf.restore(config, arrays)
        _check(arrays, index.encoder.n_terms)
        index._digests = np.array(arrays["digests"])
        vectors = Rows(arrays["indptr"], arrays["columns"], arrays["values"])
        index._set_base(vectors, index.encoder.n_terms)
        return index

    def _set_base(self, vectors: Rows, n_columns: int) -> None:
        places = occurrences(vectors, n_columns)
        self._vectors = _read_only(vectors)
        self._postings = _read_only(
            Rows(
                places.indptr, places.row_of_entry[places.entries], vectors.weights[places.entries]
            )
        )
        self._later = LaterVectors(len(vectors.indptr) - 1, n_columns)


def _check(arrays: Arrays, n_terms: int) -> None:
    """Raise ValueError if the stored vectors do not fit together, as kernels do not check them."""
    indptr, columns, values = arrays["indptr"], arrays["columns"], arrays["values"]
    types = {"indptr": "int64", "columns": "int32", "values": "float32", "digests": "int64"}
    for name, dtype in types.items():
        if arrays[name].dtype != np.dtype(dtype) or arrays[name].ndim != 1:
            raise ValueError(f"{name} is {arrays[name].dtype} {arrays[name].shape}")
    if len(indptr) == 0 or (np.diff(indptr, prepend=0) < 0).any() or indptr[0] != 0:
        raise ValueError("indptr of the texts does not ascend from 0")
    if not len(columns) == len(values) == indptr[-1]:
        raise ValueError("the vectors of the texts have another length than their rows")
    if len(columns) and not 0 <= columns.min() <= columns.max() < n_terms:
        raise ValueError(f"the texts have a term that is not one of {n_terms}")


def _read_only(rows: Rows) -> Rows:
    """Return read-only views: mapped from a file or not, kernels see one kind of array."""
    views: list[Any] = [array.view() for array in rows]
    for view in views:
        view.flags.writeable = False
    return Rows(*views)


def _digest(text: str) -> int:
    """Return a 64-bit hash of a text; 0 for the empty text."""
    if not text:
        return 0
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)
