"""From interactions, texts and vectors to the relations of an item graph.

Sources: co-engagement with shrinkage as in Koren and Bell, "Advances in Collaborative Filtering"
(Recommender Systems Handbook, 2011, section 5.1); popularity exponents as in Cooper et al., "Random
walks in recommender systems" (WWW 2014).
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nearline.data.dataset import Dataset, Histories
from nearline.encoders.index import TextIndex, VectorIndex
from nearline.encoders.tfidf import TfIdfConfig
from nearline.kernels.edges import MOST, UNIT, Rows, pair_edges, steps_of
from nearline.kernels.pair_counts import Counts, pair_counts
from nearline.models.graph_store import Divisors
from nearline.models.item_graph_config import (
    CoEngagement,
    Content,
    ItemGraphConfig,
    Transitions,
    Vectors,
)

TRANSITIONS, COENGAGEMENT, CONTENT = "transitions", "coengagement", "content"
# Relations whose edges are counts of pairs; the others come from words and vectors.
COUNTED = (TRANSITIONS, COENGAGEMENT)
VECTOR_PREFIX = "vector:"
FLOOR = 1e-9

Doubles = NDArray[np.float64]
Units = NDArray[np.int64]


def scaled(rows: Rows) -> tuple[Rows, float]:
    """Rows whose values sum to the number of rows, and the factor that made them so."""
    total = float(rows.weights.sum(dtype=np.float64))
    factor = (len(rows.indptr) - 1) / total if total > 0 else 1.0
    return Rows(rows.indptr, rows.items, (rows.weights * factor).astype(np.float32)), factor


def positive_rows(histories: Histories) -> Rows:
    """Histories with dislikes weighing nothing: they make no pairs and no popularity."""
    weights = np.maximum(histories.weights, np.float32(0.0))
    return Rows(histories.indptr, histories.items, weights)


def squared_weights(rows: Rows) -> Units:
    """Square of each weight in units; an event counts at most `MOST` units, as a pair does."""
    squares = rows.weights.astype(np.float64) ** 2
    return np.minimum(squares / UNIT + 0.5, MOST).astype(np.int64)


def popularity_of(rows: Rows, n_items: int) -> Units:
    """Sum of the squared weights of each item, in units."""
    known = rows.items >= 0
    sums = np.zeros(n_items, dtype=np.int64)
    np.add.at(sums, rows.items[known], squared_weights(rows)[known])
    return sums


@lru_cache(maxsize=64)
def pair_steps(settings: Transitions | CoEngagement) -> Doubles:
    """Return what a pair counts for a relation at each gap, from -reach to reach."""
    if isinstance(settings, CoEngagement):
        flat = np.ones(settings.window, dtype=np.float64)
        return steps_of(flat, flat)
    forward = np.arange(1, settings.reach + 1, dtype=np.float64) ** -settings.gap_power
    return steps_of(forward, settings.backward * forward)


def pair_divisors(name: str, config: ItemGraphConfig, popularity: Units) -> Divisors:
    """Return what the counts of a relation are divided by, from the popularity of the items."""
    amounts = popularity * UNIT
    if name == COENGAGEMENT:
        shrunk = np.maximum(amounts + config.coengagement.shrinkage, FLOOR)
        divisor = shrunk**config.coengagement.exponent
        return Divisors(divisor, divisor, 0.0)
    # An item without events makes no pair; the floor only keeps its divisor from being zero.
    amounts = np.maximum(amounts, FLOOR)
    settings = config.transitions
    return Divisors(amounts**settings.source_exponent, amounts**settings.target_exponent, 1.0)


def count_pairs(name: str, config: ItemGraphConfig, rows: Rows, n_items: int) -> Counts:
    """Count the pairs behind a counted relation."""
    return pair_counts(rows, pair_steps(getattr(config, name)), n_items, most=config.counts)


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
        self._popularity = popularity_of(self._rows, data.n_items)
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
        if name in COUNTED:
            divisors = pair_divisors(name, config, self._popularity)
            return pair_edges(
                self._rows,
                pair_steps(getattr(config, name)),
                source=divisors.source,
                target=divisors.target,
                offset=divisors.offset,
                top_k=getattr(config, name).neighbours,
            )
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
