"""Relations of the item graph that are based on texts and vectors, which connect new items."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from nearline.data.dataset import FloatArray
from nearline.encoders.index import VectorIndex
from nearline.encoders.projection import Projection
from nearline.encoders.text_index import TextIndex
from nearline.kernels.diversity import Sparse
from nearline.models.item_graph.config import (
    CONTENT,
    PROJECTED,
    VECTOR_PREFIX,
    ItemGraphConfig,
    array_key,
)
from nearline.models.item_graph.features import described
from nearline.models.item_graph.graph_store import GraphStore
from nearline.models.item_graph.relations import Sources, relation_config

Arrays = dict[str, NDArray[Any]]

# Items that are added together: amortises the cost of a call, and bounds its memory.
ITEMS_AT_ONCE = 1_024
# Prefix of the names of the projection's arrays.
MAP = f"{PROJECTED}/map/"


class ContentRelations:
    """Nearest-neighbour indexes of the relations of texts and vectors, and the projection.

    Parameters
    ----------
    config : ItemGraphConfig
        Settings of the graph.
    words : TextIndex
        Index of the relation of texts.
    vectors : dict of str to VectorIndex
        Index of each other relation, including the projected one.
    factors : dict of str to float
        Scale of each relation, by which new edges are multiplied.
    projection : Projection or None
        Projection of content to collaborative factors; None if it is not used.
    """

    def __init__(
        self,
        config: ItemGraphConfig,
        words: TextIndex,
        vectors: dict[str, VectorIndex],
        factors: dict[str, float],
        projection: Projection | None,
    ) -> None:
        self._config = config
        self._words = words
        self._vectors = vectors
        self._factors = factors
        self._projection = projection

    @classmethod
    def untrained(cls, config: ItemGraphConfig) -> Self:
        """Create empty indexes, without a projection."""
        words = TextIndex(config.content.terms)
        factors = {CONTENT: 1.0, PROJECTED: 1.0}
        return cls(config, words, {PROJECTED: VectorIndex(1)}, factors, None)

    @classmethod
    def fitted(cls, sources: Sources, config: ItemGraphConfig) -> Self:
        """Create the indexes and the projection from the training data."""
        words, vectors = sources.content_indices(config)
        factors = {name: sources.factors[name] for name in (CONTENT, *vectors)}
        return cls(config, words, vectors, factors, sources.projection(config))

    def put(
        self,
        store: GraphStore,
        items: Sequence[int],
        texts: Sequence[str],
        vectors: Mapping[str, FloatArray],
    ) -> None:
        """Set texts and vectors of items, and replace their edges of relations that changed.

        The result is that of setting one item after the other.

        Parameters
        ----------
        store : GraphStore
            Store to which edges are written.
        items : sequence of int
            Indices of the items, distinct.
        texts : sequence of str
            Text of each item; "" for none.
        vectors : dict of str to float32 [len(items), d]
            Vectors by column. Empty vectors remove those of the column. Columns that are unknown
            or have another dimension are ignored.
        """
        self._put_texts(store, items, texts)
        for column, rows in vectors.items():
            index = self._vectors.get(VECTOR_PREFIX + column)
            if index is None or rows.shape[1] not in (0, index.width):
                continue
            given = rows if rows.shape[1] else np.zeros((len(items), index.width), np.float32)
            for item, vector in zip(items, given, strict=True):
                self._connect(store, VECTOR_PREFIX + column, item, vector)
        if self._projection is not None:
            for item in items:
                self._connect(store, PROJECTED, item, self._project(self._projection, item))

    def search_text(
        self, text: str, k: int, allowed: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int32], FloatArray]:
        """Return the items whose texts are nearest to a text, best first, and their cosines."""
        return self._words.matching(text, k, allowed)

    def describe(self, items: NDArray[np.int32]) -> Sparse:
        """Return the texts and vectors of items as features; see `features.described`."""
        vectors = [index for name, index in self._vectors.items() if name != PROJECTED]
        return described(items, self._words, vectors)

    def arrays(self) -> Arrays:
        """Return all learned parameters as arrays; names begin with the relation."""
        arrays: Arrays = {}
        indices: dict[str, TextIndex | VectorIndex] = {CONTENT: self._words, **self._vectors}
        for name, index in indices.items():
            prefix = array_key(name)
            arrays[f"{prefix}/factor"] = np.array([self._factors[name]], dtype=np.float64)
            arrays |= {f"{prefix}/index/{key}": value for key, value in index.arrays().items()}
        if self._projection is not None:
            arrays |= {f"{MAP}{key}": value for key, value in self._projection.arrays().items()}
        return arrays

    @classmethod
    def restore(cls, names: list[str], config: ItemGraphConfig, arrays: Arrays) -> Self:
        """Create the relation of texts and the relations `names` from the result of `arrays`."""
        words = TextIndex.restore(config.content.terms, _behind(f"{CONTENT}/index/", arrays))
        vectors = {
            name: VectorIndex.restore(_behind(f"{array_key(name)}/index/", arrays))
            for name in names
        }
        factors = {
            name: float(arrays[f"{array_key(name)}/factor"][0]) for name in (CONTENT, *names)
        }
        learned = _behind(MAP, arrays)
        projection = Projection.restore(learned) if learned else None
        return cls(config, words, vectors, factors, projection)

    def _put_texts(self, store: GraphStore, items: Sequence[int], texts: Sequence[str]) -> None:
        for changes in self._words.changes(items, texts):
            if changes.replaces:
                store.disconnect(CONTENT, changes.items[0])
            near = self._words.put_all(changes, self._config.content.neighbours)
            edges = near._replace(weights=self._values(CONTENT, near.weights))
            store.connect_rows(CONTENT, np.array(changes.items, dtype=np.int64), edges)

    def _connect(self, store: GraphStore, name: str, item: int, vector: FloatArray) -> None:
        index = self._vectors[name]
        if not index.put(item, vector):
            return
        store.disconnect(name, item)
        neighbours = relation_config(name, self._config).neighbours
        others, cosines = index.nearest(item, neighbours)
        store.connect(name, item, others, self._values(name, cosines))

    def _values(self, name: str, cosines: FloatArray) -> FloatArray:
        """Return the values of edges with some cosines."""
        power = np.float32(relation_config(name, self._config).power)
        values: FloatArray = cosines**power * np.float32(self._factors[name])
        return values

    def _project(self, projection: Projection, item: int) -> FloatArray:
        """Project the text and vectors of an item that are stored in the indexes."""
        vectors = {
            name.removeprefix(VECTOR_PREFIX): index.vector(item)
            for name, index in self._vectors.items()
            if name != PROJECTED
        }
        return projection.project(self._words.vector(item), vectors)


def distinct_runs(items: Sequence[int]) -> Iterator[slice]:
    """Split items into runs of at most `ITEMS_AT_ONCE` in which each item occurs once."""
    first = 0
    seen: set[int] = set()
    for at, item in enumerate(items):
        if item in seen or at - first == ITEMS_AT_ONCE:
            yield slice(first, at)
            first, seen = at, set()
        seen.add(item)
    if seen:
        yield slice(first, len(items))


def _behind(prefix: str, arrays: Arrays) -> Arrays:
    return {key.removeprefix(prefix): a for key, a in arrays.items() if key.startswith(prefix)}
