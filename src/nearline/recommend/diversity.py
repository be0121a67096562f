"""Stage that chooses the list from the best candidates: diversity, calibration and caps.

The candidates are the 200 best of the model. Their scores are mapped to relevances from 0 to 1, the
least to 0 and the largest to 1. With the strength d, MMR weighs (1 - d) times the relevance against
d times the similarity; the weights of DPP are exp(a * relevance) with a = (1 - d) / (2 * d), which
maximises (1 - d) times the sum of relevances plus d times the log of the determinant (Chen et al.,
2018, section 5). Similarities are cosines; see `recommend.features`. The chosen candidates are
listed by score, as all lists are.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from nearline.kernels.diversity import DPP, MMR, RELEVANCE, Sparse, no_features, select
from nearline.recommend.candidates import candidates
from nearline.recommend.caps import Label, LabelCounts, labels_of
from nearline.recommend.features import features_of
from nearline.recommend.frequency import rotation_factors
from nearline.recommend.lists import Lists, Query, View
from nearline.recommend.rules import relevant, rules
from nearline.schema import DEFAULT_K, Item, ListOptions, RankOptions, SimilarOptions
from nearline.schema.exploration import explore_of
from nearline.state import Top
from nearline.state.showings import NOTHING

# Candidates from which a list is chosen.
POOL = 200
# How many times deeper the next search for candidates is if caps left a list short.
DEEPER = 4
# Weights of DPP are limited to e to this power.
MOST_EXPONENT = 100.0


def depth_of(options: ListOptions) -> int:
    """Return how many candidates a request, whose scenario is applied, needs per user."""
    if _shapes(options):
        return max(POOL, options.k or DEFAULT_K)
    if options.explore:
        return max(explore_of(options.explore).candidates, options.k or DEFAULT_K)
    return options.k or DEFAULT_K


def _shapes(options: ListOptions) -> bool:
    return bool(options.diversity or options.calibration or options.max_per or options.rotation)


def diversify(lists: Lists, query: Query) -> Lists:
    """Choose `k` of the candidates of each user by relevance, similarity, mix and caps."""
    options = query.options
    if not _shapes(options):
        return lists
    chosen = Lists.empty(len(lists.items), query.k)
    for row in range(len(lists.items)):
        size = int(np.count_nonzero(lists.items[row] >= 0))
        places = _places(lists.items[row, :size], lists.scores[row, :size], row, query)
        _copy(lists, row, places, chosen, row, 0)
        if len(places) < query.k and options.max_per and size == query.depth:
            _search_deeper(chosen, row, len(places), query)
    return chosen


def _places(
    items: NDArray[np.int32], scores: NDArray[np.float64], row: int, query: Query
) -> NDArray[np.int32]:
    """Return the positions of the chosen candidates, in the order of the list."""
    options, state = query.options, query.view.state
    n = len(items)
    if not n:
        return np.zeros(0, np.int32)
    with state.lock:
        entries = [state.catalogue.entry_of(item) for item in items.tolist()]
    if options.rotation and query.showings is not None:
        scores = _rotated(items, scores, row, query)
    span = float(np.ptp(scores))
    relevance = (scores - scores.min()) / span if span else np.ones(n)
    relevance, method, features = _objective(items, entries, relevance, options, query.view)
    calibration, mix = options.calibration or 0.0, None
    if calibration:
        mix = _mix(entries, row, query)
    caps = _caps(entries, options.max_per)
    chosen = select(
        query.k,
        method,
        relevance,
        options.diversity or 0.0,
        features,
        calibration if mix is not None else 0.0,
        mix.shares if mix is not None else no_features(n),
        mix.wanted if mix is not None else np.zeros(0),
        caps.indptr,
        caps.labels,
        caps.room,
    )
    # The kernel's order is that of selection; lists are ordered by score.
    return chosen[np.argsort(-scores[chosen], kind="stable")]


def _objective(
    items: NDArray[np.int32],
    entries: list[Item | None],
    relevance: NDArray[np.float64],
    options: ListOptions | RankOptions,
    view: View,
) -> tuple[NDArray[np.float64], int, Sparse]:
    """Return the relevances (weights for DPP), the method and the features of a selection."""
    strength = options.diversity or 0.0
    if not strength:
        return relevance, RELEVANCE, no_features(len(items))
    features = features_of(items, entries, view)
    if options.diversity_method != "dpp":
        return relevance, MMR, features
    exponent = min((1.0 - strength) / (2.0 * strength), MOST_EXPONENT)
    return np.exp(exponent * relevance), DPP, features


def diverse(first: Callable[[int], Top], options: SimilarOptions, view: View) -> Top:
    """Return the `k` items of an order that diversity and caps choose.

    Parameters
    ----------
    first : callable
        Returns the first n items of the order, or all if there are fewer.
    """
    k, depth = options.k, max(POOL, options.k)
    if not (options.diversity or options.max_per):
        return first(k)
    while True:
        pool = first(depth)
        chosen = np.sort(selection(pool, k, options, view))
        if len(chosen) == min(k, len(pool.items)) or len(pool.items) < depth:
            return Top(pool.items[chosen], pool.scores[chosen])
        depth *= DEEPER


def selection(pool: Top, k: int, options: RankOptions, view: View) -> NDArray[np.int32]:
    """Return the places of the at most `k` items that diversity and caps choose, in turn."""
    n, span = len(pool.items), float(np.ptp(pool.scores)) if len(pool.items) else 0.0
    with view.state.lock:
        entries = [view.state.catalogue.entry_of(item) for item in pool.items.tolist()]
    relevance = (pool.scores - pool.scores.min()) / span if span else np.ones(n)
    relevance, method, features = _objective(pool.items, entries, relevance, options, view)
    nothing, caps = no_features(n), _caps(entries, options.max_per)
    strength = options.diversity or 0.0
    mix = (0.0, nothing, np.zeros(0))
    return select(k, method, relevance, strength, features, *mix, *caps)


def _rotated(
    items: NDArray[np.int32], scores: NDArray[np.float64], row: int, query: Query
) -> NDArray[np.float64]:
    """Return scores that are lower for items that the user was shown lately."""
    rows = NOTHING if query.showings is None else query.showings[row]
    rotation = query.options.rotation or 0.0
    factors = rotation_factors(items, rows, rotation, query.view.now)
    # Of scores below 0, the distance to the best is enlarged instead.
    least = min(0.0, float(scores.min()))
    return least + (scores - least) * factors


def _search_deeper(chosen: Lists, row: int, size: int, query: Query) -> None:
    """Extend a list that caps left short by candidates behind the pool, in their order."""
    depth = query.depth
    n_items = query.view.model.n_items
    while size < query.k and depth < n_items:
        depth *= DEEPER
        deeper = replace(query.select([row]), depth=depth)
        found = relevant(rules(candidates(Lists.empty(1, depth), deeper), deeper), deeper)
        counts = LabelCounts.of(query, chosen.items[row, :size])
        taken = set(chosen.items[row, :size].tolist())
        for at, item in enumerate(found.items[0].tolist()):
            if item < 0 or size == query.k:
                break
            if item not in taken and (counts is None or counts.takes(item)):
                _copy(found, 0, np.array([at]), chosen, row, size)
                size += 1
        if found.items[0, -1] < 0:
            break


def _copy(
    source: Lists, row: int, places: NDArray[np.integer], target: Lists, to: int, start: int
) -> None:
    """Copy lines of a list, at some places, to a list from position `start` on."""
    lines = slice(start, start + len(places))
    target.items[to, lines] = source.items[row, places]
    target.scores[to, lines] = source.scores[row, places]
    target.tiers[to, lines] = source.tiers[row, places]


class Mix(NamedTuple):
    """Shares of categories: of each candidate, and those that the list should have."""

    shares: Sparse
    wanted: NDArray[np.float64]


def _mix(entries: list[Item | None], row: int, query: Query) -> Mix | None:
    """Return the mix of categories in the positive events of the history; None without any."""
    catalogue, columns = query.view.state.catalogue, dict[str, int]()
    events = query.row(row)
    wanted = np.zeros(0)
    totals: dict[str, float] = {}
    weights = query.histories.weights[events].tolist()
    for item, weight in zip(query.histories.items[events].tolist(), weights, strict=True):
        entry = catalogue.entry_of(item)
        if entry is not None and weight > 0:
            own = set(entry.categories)
            for name in own:
                totals[name] = totals.get(name, 0.0) + weight / len(own)
    if not totals:
        return None
    for name in totals:
        columns[name] = len(columns)
    rows = [dict.fromkeys(entry.categories) if entry is not None else {} for entry in entries]
    for names in rows:
        for name in names:
            columns.setdefault(name, len(columns))
    wanted = np.zeros(len(columns))
    wanted[: len(totals)] = list(totals.values())
    indptr = np.cumsum([0] + [len(names) for names in rows]).astype(np.int64)
    places = np.array([columns[name] for names in rows for name in names], dtype=np.int32)
    values = np.array([1.0 / len(names) for names in rows for _ in names], dtype=np.float64)
    return Mix(Sparse(indptr, places, values, len(columns)), wanted / wanted.sum())


class CapRows(NamedTuple):
    """Labels of each candidate as numbers, and how many items of each the list can take."""

    indptr: NDArray[np.int64]
    labels: NDArray[np.int32]
    room: NDArray[np.int32]


def _caps(entries: list[Item | None], caps: Mapping[str, int] | None) -> CapRows:
    if not caps:
        empty = no_features(len(entries))
        return CapRows(empty.indptr, empty.columns, np.zeros(0, np.int32))
    numbers: dict[Label, int] = {}
    rows = [
        [numbers.setdefault(label, len(numbers)) for label in labels_of(entry, caps)]
        for entry in entries
    ]
    return CapRows(
        np.cumsum([0] + [len(row) for row in rows]).astype(np.int64),
        np.array([label for row in rows for label in row], dtype=np.int32),
        np.array([caps[name] for name, _, _ in numbers], dtype=np.int32),
    )
