"""Computation of the relations of an item graph from interactions, texts and vectors.

Sources: co-engagement with shrinkage as in Koren and Bell, "Advances in Collaborative Filtering"
(Recommender Systems Handbook, 2011, section 5.1); popularity exponents as in Cooper et al., "Random
walks in recommender systems" (WWW 2014).
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nearline.data.dataset import Dataset, Histories
from nearline.encoders.index import TextIndex, VectorIndex
from nearline.encoders.projection import Projection
from nearline.encoders.tfidf import TfIdfConfig
from nearline.kernels.edges import MOST, UNIT, Rows, pair_edges, steps_of
from nearline.kernels.pair_counts import Counts, pair_counts
from nearline.models.item_graph.config import (
    COENGAGEMENT,
    CONTENT,
    PROJECTED,
    TRANSITIONS,
    VECTOR_PREFIX,
    CoEngagement,
    ContentSettings,
    FromContent,
    ItemGraphConfig,
    Projected,
    Transitions,
)
from nearline.models.item_graph.graph_store import Divisors

# Relations whose edges are counts of pairs; the others are computed from texts and vectors.
COUNTED = (TRANSITIONS, COENGAGEMENT)
FLOOR = 1e-9

Doubles = NDArray[np.float64]
Units = NDArray[np.int64]


def scaled(rows: Rows, factor: float | None) -> tuple[Rows, float]:
    """Multiply the values of rows by `factor`, which is returned too.

    By default, the factor makes the mean row sum 1.
    """
    if factor is None:
        total = float(rows.weights.sum(dtype=np.float64))
        factor = (len(rows.indptr) - 1) / total if total > 0 else 1.0
    return Rows(rows.indptr, rows.items, (rows.weights * factor).astype(np.float32)), factor


def positive_rows(histories: Histories) -> Rows:
    """Convert histories to rows; dislikes get the weight 0, so they make no pairs."""
    weights = np.maximum(histories.weights, np.float32(0.0))
    return Rows(histories.indptr, histories.items, weights)


def squared_weights(rows: Rows) -> Units:
    """Square each weight, in units; at most `MOST`, as for a pair."""
    squares = rows.weights.astype(np.float64) ** 2
    return np.minimum(squares / UNIT + 0.5, MOST).astype(np.int64)


def popularity_of(rows: Rows, n_items: int) -> Units:
    """Sum the squared weights of each item, in units."""
    known = rows.items >= 0
    sums = np.zeros(n_items, dtype=np.int64)
    np.add.at(sums, rows.items[known], squared_weights(rows)[known])
    return sums


@lru_cache(maxsize=64)
def pair_steps(settings: Transitions | CoEngagement) -> Doubles:
    """Return the amount that a pair counts at each gap, from -reach to reach."""
    if isinstance(settings, CoEngagement):
        flat = np.ones(settings.window, dtype=np.float64)
        return steps_of(flat, flat)
    forward = np.arange(1, settings.reach + 1, dtype=np.float64) ** -settings.gap_power
    return steps_of(forward, settings.backward * forward)


def pair_divisors(name: str, config: ItemGraphConfig, popularity: Units) -> Divisors:
    """Compute the divisors of the counts of a relation from the popularity of the items."""
    amounts = popularity * UNIT
    if name == COENGAGEMENT:
        shrunk = np.maximum(amounts + config.coengagement.shrinkage, FLOOR)
        divisor = shrunk**config.coengagement.exponent
        return Divisors(divisor, divisor, 0.0)
    # Items without events make no pairs; the floor only avoids a divisor of zero.
    amounts = np.maximum(amounts, FLOOR)
    settings = config.transitions
    return Divisors(amounts**settings.source_exponent, amounts**settings.target_exponent, 1.0)


def count_pairs(name: str, config: ItemGraphConfig, rows: Rows, n_items: int) -> Counts:
    """Count the pairs behind a counted relation."""
    return pair_counts(rows, pair_steps(getattr(config, name)), n_items, most=config.counts)


def newcomer_gains(relations: Sequence[str], config: ItemGraphConfig, popularity: Units) -> Doubles:
    """Compute the gains of content edges to items from the popularity of the items.

    An item without events has no counted edges. To compensate, its content edges are multiplied by
    the total weight of all relations divided by that of content. The excess over 1 is halved with
    each event (of weight 1).
    """
    weights = {name: config.relation(name).weight for name in relations}
    content = sum(weight for name, weight in weights.items() if name not in COUNTED)
    counted = sum(weights.values()) - content
    missing = counted / content if content > 0 else 0.0
    return np.asarray(1.0 + missing * 0.5 ** (popularity * UNIT), dtype=np.float64)


def powered(rows: Rows, power: float) -> Rows:
    """Raise every value of rows to `power`."""
    return Rows(rows.indptr, rows.items, rows.weights ** np.float32(power))


class Sources:
    """Training data of the relations, with a cache of expensive intermediate results.

    Parameters
    ----------
    data : Dataset
        Interactions and items.
    seed : int
        Seed of the projection.

    Attributes
    ----------
    factors : dict of str to float
        Scale of each relation computed so far.
    """

    def __init__(self, data: Dataset, seed: int = 0) -> None:
        self._rows = positive_rows(data.histories)
        self._popularity = popularity_of(self._rows, data.n_items)
        self._texts = data.texts or [""] * data.n_items
        self._vectors = data.vectors
        # Events of known items, for a sparse matrix.
        self._known = self._rows.items >= 0
        counts = np.concatenate(([0], np.cumsum(self._known)))
        self._indptr = counts[self._rows.indptr]
        self._near: dict[tuple[object, ...], Rows] = {}
        self._words: dict[tuple[object, ...], TextIndex] = {}
        self._dense: dict[tuple[object, ...], VectorIndex] = {}
        self._projections: dict[tuple[object, ...], Projection] = {}
        self._seed = seed
        self.factors: dict[str, float] = {}

    @property
    def popularity(self) -> Units:
        """Sum of the squared event weights of each item, in units."""
        return self._popularity

    @property
    def has_text(self) -> bool:
        """Whether any item has a text."""
        return any(self._texts)

    @property
    def names(self) -> list[str]:
        """Names of all relations, in the order of summation."""
        vectors = [VECTOR_PREFIX + name for name in sorted(self._vectors)]
        return [TRANSITIONS, COENGAGEMENT, CONTENT, PROJECTED, *vectors]

    def projects(self, settings: Projected) -> bool:
        """Return whether the number of items is in the range for using a projection."""
        known = int((self._popularity > 0).sum())
        described = self.has_text or bool(self._vectors)
        return described and known >= settings.fewest and len(self._popularity) <= settings.most

    def edges(self, name: str, config: ItemGraphConfig) -> Rows:
        """Compute the scaled rows of one relation."""
        rows, self.factors[name] = scaled(self._edges(name, config), config.scales.get(name))
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
        return powered(self._nearest(name, settings, config), settings.power)

    def content_indices(self, config: ItemGraphConfig) -> tuple[TextIndex, dict[str, VectorIndex]]:
        """Return the index of texts, and the indices of vectors by relation."""
        vectors = {}
        for name in self.names[len(COUNTED) + 1 :]:
            settings = relation_config(name, config)
            self._nearest(name, settings, config)
            vectors[name] = self._dense[_key(name, settings, config)]
        return self._text_index(config), vectors

    def projection(self, config: ItemGraphConfig) -> Projection | None:
        """Return the projection of the projected relation; None if it is not used."""
        settings = config.projected
        if not self.projects(settings):
            return None
        key = settings.factors, settings.ridge, config.content.longest
        if key not in self._projections:
            text = self._text_index(config)
            self._projections[key] = Projection.fit(
                text.vectors,
                len(text.encoder.vocabulary),
                self._vectors,
                sparse.csr_array(
                    (self._rows.weights[self._known], self._rows.items[self._known], self._indptr),
                    shape=(len(self._indptr) - 1, len(self._popularity)),
                ),
                factors=settings.factors,
                ridge=settings.ridge,
                seed=self._seed,
            )
        return self._projections[key]

    def _nearest(self, name: str, settings: FromContent, config: ItemGraphConfig) -> Rows:
        key = _key(name, settings, config)
        if key not in self._near:
            if isinstance(settings, ContentSettings):
                index = TextIndex(TfIdfConfig(longest=settings.longest))
                self._near[key] = index.fit(self._texts, settings.neighbours)
                self._words[key] = index
            else:
                vectors = self._vectors_of(name, config)
                dense = VectorIndex(vectors.shape[1])
                self._near[key] = dense.fit(vectors, settings.neighbours)
                self._dense[key] = dense
        return self._near[key]

    def _vectors_of(self, name: str, config: ItemGraphConfig) -> NDArray[np.float32]:
        if name != PROJECTED:
            return self._vectors[name.removeprefix(VECTOR_PREFIX)]
        projection = self.projection(config)
        if projection is None:
            return np.zeros((len(self._popularity), 1), dtype=np.float32)
        return projection.project_all(self._text_index(config).vectors, self._vectors)

    def _text_index(self, config: ItemGraphConfig) -> TextIndex:
        self._nearest(CONTENT, config.content, config)
        return self._words[_key(CONTENT, config.content, config)]


def _key(name: str, settings: FromContent, config: ItemGraphConfig) -> tuple[object, ...]:
    """Return the cache key of a relation's neighbours: its name and the settings they depend on."""
    if isinstance(settings, ContentSettings):
        return name, settings.neighbours, settings.longest
    if isinstance(settings, Projected):
        words = config.content.longest
        return name, settings.neighbours, settings.factors, settings.ridge, words
    return name, settings.neighbours


def relation_config(name: str, config: ItemGraphConfig) -> FromContent:
    """Return the settings of a relation of texts or vectors."""
    settings = config.relation(name)
    assert isinstance(settings, FromContent)  # noqa: S101 (for the type checker)
    return settings


def weights_and_half_lives(
    names: tuple[str, ...], config: ItemGraphConfig
) -> tuple[Doubles, Doubles]:
    """Return the weight and the half-life of each relation, both float64 [R]."""
    parts = [config.relation(name) for name in names]
    return (
        np.array([part.weight for part in parts], dtype=np.float64),
        np.array([part.half_life for part in parts], dtype=np.float64),
    )
