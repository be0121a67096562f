"""Nearest-neighbour index of dense vectors, in which single items can be updated.

It compares all vectors, or uses an approximate neighbour graph for large catalogues.
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.encoders.base import unit
from nearline.encoders.neighbour_graph import NeighbourGraph
from nearline.kernels.edges import Rows, pack
from nearline.kernels.quantised import cosines, quantise
from nearline.kernels.topk import top_k_rows

Ints = NDArray[np.int32]
Floats = NDArray[np.float32]
Arrays = dict[str, NDArray[Any]]

# Bytes of memory for cosines while the neighbours of all dense vectors are computed.
BLOCK_BYTES = 1 << 26
# Largest number of dense vectors that are searched exhaustively; see `benchmarks.vector_index`.
COMPARED = 50_000
# Vectors added after the graph was built are searched exhaustively; beyond this it is rebuilt.
LATER = 10_000


class VectorIndex:
    """Nearest-neighbour index of dense item vectors, quantised to eight bits per value.

    Quantised vectors take a quarter of the memory of single precision. `fit` computes neighbours
    from the original vectors; neighbours of items added later are based on quantised vectors
    (`benchmarks.vector_index` measures the loss). A row of zeros marks an item without a vector,
    which is never a neighbour.

    Up to `COMPARED` vectors are searched exhaustively. Beyond that, if usearch is installed, an
    approximate neighbour graph over the fitted vectors selects candidates, whose cosines are
    computed from the vectors; vectors added later are searched exhaustively.

    Parameters
    ----------
    width : int
        Dimension of the vectors.
    """

    def __init__(self, width: int) -> None:
        self._codes = np.zeros((0, width), dtype=np.int8)
        self._scales = np.zeros(0, dtype=np.float32)
        self._n_items = 0
        self._graph: NeighbourGraph | None = None
        self._later: set[int] = set()

    @property
    def width(self) -> int:
        """Dimension of the vectors."""
        return int(self._codes.shape[1])

    def fit(self, vectors: Floats, k: int) -> Rows:
        """Index the vectors of all items.

        Parameters
        ----------
        vectors : float32 [n, width]
            Vector of each item.
        k : int
            Maximum number of neighbours of an item.

        Returns
        -------
        Rows
            The `k` nearest items of each item, with their cosines.

        Notes
        -----
        Exhaustive search takes O(m * n * width) time, for m different vectors, in blocks of at most
        64 MiB of cosines. With a neighbour graph, the time is O(n log n), about 0.3 ms per vector.
        """
        units = unit(vectors)
        self._codes, self._scales = quantise(units)
        self._n_items = n = len(units)
        self._graph, self._later = self._linked(), set()
        if self._graph is None:
            first, group = _distinct(units)
            if 0 < 2 * len(first) <= n:
                return _of_groups(units, first, group, min(k, n))
            best, row_bytes = _compared, 4 * n
        else:
            best, row_bytes = (
                partial(_looked_up, self._graph, self._codes),
                4 * (k + k // 4 + 1) * self.width,
            )
        block = max(1, BLOCK_BYTES // max(1, row_bytes))
        return pack(
            [
                best(units, np.arange(first, min(first + block, n)), min(k, n))
                for first in range(0, n, block)
            ]
        )

    def put(self, item: int, vector: Floats) -> bool:
        """Set an item's vector, float32 [width]; return whether the quantised vector changed."""
        missing = max(item + 1, 2 * len(self._codes)) - len(self._codes)
        if item >= len(self._codes):
            self._codes = np.pad(self._codes, ((0, missing), (0, 0)))
            self._scales = np.pad(self._scales, (0, missing))
        codes, scales = quantise(np.asarray(vector, dtype=np.float32)[None])
        self._n_items = max(self._n_items, item + 1)
        if np.array_equal(self._codes[item], codes[0]):
            return False
        if not self._codes.flags.writeable:
            self._codes, self._scales = self._codes.copy(), self._scales.copy()
        self._codes[item], self._scales[item] = codes[0], scales[0]
        if self._graph is not None:
            self._later.add(item)
        return True

    def vector(self, item: int) -> Floats:
        """Return the dequantised vector of an item: float32 [width], zeros if it has none."""
        if item >= self._n_items:
            return np.zeros(self.width, dtype=np.float32)
        return np.asarray(self._codes[item] * self._scales[item], dtype=np.float32)

    def nearest(self, item: int, k: int) -> tuple[Ints, Floats]:
        """Return the `k` items nearest to an item, int32, and their cosines, best first.

        Notes
        -----
        Exhaustive search is bound by memory bandwidth: 3 ms for 200,000 vectors of dimension 384.
        With a graph, only its candidates and vectors added later are compared.
        """
        query, scale = self._codes[item], float(self._scales[item])
        if self._graph is None:
            known = slice(0, self._n_items)
            found = cosines(self._codes[known], self._scales[known], query, scale)
            found[item] = -np.inf
            best = top_k_rows(found[None], max(1, min(k, len(found))), above=0.0)
            kept = best.items[0] >= 0
            return best.items[0][kept], best.scores[0][kept]
        # Candidates whose vector has changed since the graph was built are scored separately.
        given = self._graph.near(query[None], k + 1 + min(k, len(self._later)))[0]
        later = np.fromiter(self._later, np.int64, len(self._later))
        items = np.union1d(np.setdiff1d(given[given >= 0], later), later)
        items = items[items != item]
        found = cosines(self._codes[items], self._scales[items], query, scale)
        best = top_k_rows(found[None], max(1, min(k, len(found))), above=0.0)
        kept = best.items[0] >= 0
        return items[best.items[0][kept]].astype(np.int32), best.scores[0][kept]

    def cosines(self, vector: Floats) -> Floats:
        """Return the cosine of a vector, float32 [width], with that of each item: float32 [n]."""
        codes, scales = quantise(np.asarray(vector, dtype=np.float32)[None])
        known = slice(0, self._n_items)
        return cosines(self._codes[known], self._scales[known], codes[0], float(scales[0]))

    def arrays(self) -> Arrays:
        """Return the state of the index as arrays by name.

        The graph is rebuilt if more than `LATER` vectors were set after it was built.
        """
        n = self._n_items
        arrays: Arrays = {"codes": self._codes[:n], "scales": self._scales[:n]}
        graph, later = self._graph, sorted(self._later)
        if graph is None or len(later) > LATER:
            graph, later = self._linked(), []
        if graph is not None:
            arrays |= {"graph": graph.array(), "later": np.array(later, dtype=np.int32)}
        return arrays

    @classmethod
    def restore(cls, arrays: Arrays) -> "VectorIndex":
        """Create an index from the result of the method `arrays`, which may be read-only.

        Arrays that older versions saved are accepted.
        """
        if "vectors" in arrays:
            codes, scales = quantise(np.asarray(arrays["vectors"]))
        else:
            codes, scales = arrays["codes"], arrays["scales"]
        if codes.dtype != np.int8 or scales.dtype != np.float32 or scales.shape != codes.shape[:1]:
            raise ValueError(f"vectors are {codes.dtype} {codes.shape}, scales {scales.shape}")
        index = cls(codes.shape[1])
        index._codes, index._scales, index._n_items = codes, scales, len(codes)
        if "graph" in arrays:
            index._graph = NeighbourGraph.restore(arrays["graph"])
            index._later = set(arrays["later"].tolist())
            if any(not 0 <= item < len(codes) for item in index._later):
                raise ValueError("later has an item without a vector")
        return index

    def _linked(self) -> NeighbourGraph | None:
        """Build the graph of all vectors; None if they are few or usearch is not installed."""
        if self._n_items <= COMPARED:
            return None
        given = np.flatnonzero(self._scales[: self._n_items])
        return NeighbourGraph.of(self._codes, given)


# Neighbours of some rows: the number of neighbours of each row, then the items and the cosines of
# all rows, concatenated.
Best = tuple[NDArray[np.int64], Ints, Floats]


def _compared(units: Floats, rows: NDArray[np.int64], k: int) -> Best:
    """Compute the `k` neighbours of consecutive rows by comparing them with all vectors."""
    found = units[rows] @ units.T
    found[rows - rows[0], rows] = -np.inf
    best = top_k_rows(found, k, above=0.0)
    kept = best.items >= 0
    return kept.sum(axis=1), best.items[kept], best.scores[kept]


def _distinct(units: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first row of each group of equal rows, and the group of each row."""
    if units.shape[1] == 0:
        return np.arange(len(units)), np.arange(len(units))
    whole = np.ascontiguousarray(units).view(np.dtype((np.void, units.itemsize * units.shape[1])))
    _, first, group = np.unique(whole.ravel(), return_index=True, return_inverse=True)
    return first, group


def _of_groups(units: Floats, first: NDArray[np.int64], group: NDArray[np.int64], k: int) -> Rows:
    """Compute the `k` neighbours of all rows; those of equal rows are compared once.

    Equal rows have the same neighbours, except that a row is not its own.

    Parameters
    ----------
    first, group : int64 [m], int64 [n]
        A row of each group of equal rows, and the group of each row.
    """
    block, different = max(1, BLOCK_BYTES // (4 * len(units))), units[first]
    found = [
        top_k_rows((different[at : at + block] @ different.T)[:, group], k + 1, above=0.0)
        for at in range(0, len(first), block)
    ]
    items = np.concatenate([one.items for one in found])
    scores = np.concatenate([one.scores for one in found])
    block = max(1, BLOCK_BYTES // (16 * (k + 1)))
    parts = []
    for at in range(0, len(units), block):
        rows = np.arange(at, min(at + block, len(units)))
        own = items[group[rows]]
        kept = (own >= 0) & (own != rows[:, None])
        kept &= np.cumsum(kept, axis=1) <= k
        parts.append((kept.sum(axis=1), own[kept], scores[group[rows]][kept]))
    return pack(parts)


def _looked_up(
    graph: NeighbourGraph,
    codes: NDArray[np.int8],
    units: Floats,
    rows: NDArray[np.int64],
    k: int,
) -> Best:
    """Compute the `k` neighbours of some rows among the candidates that the graph returns."""
    # More candidates than needed, since the graph uses quantised vectors.
    items = graph.near(codes[rows], k + k // 4 + 1)
    found = np.einsum("ijd,id->ij", units[items], units[rows])
    found[(items < 0) | (items == rows[:, None])] = -np.inf
    best = top_k_rows(found, k, above=0.0)
    kept = best.items >= 0
    chosen = np.take_along_axis(items, np.maximum(best.items, 0).astype(np.int64), axis=1)
    return kept.sum(axis=1), chosen[kept].astype(np.int32), best.scores[kept]
