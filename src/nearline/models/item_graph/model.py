"""The item graph: a user's score for an item is a decayed sum over the user's own history.

    score(u, j) = sum over events h in history(u), sum over relations r:
                  weight_r * 0.5 ** (age(h) / half_life_r) * weight(h) * S_r[item(h), j]

The age of an event is the number of events after it. Each relation S_r is a sparse matrix of items,
with a few hundred neighbours per row. During a search for settings, all relations are scaled to the
same sum of edges; later fits with these settings keep the scales. A new event takes effect in the
next answer, a new item can be recommended as soon as its text or vector is known, and explanations
are exact, since the score is a sum over the history.

Two relations count pairs of events. Counts are integers, so after `observe` and `forget` they equal
those of a fit on the longer or shorter log.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from nearline.common.progress import Progress, no_progress
from nearline.data.dataset import Dataset, FloatArray, Histories, IntArray
from nearline.data.order import NONE
from nearline.encoders.reading import READINGS, WORDS
from nearline.errors import InvalidInput
from nearline.kernels.edges import Rows, pack
from nearline.kernels.pair_counts import Changes, Counts, changed_pairs
from nearline.models.array_checks import MOST_ITEMS, check_array, check_number
from nearline.models.base import (
    Range,
    Space,
    check_validation,
    check_weights,
)
from nearline.models.item_graph import counted_relation
from nearline.models.item_graph.attribute_counts import AttributeCounts
from nearline.models.item_graph.by_attributes import ScoresByAttributes
from nearline.models.item_graph.config import (
    CONTENT,
    PROJECTED,
    VECTOR_PREFIX,
    ItemGraphConfig,
    array_key,
    relation_of,
)
from nearline.models.item_graph.content_relations import ContentRelations, distinct_runs
from nearline.models.item_graph.counted_relation import (
    CountedRelation,
    counts_from,
    edges_of,
    no_counts,
)
from nearline.models.item_graph.counting import count_pairs
from nearline.models.item_graph.graph_store import GraphStore, rows_from
from nearline.models.item_graph.item_statistics import ItemStatistics
from nearline.models.item_graph.lately import RecentCounts
from nearline.models.item_graph.relations import (
    COUNTED,
    Sources,
    pair_shares,
    pair_steps,
    positive_rows,
)
from nearline.models.item_graph.search import KNOBS, choose
from nearline.models.item_graph.sets import for_sets
from nearline.models.item_graph.time_search import Found, choose_time_terms

Arrays = dict[str, NDArray[Any]]


# Typical number of new pairs of an event in a relation, for users with about ten events, with a
# reserve for events that arrive during a compaction.
PAIRS_AN_EVENT = 24


class ItemGraph(ScoresByAttributes):
    """A weighted sum of item-to-item relations, with weights chosen on validation data.

    Parameters
    ----------
    config : ItemGraphConfig or None
        Settings; with validation data, the search in `fit` begins with them.

    Notes
    -----
    One thread may add items and events while others score.
    """

    name: ClassVar[str] = "item_graph"
    config_type: ClassVar[type[ItemGraphConfig]] = ItemGraphConfig
    space: ClassVar[Space] = {
        f"{knob.part}.{knob.field}": Range(knob.low, knob.high, log=knob.scale)
        for knob in KNOBS
        if knob.part != VECTOR_PREFIX  # the vector columns depend on the data
    } | {f"{CONTENT}.reading": READINGS}

    tunes_itself: ClassVar[bool] = True

    def __init__(self, config: ItemGraphConfig | None = None) -> None:
        super().__init__(config)
        self._items = ItemStatistics(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
        self._counted = {name: CountedRelation(no_counts(0), 1.0) for name in COUNTED}
        self._store = self._make_store(
            {name: pack([]) for name in (*COUNTED, CONTENT, PROJECTED)}, 0
        )
        self._content = ContentRelations.untrained(self.config)
        self._recent = RecentCounts(self.config, 0)
        self._by_attributes = AttributeCounts(self.config.attributes)
        # Result of the search on splits by time, if there was one.
        self.time_terms: Found | None = None

    @classmethod
    def untrained(cls, config: ItemGraphConfig | None = None) -> Self:
        """Create a graph without items, to which `put_items` and `observe` can add data."""
        return cls(config)

    def fit(
        self,
        data: Dataset,
        *,
        validation: Histories | None = None,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Self:
        """Compute all relations; with `validation`, first search for the best settings.

        Afterwards, `config` contains the chosen settings and the scales of the relations.
        `validation` is never trained on. If `data` has no order, neither direction nor age of
        events are used, whatever the settings; see `sets.for_sets`.

        Computing the relations takes O(interactions * reach) time. A search takes this time, and a
        pass of scoring, up to ``config.search.evaluations`` times. An edge takes about 8 bytes.
        """
        check_weights(data.histories)
        if data.order == NONE:
            self.config = for_sets(self.config, data.vectors)
        sources = Sources(data, seed)
        found = None
        if validation is not None:
            check_validation(validation, data)
            found = choose(data, sources, validation, self.config, seed=seed, progress=progress)
            self.config = found or self.config
            if found is not None:
                self._choose_time_terms(data, seed, progress)
                found = self.config
        relations: dict[str, Rows] = self._count_all(data.counted_histories, data.n_items, progress)
        for name in sources.names[len(COUNTED) :]:
            progress(len(relations), len(sources.names), name)
            relations[name] = sources.edges(name, self.config)
        self._store = self._make_store(relations, data.n_items)
        self._content = ContentRelations.fitted(sources, self.config)
        self._count_recent(data.counted_histories)
        # Some events do not count, but the newest of them is the end of the data all the same.
        self._recent.reach(float(data.histories.times.max(initial=-np.inf)))
        if found is not None:
            factors = sources.factors | {name: self._counted[name].scale for name in COUNTED}
            # A relation without edges has no meaningful scale.
            scales = {name: factors[name] for name, rows in relations.items() if rows.weights.any()}
            self.config = replace(self.config, scales=scales)
        self._fit_attributes(data, validation, seed)
        self.fitted_on = data.histories
        progress(len(relations), len(relations), "done")
        return self

    def put_items(
        self,
        items: Sequence[int],
        texts: Sequence[str],
        vectors: Mapping[str, FloatArray] | None = None,
    ) -> None:
        """Add items, or change the texts or vectors of known items, and update their edges.

        Parameters
        ----------
        items : sequence of int
            Indices of the items; an index of `n_items` or more extends the catalogue.
        texts : sequence of str
            Complete text of each item; "" for none.
        vectors : dict of str to float32 [len(items), d] or None
            Vectors by column name. Empty vectors (d = 0) remove those of the column. Unknown
            columns and vectors of another dimension are ignored.

        Raises
        ------
        InvalidInput
            The numbers of items and texts differ.

        The result is that of adding one item after the other. The time for an item is that of a
        search in the inverted lists of its terms, which is bounded, and of a product with all
        vectors of each column.
        """
        if len(items) != len(texts):
            raise InvalidInput(f"there are {len(items)} items but {len(texts)} texts")
        for some in distinct_runs(items):
            self._grow(max(items[some]) + 1)
            rows = {column: values[some] for column, values in (vectors or {}).items()}
            self._content.put(self._store, items[some], texts[some], rows)

    def observe(self, before: Histories, events: Histories) -> None:
        """Count the pairs of new events; the scales of the relations do not change.

        The counts are then equal to those of a fit on the longer histories.

        An event that is the newest of its user takes about 0.1 microseconds for each event within
        reach. A late event also changes the gaps between the events around it, and takes this time
        for each of them.
        """
        self._count(before, events, 1)

    def preallocate(self, events: int) -> None:
        """Allocate memory for the new pairs of events in advance, about 3 kB per event."""
        pairs = min(PAIRS_AN_EVENT * events, self.n_items**2)
        self._store.preallocate(len(self._counted) * pairs)
        for counted in self._counted.values():
            counted.preallocate(pairs)

    @property
    def learned_bytes(self) -> int:
        """Bytes used by changed pairs and new edges, without memory that is only reserved."""
        return self._store.added_bytes + sum(c.changed_bytes for c in self._counted.values())

    @property
    def wants_compaction(self) -> bool:
        """Whether changed pairs take much memory, also in comparison with the fixed counts.

        Edges of new items do not count: packing them again and again would take quadratic time.
        """
        pairs = sum(c.changed_bytes for c in self._counted.values())
        return counted_relation.is_worth_packing(2 * pairs, self._counted)  # edges are as large

    def compact(self) -> None:
        """Add the changed counts to the fixed ones, and pack all edges into rows."""
        counted = counted_relation.packed(self._counted, self.n_items)
        relations = {name: self._edges_of(name, new.counts)[0] for name, new in counted.items()}
        relations |= {name: self._store.rows(name) for name in self.relations[len(COUNTED) :]}
        self._items = self._items.cut(self.n_items)
        self._counted, self._store = counted, self._make_store(relations, self.n_items)

    def rebuild_counts(self, histories: Histories, n_items: int) -> None:
        """Count all pairs again; the settings, scales and content relations are kept."""
        scales = {name: counted.scale for name, counted in self._counted.items()}
        n_items = max(n_items, self.n_items)
        self._store.grow(n_items)
        content = {name: self._store.rows(name) for name in self.relations[len(COUNTED) :]}
        relations = self._count_all(histories, n_items, no_progress)
        for name, scale in scales.items():
            self._counted[name].scale = scale
        self._store = self._make_store(relations | content, n_items)
        self._count_recent(histories)

    def set_time_terms(self, config: ItemGraphConfig) -> None:
        """Change the settings `lately` and `repeats`, except the half-lives."""
        self.config = replace(self.config, lately=config.lately, repeats=config.repeats)
        self._recent.set_terms(self.config)
        self._recent.set_all_rises(self._items.popularity)

    def forget(self, histories: Histories) -> None:
        """Subtract the pairs of `histories`, all events of some users, from the counts."""
        nothing = histories.take(np.zeros(len(histories.items), dtype=np.bool_))
        self._count(nothing, histories, -1)

    def _count(self, before: Histories, events: Histories, sign: int) -> None:
        if not (events.items >= 0).any():
            return
        self._grow(int(events.items.max()) + 1)
        old, new = positive_rows(before), positive_rows(events)
        touched = self._items.add(old, new, sign)
        gains = self._items.gains(self.relations, self.config, touched)
        self._store.set_gains(touched, gains)
        for relation, (name, counted) in enumerate(self._counted.items()):
            divisors = self._items.divisors(name, self.config, touched)
            self._store.set_divisors(name, touched, divisors)
            settings = getattr(self.config, name)
            steps, shares = pair_steps(settings), pair_shares(settings)
            changes = changed_pairs(old, before.times, new, events.times, steps, shares)
            changes = Changes(changes.sources, changes.targets, sign * changes.units)
            counted.apply(changes, self._store, relation)
        if self._recent.active:
            popularity, total = self._items.popularity, self._items.total
            self._recent.add(new, events.times, sign, popularity, total)

    def add_item(self, text: str = "", vectors: Mapping[str, FloatArray] | None = None) -> int:
        """Add an item with a text and vectors, float32 [d] by column; return its index."""
        item = self.n_items
        self.put_items([item], [text], {name: v[None] for name, v in (vectors or {}).items()})
        return item

    def arrays(self) -> Arrays:
        """Return all learned parameters, including items and events added after the fit."""
        arrays: Arrays = {"n_items": np.array([self.n_items], dtype=np.int64)}
        arrays |= self._items.arrays(self.n_items)
        items = []
        for name in self.relations:
            key = array_key(name)
            if name in COUNTED:
                counts = self._counted[name].merged(self.n_items)
                arrays |= {f"{key}/counts/{part}": a for part, a in counts._asdict().items()}
                rows, _ = self._edges_of(name, counts)
                arrays[f"{name}/scale"] = np.array([self._counted[name].scale])
            else:
                rows = self._store.rows(name)
            arrays[f"{key}/indptr"] = rows.indptr
            arrays[f"{key}/values"] = rows.weights
            items.append(rows.items)
        # Concatenated, as `GraphStore` takes them.
        arrays["items"] = np.concatenate(items)
        arrays |= self._recent.arrays(self.n_items) | self._by_attributes.arrays(self.n_items)
        return arrays | self._content.arrays()

    def _load(self, arrays: Arrays) -> None:
        if f"{CONTENT}/index/languages" not in arrays:
            # Also the snapshots of versions that had no other reading, and no setting of it.
            self.config = replace(self.config, content=replace(self.config.content, reading=WORDS))
        vectors = sorted(
            relation_of(key.removesuffix("/indptr"))
            for key in arrays
            if key.startswith(VECTOR_PREFIX) and key.endswith("/indptr") and "/index/" not in key
        )
        n_items = check_number(arrays, "n_items", 0, MOST_ITEMS)
        items = check_array(arrays, "items", "int32", None)
        relations = rows_from(arrays, (*COUNTED, CONTENT, PROJECTED, *vectors), items, n_items)
        self._items = ItemStatistics.restore(arrays, n_items)
        for name in COUNTED:
            counts = counts_from(arrays, name, n_items)
            self._counted[name] = CountedRelation(counts, float(arrays[f"{name}/scale"][0]))
        self._store = self._make_store(relations, n_items, items)
        self._recent = RecentCounts(self.config, n_items)
        self._recent.load(arrays, self._items.popularity)
        self._by_attributes.load(arrays, n_items)
        self._content = ContentRelations.restore([PROJECTED, *vectors], self.config, arrays)

    def _count_all(self, histories: Histories, n_items: int, progress: Progress) -> dict[str, Rows]:
        """Compute popularity and counts of pairs; return the edges of the counted relations."""
        rows = positive_rows(histories)
        self._items = ItemStatistics.of(rows, n_items)
        relations = {}
        for done, name in enumerate(COUNTED):
            progress(done, len(self.relations), name)
            counts = count_pairs(name, self.config, rows, n_items)
            relations[name], scale = self._edges_of(name, counts)
            scale = self.config.scales.get(name, scale)
            self._counted[name] = CountedRelation(counts, scale)
        return relations

    def _edges_of(self, name: str, counts: Counts) -> tuple[Rows, float]:
        """Return the edges of a counted relation, and its scale as if no item were weak."""
        known = slice(len(counts.indptr) - 1)
        neighbours = getattr(self.config, name).neighbours
        found = edges_of(counts, self._items.divisors(name, self.config, known), neighbours)
        if not self._items.some_weak(known):
            return found
        plain = self._items.divisors(name, self.config, known, weak=False)
        return found[0], edges_of(counts, plain, neighbours)[1]

    def _make_store(
        self, relations: dict[str, Rows], n_items: int, items: IntArray | None = None
    ) -> GraphStore:
        divisors = {name: self._items.divisors(name, self.config) for name in COUNTED}
        store = GraphStore(relations, n_items, divisors, items)
        gains = self._items.gains(store.names, self.config, slice(n_items))
        store.set_gains(np.arange(n_items), gains)
        return store

    def _grow(self, n_items: int) -> None:
        """Extend the graph to `n_items` items, without events or content."""
        self._store.grow(n_items)
        if self._store.room > len(self._items.popularity):
            fresh = self._items.grow(self._store.room)
            self._recent.grow(self._store.room)
            self._store.set_gains(fresh, self._items.gains(self.relations, self.config, fresh))
            for name in COUNTED:
                divisors = self._items.divisors(name, self.config, fresh)
                self._store.set_divisors(name, fresh, divisors)

    def _choose_time_terms(self, data: Dataset, seed: int, progress: Progress) -> None:
        def fit(config: ItemGraphConfig, part: Dataset) -> "ItemGraph":
            return ItemGraph(config).fit(part, seed=seed)

        found = choose_time_terms(data, self.config, fit, seed=seed, progress=progress)
        self.time_terms = found
        if found is not None:
            self.config = found.config

    def _count_recent(self, histories: Histories) -> None:
        """Count the events of histories as recent events; previous counts are discarded."""
        popularity, total = self._items.popularity, self._items.total
        self._recent = RecentCounts(self.config, len(popularity))
        self._recent.add(positive_rows(histories), histories.times, 1, popularity, total)
