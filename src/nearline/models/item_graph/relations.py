"""Relations of an item graph, computed from interactions, texts and vectors.

Co-engagement with shrinkage is described in Koren and Bell, "Advances in Collaborative Filtering"
(Recommender Systems Handbook, 2011, section 5.1), and exponents of the popularity in Cooper et al.,
"Random walks in recommender systems" (WWW 2014).
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nearline.data.dataset import Dataset, Histories
from nearline.encoders.index import VectorIndex
from nearline.encoders.projection import Projection
from nearline.encoders.text_index import TextIndex
from nearline.kernels import support as supports
from nearline.kernels.counted_events import LIMITS
from nearline.kernels.csr import Csr
from nearline.kernels.edges import MOST, UNIT, Rows, pair_edges, steps_of
from nearline.kernels.kept_pairs import KeptPairs, keep_pairs, kept_edges, most_pairs
from nearline.kernels.row_factors import EQUAL
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
# Divisor of the edges to weak items, which thus rank behind all others of the relation.
WEAK_DIVISOR = 2.0**10
# Pairs of a relation that are kept in memory during a search, 12 bytes each; if there may be more,
# they are counted for each setting.
MOST_KEPT = 80_000_000

Doubles = NDArray[np.float64]
Units = NDArray[np.int64]


def scaled(rows: Rows, factor: float | None) -> tuple[Rows, float]:
    """Multiply the weights of rows by a factor; return the rows and the factor.

    If `factor` is None, the factor is chosen so that the mean of the row sums is 1.
    """
    if factor is None:
        total = float(rows.weights.sum(dtype=np.float64))
        factor = (len(rows.indptr) - 1) / total if total > 0 else 1.0
    return Rows(rows.indptr, rows.items, (rows.weights * factor).astype(np.float32)), factor


def positive_rows(histories: Histories) -> Rows:
    """Convert histories to rows; dislikes have the weight 0, so that they form no pairs."""
    weights = np.maximum(histories.weights, np.float32(0.0))
    return Rows(histories.indptr, histories.items, weights)


def squared_weights(rows: Rows) -> Units:
    """Return the square of each weight in units, at most `MOST`: int64 [entries]."""
    squares = rows.weights.astype(np.float64) ** 2
    return np.minimum(squares / UNIT + 0.5, MOST).astype(np.int64)


def popularity_of(rows: Rows, n_items: int) -> Units:
    """Return the sum of the squared weights of each item in units: int64 [n_items]."""
    known = rows.items >= 0
    sums = np.zeros(n_items, dtype=np.int64)
    np.add.at(sums, rows.items[known], squared_weights(rows)[known])
    return sums


@lru_cache(maxsize=64)
def pair_steps(settings: Transitions | CoEngagement) -> Doubles:
    """Return the amount of a pair at each gap from -reach to reach: float64 [2 * reach + 1]."""
    if isinstance(settings, CoEngagement):
        flat = np.ones(settings.window, dtype=np.float64)
        return steps_of(flat, flat)
    forward = np.arange(1, settings.reach + 1, dtype=np.float64) ** -settings.gap_power
    return steps_of(forward, settings.backward * forward)


@lru_cache(maxsize=64)
def pair_shares(settings: Transitions | CoEngagement) -> Doubles:
    """Return the factor of the pairs of a history by its number of events: float64 [m].

    The number is rounded to a power of 2 ** (1/4), so that most new events change only their own
    pairs, and not all pairs of their user.
    """
    if not isinstance(settings, CoEngagement) or settings.user_exponent == 0:
        return EQUAL
    numbers = np.arange(LIMITS.events + 1, dtype=np.float64)
    rounded = 2.0 ** (np.round(4 * np.log2(np.maximum(numbers, 1.0))) / 4)
    return rounded**-settings.user_exponent


def support_of(rows: Rows, n_items: int) -> Units:
    """Return the support of each item, see `kernels.support`: int64 [n_items]."""
    support, marks = np.zeros(n_items, dtype=np.int64), np.zeros(n_items, dtype=np.int64)
    nothing = Rows(np.zeros_like(rows.indptr), rows.items[:0], rows.weights[:0])
    supports.add_support(nothing, rows, 1, supports.VERY_ACTIVE, support, marks, 0)
    return support


def pair_divisors(
    name: str, config: ItemGraphConfig, popularity: Units, weak: NDArray[np.bool_] | None = None
) -> Divisors:
    """Compute the divisors of a counted relation.

    Parameters
    ----------
    popularity : int64 [n]
        Sum of the squared event weights of each item, in units.
    weak : bool [n] or None
        Whether only one user has interacted with the item, and this user is very active. None: no
        item is weak.
    """
    divisors = _divisors(name, config, popularity)
    if weak is None or not weak.any():
        return divisors
    return divisors._replace(target=np.where(weak, WEAK_DIVISOR, 1.0) * divisors.target)


def _divisors(name: str, config: ItemGraphConfig, popularity: Units) -> Divisors:
    amounts = popularity * UNIT
    if name == COENGAGEMENT:
        pairs = config.coengagement
        shrunk = np.maximum(amounts + pairs.shrinkage, FLOOR)
        divisor = shrunk**pairs.exponent
        if pairs.source_exponent is None:
            return Divisors(divisor, divisor, 0.0)
        return Divisors(shrunk**pairs.source_exponent, divisor, 0.0)
    # Items without events make no pairs; the floor only avoids a divisor of zero.
    amounts = np.maximum(amounts, FLOOR)
    settings = config.transitions
    source, target = amounts**settings.source_exponent, amounts**settings.target_exponent
    return Divisors(source, target, settings.shrinkage)


def newcomer_gains(relations: Sequence[str], config: ItemGraphConfig, popularity: Units) -> Doubles:
    """Compute the gains of content edges from the popularity of their target items.

    An item without events has no edges in counted relations. To compensate for this, its content
    edges are multiplied by the total weight of all relations divided by that of the content
    relations. The excess of this gain over 1 is halved with each event of weight 1.

    Parameters
    ----------
    relations : sequence of str
        Names of all relations.
    config : ItemGraphConfig
        Settings, with the weights of the relations.
    popularity : int64 [n]
        Sum of the squared event weights of each item, in units.

    Returns
    -------
    float64 [n]
        Gain of each item.
    """
    weights = {name: config.relation(name).weight for name in relations}
    content = sum(weight for name, weight in weights.items() if name not in COUNTED)
    counted = sum(weights.values()) - content
    missing = counted / content if content > 0 else 0.0
    return np.asarray(1.0 + missing * 0.5 ** (popularity * UNIT), dtype=np.float64)


def powered(rows: Rows, power: float) -> Rows:
    """Return rows with all weights raised to `power`."""
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
        Scales of the relations that were computed so far.
    """

    def __init__(self, data: Dataset, seed: int = 0) -> None:
        self._rows = positive_rows(data.counted_histories)
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
        # Counts of pairs of each counted relation, and the settings on which they depend.
        self._pairs: dict[str, tuple[object, list[KeptPairs]]] = {}
        self.factors: dict[str, float] = {}

    @property
    def popularity(self) -> Units:
        """Sum of the squared event weights of each item, in units: int64 [n_items]."""
        return self._popularity

    def divisors(self, name: str, config: ItemGraphConfig) -> Divisors:
        """Return the divisors of a counted relation for a search, in which no item is weak.

        Without the events that are held out, many items would have only one user.
        """
        return pair_divisors(name, config, self._popularity)

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
        """Return whether there are items and features for a projection, within its limits."""
        known = int((self._popularity > 0).sum())
        described = self.has_text or bool(self._vectors)
        return described and known >= settings.fewest and len(self._popularity) <= settings.most

    def edges(self, name: str, config: ItemGraphConfig) -> Rows:
        """Return the scaled edges of one relation."""
        rows, self.factors[name] = scaled(self._edges(name, config), config.scales.get(name))
        return rows

    def strongest_pairs(self, config: ItemGraphConfig) -> Rows:
        """Return the counts of the strongest co-engagement pairs of each item, not divided."""
        divisors = self.divisors(COENGAGEMENT, config)
        rows = pair_edges(
            self._rows,
            pair_steps(config.coengagement),
            shares=pair_shares(config.coengagement),
            source=np.ones_like(divisors.source),
            target=divisors.target,
            top_k=config.coengagement.neighbours,
        )
        counts = rows.weights * divisors.target[rows.items]
        return Rows(rows.indptr, rows.items, counts.astype(np.float32))

    def _edges(self, name: str, config: ItemGraphConfig) -> Rows:
        if name in COUNTED:
            return self._counted_edges(name, config)
        settings = relation_config(name, config)
        return powered(self._nearest(name, settings, config), settings.power)

    def _counted_edges(self, name: str, config: ItemGraphConfig) -> Rows:
        """Return the edges of a counted relation; pairs are counted once for several divisors."""
        settings, divisors = getattr(config, name), self.divisors(name, config)
        steps, shares = pair_steps(settings), pair_shares(settings)
        key, n_items = (steps.tobytes(), shares.tobytes()), len(self._popularity)
        if most_pairs(self._rows, len(steps) // 2, n_items) > MOST_KEPT:
            return pair_edges(
                self._rows,
                steps,
                shares=shares,
                source=divisors.source,
                target=divisors.target,
                offset=divisors.offset,
                top_k=settings.neighbours,
            )
        if name not in self._pairs or self._pairs[name][0] != key:
            self._pairs.pop(name, None)  # releases the memory first
            self._pairs[name] = key, keep_pairs(self._rows, steps, n_items, shares=shares)
        return kept_edges(
            self._pairs[name][1],
            divisors.source,
            divisors.target,
            offset=divisors.offset,
            top_k=settings.neighbours,
        )

    def content_indices(self, config: ItemGraphConfig) -> tuple[TextIndex, dict[str, VectorIndex]]:
        """Return the index of texts, and the index of vectors of each other content relation."""
        vectors = {}
        for name in self.names[len(COUNTED) + 1 :]:
            settings = relation_config(name, config)
            self._nearest(name, settings, config)
            vectors[name] = self._dense[_key(name, settings, config)]
        return self._text_index(config), vectors

    def projection(self, config: ItemGraphConfig) -> Projection | None:
        """Return the projection of content to factors; None if it is not used."""
        settings = config.projected
        if not self.projects(settings):
            return None
        key = settings.factors, settings.ridge, config.content.terms
        if key not in self._projections:
            text = self._text_index(config)
            self._projections[key] = Projection.fit(
                text.vectors,
                text.encoder.n_terms,
                self._vectors,
                Csr(
                    self._rows.weights[self._known],
                    self._rows.items[self._known],
                    self._indptr,
                    (len(self._indptr) - 1, len(self._popularity)),
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
                index = TextIndex(settings.terms)
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
    """Return the key by which the neighbours of a relation are cached.

    It consists of the name and all settings that affect the neighbours.
    """
    if isinstance(settings, ContentSettings):
        return name, settings.neighbours, settings.terms
    if isinstance(settings, Projected):
        words = config.content.terms
        return name, settings.neighbours, settings.factors, settings.ridge, words
    return name, settings.neighbours


def relation_config(name: str, config: ItemGraphConfig) -> FromContent:
    """Return the settings of a content relation by its name."""
    settings = config.relation(name)
    assert isinstance(settings, FromContent)  # noqa: S101 (for the type checker)
    return settings


def weights_and_half_lives(
    names: tuple[str, ...], config: ItemGraphConfig
) -> tuple[Doubles, Doubles]:
    """Return the weights and the half-lives of R relations: float64 [R], float64 [R]."""
    parts = [config.relation(name) for name in names]
    return (
        np.array([part.weight for part in parts], dtype=np.float64),
        np.array([part.half_life for part in parts], dtype=np.float64),
    )
