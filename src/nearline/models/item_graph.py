"""The item graph: a user's score for an item is a decayed sum over the user's own history.

    score(u, j) = sum over events h in history(u), sum over relations r:
                  weight_r * 0.5 ** (age(h) / half_life_r) * weight(h) * S_r[item(h), j]

The age of an event is the number of events after it. Each relation S_r is a sparse item-to-item
matrix with a few hundred neighbours a row, scaled to the same total mass. What follows from that:
a new event changes the next answer at once, a new item is recommendable as soon as its text or
vector is known, and an explanation is exact, since the score *is* a sum over the history.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from nearline.data.dataset import Dataset, FloatArray, Histories, IntArray
from nearline.encoders.index import TextIndex, VectorIndex
from nearline.encoders.tfidf import TfIdfConfig
from nearline.errors import InvalidInput
from nearline.kernels.edges import Rows, pack
from nearline.kernels.scoring import Graph, recommend_rows, score_parts, score_rows
from nearline.models.base import Model, ModelPart, Range, Ranking, Space, check_weights
from nearline.models.graph_store import GraphStore
from nearline.models.item_graph_config import ItemGraphConfig
from nearline.models.item_graph_relations import (
    COENGAGEMENT,
    CONTENT,
    TRANSITIONS,
    VECTOR_PREFIX,
    Sources,
    relation_config,
    weights_and_half_lives,
)
from nearline.models.item_graph_search import KNOBS, choose
from nearline.progress import Progress, no_progress

Arrays = dict[str, NDArray[Any]]


class ItemGraph(Model):
    """Item-to-item relations, their weights found on validation data.

    Parameters
    ----------
    config : ItemGraphConfig or None
        Settings; with validation data they are where the search of `fit` starts.

    Notes
    -----
    One thread may put items while others score. Items are indices 0..n_items-1 throughout.
    """

    name: ClassVar[str] = "item_graph"
    config_type: ClassVar[type[ItemGraphConfig]] = ItemGraphConfig
    space: ClassVar[Space] = {
        f"{knob.part}.{knob.field}": Range(knob.low, knob.high, log=knob.scale) for knob in KNOBS
    }

    def __init__(self, config: ItemGraphConfig | None = None) -> None:
        super().__init__(config)
        empty = {name: pack([]) for name in (TRANSITIONS, COENGAGEMENT, CONTENT)}
        self._store = GraphStore(empty, 0)
        self._indices: dict[str, TextIndex | VectorIndex] = {
            CONTENT: TextIndex(TfIdfConfig(longest=self.config.content.longest))
        }
        # What an edge of a content relation is multiplied by, so that a new one fits the others.
        self._factors: dict[str, float] = {CONTENT: 1.0}

    @classmethod
    def untrained(cls, config: ItemGraphConfig | None = None) -> Self:
        """Make a graph without items; `put_items` fills it, and it recommends by content."""
        return cls(config)

    @property
    def n_items(self) -> int:
        """Number of items."""
        return self._store.n_items

    @property
    def relations(self) -> tuple[str, ...]:
        """Names of the relations, in the order in which scores are added up."""
        return self._store.names

    def fit(
        self,
        data: Dataset,
        *,
        validation: Histories | None = None,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Self:
        """Build all relations; with `validation`, look for the best settings first.

        Afterwards `config` holds the settings found. `validation` is never trained on.

        Notes
        -----
        Building costs O(interactions * reach), a search up to ``config.search.evaluations`` times
        that and as many passes of scoring; memory is some 8 bytes an edge.
        """
        check_weights(data.histories)
        sources = Sources(data)
        if validation is not None:
            if len(validation) != data.n_users:
                raise InvalidInput(
                    f"validation has {len(validation)} rows; give one for each of the "
                    f"{data.n_users} users of data"
                )
            self.config = choose(
                data, sources, validation, self.config, seed=seed, progress=progress
            )
        relations: dict[str, Rows] = {}
        for done, name in enumerate(sources.names):
            progress(done, len(sources.names), name)
            relations[name] = sources.edges(name, self.config)
        self._store = GraphStore(relations, data.n_items)
        self._indices = sources.content_indices(self.config)
        self._factors = {name: sources.factors[name] for name in self._indices}
        self.fitted_on = data.histories
        progress(len(relations), len(relations), "done")
        return self

    def score_many(self, histories: Histories) -> FloatArray:
        """Scores, float32 [n_users, n_items]; 0 where nothing connects."""
        return score_rows(self._graph(), _rows(histories))

    def score(self, history: Histories, items: IntArray) -> FloatArray:
        """Scores of some items for one history, float32 [len(items)]; 0 for unknown items."""
        graph = self._graph()
        scores = score_rows(graph, _rows(history))[0]
        known = (items >= 0) & (items < graph.n_items)
        return np.where(known, scores[np.where(known, items, 0)], np.float32(0.0))

    def recommend_from(
        self,
        histories: Histories,
        k: int,
        *,
        exclude_seen: bool = True,
        allowed: NDArray[np.bool_] | None = None,
    ) -> Ranking:
        """Top-k items of each history; rows are short where little is connected to a history."""
        _check_k(k)
        best = recommend_rows(
            self._graph(), _rows(histories), k, exclude_seen=exclude_seen, allowed=allowed
        )
        return Ranking(best.items, best.scores)

    def similar(self, items: IntArray, k: int) -> Ranking:
        """Top-k neighbours of each item, itself left out: what one event on it would recommend."""
        events = Histories.from_rows([[int(item)] for item in items])
        return self.recommend_from(events, k)

    def explain(self, history: Histories, item: int) -> list[ModelPart]:
        """Parts of the score of `item` for one history, oldest event first; they sum to it.

        The `source` of a part is a position in the history, counted from the oldest event.
        """
        if len(history) != 1:
            raise InvalidInput(f"history has {len(history)} rows; explain takes one")
        parts = score_parts(self._graph(), _rows(history), item)
        return [
            ModelPart(int(event), self.relations[relation], float(parts[event, relation]))
            for event, relation in np.argwhere(parts)
        ]

    def put_items(
        self,
        items: Sequence[int],
        texts: Sequence[str],
        vectors: Mapping[str, FloatArray] | None = None,
    ) -> None:
        """Add items, or change the text or vectors of known ones; their edges are there at once.

        Parameters
        ----------
        items : sequence of int
            Indices; one not below `n_items` makes the catalogue grow.
        texts : sequence of str
            All words of each item, "" for none.
        vectors : dict of str to float32 [len(items), d] or None
            Vectors by column name; columns that the graph was not fitted with are ignored, and so
            are vectors of another length than the column's.

        Notes
        -----
        An item costs its terms' inverted lists, and one product with all vectors of a column.
        """
        if len(items) != len(texts):
            raise InvalidInput(f"there are {len(items)} items but {len(texts)} texts")
        for at, (item, text) in enumerate(zip(items, texts, strict=True)):
            self._store.grow(item + 1)
            self._put(CONTENT, item, text)
            for column, values in (vectors or {}).items():
                index = self._indices.get(VECTOR_PREFIX + column)
                if isinstance(index, VectorIndex) and index.width == values.shape[1]:
                    self._put(VECTOR_PREFIX + column, item, values[at])

    def add_item(self, text: str = "", vectors: Mapping[str, FloatArray] | None = None) -> int:
        """Add one item with its text and vectors [d] by column name; return its index."""
        item = self.n_items
        self.put_items([item], [text], {name: v[None] for name, v in (vectors or {}).items()})
        return item

    def arrays(self) -> Arrays:
        """Everything learned, items put since the fit included."""
        arrays: Arrays = {"n_items": np.array([self.n_items], dtype=np.int64)}
        for name in self.relations:
            rows = self._store.rows(name)
            arrays[f"{name}/indptr"] = rows.indptr
            arrays[f"{name}/items"] = rows.items
            arrays[f"{name}/values"] = rows.weights
        for name, index in self._indices.items():
            arrays[f"{name}/factor"] = np.array([self._factors[name]], dtype=np.float64)
            arrays |= {f"{name}/index/{key}": value for key, value in index.arrays().items()}
        return arrays

    def _load(self, arrays: Arrays) -> None:
        vectors = sorted(
            key.removesuffix("/indptr")
            for key in arrays
            if key.startswith(VECTOR_PREFIX) and key.endswith("/indptr") and "/index/" not in key
        )
        relations = {
            name: Rows(arrays[f"{name}/indptr"], arrays[f"{name}/items"], arrays[f"{name}/values"])
            for name in (TRANSITIONS, COENGAGEMENT, CONTENT, *vectors)
        }
        self._store = GraphStore(relations, int(arrays["n_items"][0]))
        for name in (CONTENT, *vectors):
            self._factors[name] = float(arrays[f"{name}/factor"][0])
            self._indices[name] = _restore_index(name, self.config, arrays)

    def _put(self, name: str, item: int, what: Any) -> None:
        """Give an item a text or vector, and its edges in both directions where that is new."""
        index, settings = self._indices[name], relation_config(name, self.config)
        if not index.put(item, what):
            return
        self._store.disconnect(name, item)
        others, cosines = index.nearest(item, settings.neighbours)
        values = cosines ** np.float32(settings.power) * np.float32(self._factors[name])
        self._store.connect(name, item, others, values)

    def _graph(self) -> Graph:
        weights, half_lives = weights_and_half_lives(self.relations, self.config)
        return self._store.view(weights, half_lives, self.config.max_history)


def _restore_index(name: str, config: ItemGraphConfig, arrays: Arrays) -> TextIndex | VectorIndex:
    prefix = f"{name}/index/"
    own = {key.removeprefix(prefix): a for key, a in arrays.items() if key.startswith(prefix)}
    if name == CONTENT:
        return TextIndex.restore(TfIdfConfig(longest=config.content.longest), own)
    return VectorIndex.restore(own)


def _rows(histories: Histories) -> Rows:
    check_weights(histories)
    return Rows(histories.indptr, histories.items, histories.weights)


def _check_k(k: int) -> None:
    if k < 1:
        raise InvalidInput(f"k is {k}; it must be at least 1", field="k")
