"""An index of very many vectors that finds nearly all of the nearest ones, in logarithmic time.

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

# Links of a vector, and how many candidates a search keeps (M and ef of the paper): see
# `benchmarks.vector_index` for what they find.
LINKS, CANDIDATES_BUILDING, CANDIDATES = 32, 128, 256


class NeighbourGraph:
    """Vectors in eight bits a number, never changed, linked to those near them.

    Made in one thread: the same vectors give the same graph.
    """

    def __init__(self, index: Any, stored: NDArray[np.uint8] | None = None) -> None:
        self._index = index
        # What the index looks at must stay.
        self._stored = stored

    @classmethod
    def of(cls, codes: NDArray[np.int8], items: NDArray[np.integer]) -> Self | None:
        """Build the graph of the rows `items` of `codes` [n, width]; None without the extra.

        Notes
        -----
        O(n log n): some 0.1 ms a vector.
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
        """Rebuild from `array`, which is not copied; None without the extra."""
        usearch = _usearch()
        if usearch is None:
            return None
        index = usearch.Index.restore(stored.data, view=True, expansion_search=CANDIDATES)
        return cls(index, stored)

    def array(self) -> NDArray[np.uint8]:
        """Everything: the graph, and a copy of the vectors."""
        return np.frombuffer(self._index.save(), dtype=np.uint8)

    def near(self, queries: NDArray[np.int8], k: int) -> NDArray[np.int64]:
        """Find up to `k` items near each of some vectors [n, width]; -1 fills up: int64 [n, k]."""
        found = self._index.search(queries, k, threads=1)
        keys = np.asarray(found.keys).astype(np.int64).reshape(len(queries), -1)
        counts = np.asarray(getattr(found, "counts", [keys.shape[1]])).reshape(-1, 1)
        items = np.full((len(queries), k), -1, dtype=np.int64)
        items[:, : keys.shape[1]] = np.where(np.arange(keys.shape[1]) < counts, keys, -1)
        return items


@cache
def _usearch() -> Any:
    """Return the module; None where it is not installed, which is said once."""
    try:
        # Loaded after usearch, the ONNX Runtime would crash.
        import_module("onnxruntime")
        return import_module("usearch.index")
    except ImportError:
        logger.warning(
            "usearch is not installed: of very many vectors all are compared, which takes long; "
            "pip install 'nearline[index]'"
        )
        return None
