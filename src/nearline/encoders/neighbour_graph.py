"""Approximate nearest-neighbour search with a hierarchical navigable small world graph.

Y. Malkov and D. Yashunin, "Efficient and robust approximate nearest neighbor search using
hierarchical navigable small world graphs", IEEE PAMI 42, 2020, sections 4.1 and 4.2, as built by
usearch (the extra `index`).
"""

import logging
from functools import cache
from importlib import import_module
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

# Links per vector, and candidates kept while building and searching (M and ef of the paper);
# `benchmarks.vector_index` measures the recall.
LINKS, CANDIDATES_BUILDING, CANDIDATES = 32, 128, 256


class NeighbourGraph:
    """Immutable HNSW graph of 8-bit vectors.

    It is built in one thread, so that equal vectors result in equal graphs. Instances are created
    with `of` and `restore`.
    """

    def __init__(self, index: Any, stored: NDArray[np.uint8] | None = None) -> None:
        self._index = index
        # The index is a view of this buffer, which must stay alive.
        self._stored = stored

    @classmethod
    def of(cls, codes: NDArray[np.int8], items: NDArray[np.integer]) -> Self | None:
        """Build the graph of some rows of a matrix.

        Parameters
        ----------
        codes : int8 [n, width]
            Quantised vectors.
        items : int [m]
            Rows to insert into the graph.

        Returns
        -------
        NeighbourGraph or None
            The graph; None if usearch is not installed.

        Notes
        -----
        Time complexity is O(n log n), about 0.1 ms per vector.
        """
        usearch = _usearch()
        if usearch is None:
            return None
        index = usearch.Index(
            ndim=codes.shape[1],
            metric="cos",
            dtype="i8",
            connectivity=LINKS,
            expansion_add=CANDIDATES_BUILDING,
            expansion_search=CANDIDATES,
        )
        index.add(items.astype(np.uint64), codes[items], threads=1)
        return cls(index)

    @classmethod
    def restore(cls, stored: NDArray[np.uint8]) -> Self | None:
        """Create a graph from the result of `array`, without a copy; None without usearch."""
        usearch = _usearch()
        if usearch is None:
            return None
        index = usearch.Index.restore(stored.data, view=True, expansion_search=CANDIDATES)
        return cls(index, stored)

    def array(self) -> NDArray[np.uint8]:
        """Return the graph and its vectors as bytes: uint8 [number of bytes]."""
        return np.frombuffer(self._index.save(), dtype=np.uint8)

    def near(self, queries: NDArray[np.int8], k: int) -> NDArray[np.int64]:
        """Return approximate nearest neighbours.

        Parameters
        ----------
        queries : int8 [n, width]
            Quantised vectors.
        k : int
            Maximum number of items for each query.

        Returns
        -------
        int64 [n, k]
            Items near each query, nearest first, padded with -1.
        """
        found = self._index.search(queries, k, threads=1)
        keys = np.asarray(found.keys).astype(np.int64).reshape(len(queries), -1)
        counts = np.asarray(getattr(found, "counts", [keys.shape[1]])).reshape(-1, 1)
        items = np.full((len(queries), k), -1, dtype=np.int64)
        items[:, : keys.shape[1]] = np.where(np.arange(keys.shape[1]) < counts, keys, -1)
        return items


@cache
def _usearch() -> Any:
    """Return the usearch module; if it is not installed, warn on the first call, return None."""
    try:
        # ONNX Runtime crashes if it is imported after usearch.
        import_module("onnxruntime")
        return import_module("usearch.index")
    except ImportError:
        logger.warning(
            "usearch is not installed: large catalogues are searched exhaustively, which is slow; "
            "pip install 'nearline[index]'"
        )
        return None
