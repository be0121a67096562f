"""From interactions, texts and vectors to the relations of an item graph.

Sources: co-engagement with shrinkage as in Koren and Bell, "Advances in Collaborative Filtering"
(Recommender Systems Handbook, 2011, section 5.1); popularity exponents as in Cooper et al., "Random
walks in recommender systems" (WWW 2014).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nearline.data.dataset import Dataset, Histories
from nearline.encoders.index import TextIndex, VectorIndex
from nearline.encoders.tfidf import TfIdfConfig
from nearline.kernels.edges import Rows, pair_edges
from nearline.models.item_graph_config import (
    CoEngagement,
    Content,
    ItemGraphConfig,
    Transitions,
    Vectors,
)

TRANSITIONS, COENGAGEMENT, CONTENT = "transitions", "coengagement", "content"
VECTOR_PREFIX = "vector:"
FLOOR = 1e-9

Doubles = NDArray[np.float64]


def scaled(rows: Rows) -> tuple[Rows, float]:
    """Rows whose values sum to the number of rows, and the factor that made them so."""
    total = float(rows.weights.sum(dtype=np.float64))
    factor = (len(rows.indptr) - 1) / total if total > 0 else 1.0
    return Rows(rows.indptr, rows.items, (rows.weights * factor).astype(np.float32)), factor


def positive_rows(histories: Histories) -> Rows:
    """Histories with dislikes weighing nothing: they make no pairs and no popularity."""
    weights = np.maximum(histories.weights, np.float32(0.0))
    return Rows(histories.indptr, histories.items, weights)


def squared_weights(rows: Rows, n_items: int) -> Doubles:
    """Sum of the squared event weights of each item: its popularity where weights are one."""
    known = rows.items >= 0
    squares = rows.weights[known].astype(np.float64) ** 2
    return np.bincount(rows.items[known], squares, minlength=n_items).astype(np.float64)


def transition_edges(rows: Rows, popularity: Doubles, config: Transitions) -> Rows:
    """Count "then", weighed by gap and direction and divided by popularity."""
    # An item without events makes no pair; the floor only keeps its divisor from being zero.
    popularity = np.maximum(popularity, FLOOR)
    forward = np.arange(1, config.reach + 1, dtype=np.float64) ** -config.gap_power
    return pair_edges(
        rows,
        forward,
        config.backward * forward,
        source=popularity**config.source_exponent,
        target=popularity**config.target_exponent,
        offset=1.0,
        top_k=config.neighbours,
    )


def coengagement_edges(rows: Rows, popularity: Doubles, config: CoEngagement) -> Rows:
    """Count "also", divided by shrunk popularity on both sides."""
    flat = np.ones(config.window, dtype=np.float64)
    divisor = np.maximum(popularity + config.shrinkage, FLOOR) ** config.exponent
    return pair_edges(rows, flat, flat, source=divisor, target=divisor, top_k=config.neighbours)


def powered(rows: Rows, power: float) -> Rows:
    """Rows with every value raised to `power`."""
    return Rows(rows.indptr, rows.items, rows.weights ** np.float32(power))


class Sources:
    """What relations are made from, and a memory of the costly steps already taken.

    Parameters
    ----------
    data : Dataset
        The interactions and items of one fit.
    """

    def __init__(self, data: Dataset) -> None:
        self._rows = positive_rows(data.histories)
        self._popularity = squared_weights(self._rows, data.n_items)
        self._texts = data.texts or [""] * data.n_items
        self._vectors = data.vectors
        self._near: dict[tuple[object, ...], Rows] = {}
        self._indices: dict[tuple[object, ...], TextIndex | VectorIndex] = {}
        self.factors: dict[str, float] = {}

    @property
    def has_text(self) -> bool:
        """Whether any item has a text."""
        return any(self._texts)

    @property
    def names(self) -> list[str]:
        """Names of all relations, in the order in which scores are added up."""
        vectors = [VECTOR_PREFIX + name for name in sorted(self._vectors)]
        return [TRANSITIONS, COENGAGEMENT, CONTENT, *vectors]

    def edges(self, name: str, config: ItemGraphConfig) -> Rows:
        """Scaled rows of one relation."""
        rows, self.factors[name] = scaled(self._edges(name, config))
        return rows

    def _edges(self, name: str, config: ItemGraphConfig) -> Rows:
        if name == TRANSITIONS:
            return transition_edges(self._rows, self._popularity, config.transitions)
        if name == COENGAGEMENT:
            return coengagement_edges(self._rows, self._popularity, config.coengagement)
        settings = relation_config(name, config)
        return powered(self._nearest(name, settings), settings.power)

    def content_indices(self, config: ItemGraphConfig) -> dict[str, TextIndex | VectorIndex]:
        """Return the index behind each content relation."""
        for name in self.names[2:]:
            self._nearest(name, relation_config(name, config))
        return {
            name: self._indices[_key(name, relation_config(name, config))]
            for name in self.names[2:]
        }

    def _nearest(self, name: str, config: Content | Vectors) -> Rows:
        key = _key(name, config)
        if key not in self._near:
            if isinstance(config, Content):
                text = TextIndex(TfIdfConfig(longest=config.longest))
                self._near[key], self._indices[key] = text.fit(self._texts, config.neighbours), text
            else:
                vectors = self._vectors[name.removeprefix(VECTOR_PREFIX)]
                dense = VectorIndex(vectors.shape[1])
                self._near[key], self._indices[key] = dense.fit(vectors, config.neighbours), dense
        return self._near[key]


def _key(name: str, config: Content | Vectors) -> tuple[object, ...]:
    """Name what the neighbours depend on, of all settings."""
    return name, config.neighbours, config.longest if isinstance(config, Content) else 0


def relation_config(name: str, config: ItemGraphConfig) -> Content | Vectors:
    """Return the settings of a content relation."""
    return config.content if name == CONTENT else config.vectors


def weights_and_half_lives(
    names: tuple[str, ...], config: ItemGraphConfig
) -> tuple[Doubles, Doubles]:
    """Weight and half-life of each relation, float64 [R] both."""
    parts = list(_parts(names, config))
    return (
        np.array([part.weight for part in parts], dtype=np.float64),
        np.array([part.half_life for part in parts], dtype=np.float64),
    )


def _parts(
    names: tuple[str, ...], config: ItemGraphConfig
) -> Iterator[Transitions | CoEngagement | Content | Vectors]:
    for name in names:
        if name == TRANSITIONS:
            yield config.transitions
        elif name == COENGAGEMENT:
            yield config.coengagement
        else:
            yield relation_config(name, config)
