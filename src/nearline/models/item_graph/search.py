"""Coordinate search for settings of the item graph on validation data.

One setting is changed at a time, first in large steps and then in smaller ones, while NDCG@k on the
validation targets improves (Hooke and Jeeves, "Direct search", JACM 1961). The evaluation of a
weight or half-life takes one pass of scoring; for other settings, one relation is also computed
again.
"""

import math
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from nearline.common.progress import Progress, is_over
from nearline.data.dataset import Dataset, Histories
from nearline.data.order import NONE
from nearline.encoders.reading import LANGUAGE, WORDS
from nearline.kernels.edges import Rows
from nearline.kernels.scoring import rank_rows
from nearline.models.item_graph.config import (
    COENGAGEMENT,
    CONTENT,
    PROJECTED,
    TRANSITIONS,
    VECTOR_PREFIX,
    CoEngagement,
    ItemGraphConfig,
)
from nearline.models.item_graph.graph_store import Divisors, GraphStore, decay_ratios
from nearline.models.item_graph.relations import (
    COUNTED,
    Sources,
    newcomer_gains,
    weights_and_half_lives,
)
from nearline.models.item_graph.sets import set_starts

# Minimum number of targets; with fewer, the choice would mostly depend on chance.
FEWEST_TARGETS = 100
ROUNDS = 4
# Relative gain from which texts are read by their language. A smaller one is often due to chance,
# and plain words, from which the search starts, may end up better.
CLEARLY = 0.02


class Knob(NamedTuple):
    """Setting that is searched: its relation and field, its first step, and its bounds.

    With `scale`, a step multiplies the value by ``1 + step``; otherwise, the step is added.
    """

    part: str
    field: str
    step: float
    low: float
    high: float
    scale: bool = True


# Settings of pairs that are searched only for histories without order.
SET_KNOBS = (
    Knob(COENGAGEMENT, "source_exponent", 0.12, 0.0, 1.5, scale=False),
    Knob(COENGAGEMENT, "user_exponent", 0.25, 0.0, 2.0, scale=False),
)
# Settings that are fast to evaluate are first, so that slow ones are evaluated near the optimum of
# the others. Those of `VECTOR_PREFIX` apply to each vector column.
KNOBS = (
    Knob(CONTENT, "weight", 0.6, 0.02, 20.0),
    Knob(COENGAGEMENT, "weight", 0.6, 0.02, 20.0),
    Knob(PROJECTED, "weight", 0.6, 0.02, 20.0),
    Knob(VECTOR_PREFIX, "weight", 0.6, 0.02, 20.0),
    Knob(TRANSITIONS, "half_life", 0.4, 0.3, 300.0),
    Knob(COENGAGEMENT, "half_life", 0.6, 0.3, 300.0),
    Knob(CONTENT, "half_life", 0.6, 0.3, 300.0),
    Knob(PROJECTED, "half_life", 0.6, 0.3, 300.0),
    Knob(VECTOR_PREFIX, "half_life", 0.6, 0.3, 300.0),
    Knob(TRANSITIONS, "target_exponent", 0.08, -0.2, 1.0, scale=False),
    Knob(TRANSITIONS, "source_exponent", 0.08, -0.2, 1.0, scale=False),
    Knob(TRANSITIONS, "backward", 0.4, 0.02, 1.0),
    Knob(TRANSITIONS, "gap_power", 0.3, 0.0, 3.0, scale=False),
    Knob(COENGAGEMENT, "exponent", 0.08, 0.0, 1.0, scale=False),
    Knob(COENGAGEMENT, "shrinkage", 1.0, 0.5, 500.0),
    Knob(CONTENT, "power", 0.2, 0.2, 5.0, scale=False),
    Knob(PROJECTED, "power", 0.5, 0.5, 6.0, scale=False),
    Knob(VECTOR_PREFIX, "power", 1.0, 0.5, 12.0, scale=False),
    Knob(CONTENT, "neighbours", 0.5, 20, 400),
    Knob(TRANSITIONS, "reach", 1.0, 2, 250),
)


def choose(
    data: Dataset,
    sources: Sources,
    validation: Histories,
    config: ItemGraphConfig,
    *,
    seed: int,
    progress: Progress,
) -> ItemGraphConfig | None:
    """Search for settings with a high NDCG@k on validation targets.

    Parameters
    ----------
    data : Dataset
        Training data.
    sources : Sources
        Relations of the training data.
    validation : Histories
        Targets, one row per user; they must not be part of the interactions of `data`.
    config : ItemGraphConfig
        Settings with which the search begins, and its budget.
    seed : int
        Seed of the sample of users.
    progress : callable
        Progress callback.

    Returns
    -------
    ItemGraphConfig or None
        The best settings; None if there are too few targets or the search is disabled.

    Notes
    -----
    Equal inputs give equal results, since the budget is a number of evaluations, not a time, unless
    `progress` has a time limit.
    """
    # Relations have equal sums of edges at first, regardless of earlier searches.
    config = replace(config, scales={})
    objective = _Objective(data, sources, validation, config, seed)
    if objective.n_targets < FEWEST_TARGETS or config.search.evaluations < 1:
        return None
    search = _Search(objective, config, config.search.evaluations, progress)
    unordered = data.order == NONE
    first = _reading(config, WORDS) if sources.has_text else config
    for start in set_starts(first) if unordered else _starts(sources.names, first):
        search.evaluate(start)
    if sources.has_text:
        search.compare(_reading(search.best, LANGUAGE))
    step = 1.0
    for _ in range(ROUNDS):
        for knob in _knobs_in_use(sources, config):
            if not unordered or knob.field != "half_life":
                search.move(knob, step)
        for knob in SET_KNOBS if unordered else ():
            search.move(knob, step)
        step /= 2
    progress(config.search.evaluations, config.search.evaluations, "search")
    return search.best


def _starts(names: list[str], config: ItemGraphConfig) -> list[ItemGraphConfig]:
    """Return the given settings, and two copies with longer half-lives."""
    starts = [config]
    for half_life in (6.0, 40.0):
        start = config
        for name in names:
            start = start.with_relation(name, replace(start.relation(name), half_life=half_life))
        starts.append(start)
    return starts


def _reading(config: ItemGraphConfig, reading: str) -> ItemGraphConfig:
    """Return settings with another way to read texts."""
    return replace(config, content=replace(config.content, reading=reading))


def _knobs_in_use(sources: Sources, config: ItemGraphConfig) -> list[Knob]:
    columns = [name for name in sources.names if name.startswith(VECTOR_PREFIX)]
    unused = set() if sources.has_text else {CONTENT}
    if not config.transitions.reach:
        unused.add(TRANSITIONS)
    if not sources.projects(config.projected):
        unused.add(PROJECTED)
    knobs = []
    for knob in KNOBS:
        if knob.part == VECTOR_PREFIX:
            knobs += [knob._replace(part=column) for column in columns]
        elif knob.part not in unused:
            knobs.append(knob)
    return knobs


class _Search:
    """State of a search: the best settings so far, and the remaining budget."""

    def __init__(
        self,
        objective: "_Objective",
        config: ItemGraphConfig,
        evaluations: int,
        progress: Progress,
    ) -> None:
        self.best, self.value = config, -1.0
        self._objective = objective
        self._left = self._all = evaluations
        self._progress = progress

    def compare(self, config: ItemGraphConfig) -> None:
        """Store settings if they are clearly better than the best so far, outside the budget."""
        if is_over(self._progress):
            return
        value = self._objective(config)
        if value > (1.0 + CLEARLY) * self.value:
            self.best, self.value = config, value

    def evaluate(self, config: ItemGraphConfig) -> bool:
        """Evaluate settings; if they are the best so far, store them and return True."""
        if self._left == 0 or (self.value >= 0.0 and is_over(self._progress)):
            return False
        self._left -= 1
        value = self._objective(config)
        better = value > self.value
        if better:
            self.best, self.value = config, value
        self._progress(self._all - self._left, self._all, "search")
        return better

    def move(self, knob: Knob, step: float) -> None:
        """Increase a setting while NDCG improves or, if it does not, decrease it."""
        for direction in (1, -1):
            moved = False
            while True:
                turned = _turn(self.best, knob, direction, step)
                if turned is None or not self.evaluate(turned):
                    break
                moved = True
            if moved:
                return


def _turn(
    config: ItemGraphConfig, knob: Knob, direction: int, step: float
) -> ItemGraphConfig | None:
    """Return settings in which one is changed by a step; None if it is at its bound."""
    part = config.relation(knob.part)
    old = getattr(part, knob.field)
    size = knob.step * step
    new = old * (1.0 + size) ** direction if knob.scale else old + direction * size
    new = min(max(new, knob.low), knob.high)
    # Rounded, since short numbers are easier to read in the settings.
    new = round(new) if isinstance(old, int) else float(f"{new:.4g}")
    if new == old:
        return None
    return config.with_relation(knob.part, replace(part, **{knob.field: new}))


class _Objective:
    """Objective of the search: mean NDCG@k over validation users; caches the relations."""

    def __init__(
        self,
        data: Dataset,
        sources: Sources,
        validation: Histories,
        config: ItemGraphConfig,
        seed: int,
    ) -> None:
        users = _draw_users(data.histories, validation, config.search.events, seed)
        histories, targets = data.histories.select(users), validation.select(users)
        self.n_targets = len(targets.items)
        self._n_items = data.n_items
        self._k = config.search.cutoff
        self._sources = sources
        self._histories = Rows(histories.indptr, histories.items, histories.weights)
        self._targets = Rows(targets.indptr, targets.items, targets.weights)
        self._unordered = data.order == NONE
        self._kept: dict[str, tuple[object, Rows]] = {}
        self._store: GraphStore | None = None

    def __call__(self, config: ItemGraphConfig) -> float:
        store = self._graph(config)
        gains = newcomer_gains(store.names, config, self._sources.popularity)
        store.set_gains(np.arange(self._n_items), gains)
        weights, half_lives = weights_and_half_lives(store.names, config)
        graph = store.view(weights, decay_ratios(half_lives), config.max_history)
        return ndcg(rank_rows(graph, self._histories, self._targets), self._targets.indptr, self._k)

    def _graph(self, config: ItemGraphConfig) -> GraphStore:
        """Return the graph for given settings; compute only the relations that changed."""
        relations: dict[str, Rows] = {}
        for name in self._sources.names:
            key = self._key(config, name)
            if name not in self._kept or self._kept[name][0] != key:
                counts = self._unordered and name == COENGAGEMENT
                rows = (
                    self._sources.strongest_pairs(config)
                    if counts
                    else self._sources.edges(name, config)
                )
                self._kept[name] = key, rows
                self._store = None
            relations[name] = self._kept[name][1]
        if self._store is None:
            # The edges are already divided; counted relations differ only in having no gains.
            once = Divisors(np.ones(self._n_items), np.ones(self._n_items), 0.0)
            self._store = GraphStore(relations, self._n_items, dict.fromkeys(COUNTED, once))
        if self._unordered:
            self._divide(self._store, relations[COENGAGEMENT], config)
        return self._store

    def _key(self, config: ItemGraphConfig, name: str) -> object:
        """Return the settings of a relation on which its cached edges depend."""
        part = config.relation(name)
        if self._unordered and isinstance(part, CoEngagement):
            return part.user_exponent, part.neighbours
        return replace(part, weight=0.0, half_life=0.0)

    def _divide(self, store: GraphStore, counts: Rows, config: ItemGraphConfig) -> None:
        """Set the divisors of co-engagement, scaled so that the mean sum of an item is one.

        Unlike the edges, they take little time to compute. The strongest edges of an item are those
        for the exponents with which they were computed, which hardly matters.
        """
        divisors = self._sources.divisors(COENGAGEMENT, config)
        sources = np.repeat(1.0 / divisors.source, np.diff(counts.indptr))
        total = float((counts.weights * sources / divisors.target[counts.items]).sum())
        source = divisors.source * (total / self._n_items if total > 0 else 1.0)
        everything = np.arange(self._n_items)
        store.set_divisors(COENGAGEMENT, everything, divisors._replace(source=source))


def _draw_users(
    histories: Histories, validation: Histories, events: int, seed: int
) -> NDArray[np.int64]:
    """Return random users with history and target, ascending: int64 [n].

    Their histories have at most `events` events in total.
    """
    sizes = np.diff(histories.indptr)
    users = np.flatnonzero((np.diff(validation.indptr) > 0) & (sizes > 0))
    drawn = np.random.default_rng(seed).permutation(users)
    fits = np.cumsum(sizes[drawn]) <= events
    return np.sort(drawn[fits])


def ndcg(ranks: NDArray[np.int64], indptr: NDArray[np.int64], k: int) -> float:
    """Return the mean NDCG@k over users, with binary relevance.

    Parameters
    ----------
    ranks : int64 [n]
        Rank of each target in the list of its user, from 0.
    indptr : int64 [n_users + 1]
        User u has the targets ``ranks[indptr[u]:indptr[u + 1]]``, at least one.
    k : int
        Length of the lists.
    """
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    gains = np.where(ranks < k, discounts[np.minimum(ranks, k - 1)], 0.0)
    sums = np.add.reduceat(gains, indptr[:-1])
    ideal = np.concatenate(([0.0], np.cumsum(discounts)))
    sizes = np.minimum(np.diff(indptr), k)
    return math.fsum(sums / ideal[sizes]) / len(sums)
