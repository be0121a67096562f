"""Features of items from their contents, or else from their edges, for the diversity of lists."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nearline.encoders.index import VectorIndex
from nearline.encoders.text_index import TextIndex
from nearline.kernels.diversity import Sparse, joined, packed
from nearline.models.item_graph.config import COENGAGEMENT
from nearline.models.item_graph.graph_store import GraphStore

Row = tuple[NDArray[np.int32], NDArray[np.float64]]


def described(items: NDArray[np.int32], words: TextIndex, vectors: Sequence[VectorIndex]) -> Sparse:
    """Return the TF-IDF vectors of the texts of items, and their other vectors.

    Each kind of vector that occurs has the same weight.
    """
    texts = words.rows(items)
    columns, n_terms = texts.items, words.encoder.n_terms
    kinds = [Sparse(texts.indptr, columns, texts.weights.astype(np.float64), n_terms)]
    for index in vectors:
        columns = np.arange(index.width, dtype=np.int32)
        rows = [index.vector(item) for item in items.tolist()]
        nothing = (columns[:0], np.zeros(0))
        kinds.append(
            packed([_unit(columns, row) if row.any() else nothing for row in rows], index.width)
        )
    return joined(kinds)


def described_by_edges(store: GraphStore, items: NDArray[np.int32]) -> Sparse:
    """Return the co-engagement of items with all items as features.

    Two items are similar if the same items are chosen with both.
    """
    rows = [
        store.row(COENGAGEMENT, item) if item < store.n_items else None for item in items.tolist()
    ]
    nothing = (np.zeros(0, np.int32), np.zeros(0))
    return packed([nothing if row is None else _unit(*row) for row in rows], store.n_items)


def _unit(columns: NDArray[np.int32], values: NDArray[np.float32]) -> Row:
    length = float(np.linalg.norm(values))
    return columns, values.astype(np.float64) / (length or 1.0)
