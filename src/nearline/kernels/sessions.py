"""Scores by neighbours among sessions.

    score(j) = sum over sessions s that share items with a history:
               value(s) * factor(place of j in s - anchor of s)

    value(s) = (sum over the shared items h: weight(h)) ** power * len(s) ** -length_exponent
               * 0.5 ** ((newest - time(s)) / recency)
    weight(h) = 0.5 ** (age(h) / half_life) * (number of sessions with h) ** -source_exponent

The age of an item of the history is the number of later events, `newest` is the time of the newest
of these sessions, and the anchor of a session is the last place of the most recent item that it
shares. Scores are divided by ``(number of sessions with j) ** target_exponent``; those of the items
of the history are multiplied by `repeats`. A session of the same length whose items are all in the
history adds nothing: it would usually be the history itself.

In an optional second step, the best items are taken for sessions of one item each. The normalised
scores of these, weighted by the scores of the items, are mixed with the scores of the first step;
items of the history are left out of the second step.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.chunks import map_chunks
from nearline.kernels.session_index import SessionIndex, is_last_place

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

# Added to each term of a score, so that the score of a candidate is never 0.
LEAST = 1e-30


class SessionWeights(NamedTuple):
    """Settings of the score; see the description of the module.

    Attributes
    ----------
    power, half_life, recency : float
        Settings of the same names; a `recency` of 0 ignores times.
    lengths, sources, targets : float64 [any]
        Factor of a session by its length, of a shared item by its number of sessions, and of a
        scored item by its number of sessions; the last value is for all higher numbers.
    after, before : float64 [reach + 1]
        Factor of an item by its distance after or before the anchor, in events; farther items are
        ignored.
    repeats : float64 [r]
        Factor of an item of the history by its age; the last value is for all higher ages.
    max_history : int
        Number of most recent events of a history that are used.
    most_sessions : int
        Number of most recent sessions of each item that are used.
    second : float
        Share of the second step in the score.
    expanded : int
        Number of best items of the first step from which the second one starts.
    """

    power: float
    half_life: float
    recency: float
    lengths: Doubles
    sources: Doubles
    targets: Doubles
    after: Doubles
    before: Doubles
    repeats: Doubles
    max_history: int
    most_sessions: int
    second: float
    expanded: int


class SessionMatches(NamedTuple):
    """Working memory of one thread: the sessions that share items with the current history."""

    sums: Doubles
    anchors: Ints
    shared: Ints
    touched: Ints
    candidates: Ints


class _Second(NamedTuple):
    """Working memory of one thread for the second step."""

    found: SessionMatches
    scores: Floats
    sums: Doubles
    candidates: Ints


@njit(nogil=True, cache=True)
def table_value(table: Doubles, number: int) -> float:
    """Return the value for a number; the last one if it is beyond the table."""
    return float(table[min(number, len(table) - 1)])


@njit(nogil=True, cache=True)
def item_weight(index: SessionIndex, by: SessionWeights, item: int, age: int) -> float:
    """Return the weight of an item of the history by its age."""
    return float(0.5 ** (age / by.half_life) * table_value(by.sources, index.counts[item]))


@njit(nogil=True, cache=True)
def match_sessions(
    index: SessionIndex, by: SessionWeights, items: Ints, found: SessionMatches
) -> int:
    """Find the sessions that share items with a history; return their number."""
    n = 0
    for place in range(len(items) - 1, max(len(items) - by.max_history, 0) - 1, -1):
        if not is_last_place(items, place):
            continue
        weight = item_weight(index, by, items[place], len(items) - 1 - place)
        entry, left = index.heads[items[place]], by.most_sessions
        while entry >= 0 and left > 0:
            session = index.entry_sessions[entry]
            if found.shared[session] == 0:
                found.touched[n] = session
                found.anchors[session] = index.entry_places[entry]
                n += 1
            found.shared[session] += 1
            found.sums[session] += weight
            entry = index.following[entry]
            left -= 1
    return n


@njit(nogil=True, cache=True)
def newest_time(index: SessionIndex, found: SessionMatches, n: int) -> float:
    """Return the time of the newest of the first `n` sessions that were found."""
    newest = -np.inf
    for at in range(n):
        newest = max(newest, index.times[found.touched[at]])
    return newest


@njit(nogil=True, cache=True)
def session_value(
    index: SessionIndex,
    by: SessionWeights,
    session: int,
    found: SessionMatches,
    n_events: int,
    newest: float,
) -> float:
    """Return the value of a session; 0 if it was removed or is taken for the history itself."""
    length = index.lengths[session]
    alone = length == n_events and found.shared[session] >= index.distinct[session]
    if length == 0 or alone:
        return 0.0
    value = found.sums[session] ** by.power * table_value(by.lengths, length)
    if by.recency > 0:
        value *= 0.5 ** ((newest - index.times[session]) / by.recency)
    return float(value)


@njit(nogil=True, cache=True)
def distance_factor(by: SessionWeights, distance: int) -> float:
    """Return the factor of an item by its distance to the anchor; 0 beyond the reach."""
    if abs(distance) >= len(by.after):
        return 0.0
    return float(by.after[distance] if distance >= 0 else by.before[-distance])


@njit(nogil=True, cache=True)
def own_factor(by: SessionWeights, items: Ints, item: int) -> float:
    """Return the factor of an item's score that depends on the history: 1 if it is not in it."""
    for place in range(len(items) - 1, max(len(items) - by.max_history, 0) - 1, -1):
        if items[place] == item:
            return table_value(by.repeats, len(items) - 1 - place)
    return 1.0


@njit(nogil=True, cache=True)
def _score(
    index: SessionIndex, by: SessionWeights, items: Ints, found: SessionMatches, scores: Floats
) -> int:
    """Add the scores of one history to `scores`, which are 0; return the number of candidates."""
    n = match_sessions(index, by, items, found)
    newest = newest_time(index, found, n)
    candidates = 0
    for at in range(n):
        session = found.touched[at]
        value = session_value(index, by, session, found, len(items), newest)
        if value > 0.0:
            anchor, reach = found.anchors[session], len(by.after)
            first = index.starts[session]
            low, high = max(anchor - reach + 1, 0), min(anchor + reach, index.lengths[session])
            for place in range(low, high):
                item = index.events[first + place]
                if item < 0 or item >= len(scores):
                    continue
                if scores[item] == 0:
                    found.candidates[candidates] = item
                    candidates += 1
                scores[item] += np.float32(value * distance_factor(by, place - anchor) + LEAST)
        found.sums[session] = 0.0
        found.shared[session] = 0
    for at in range(candidates):
        item = found.candidates[at]
        scores[item] *= np.float32(table_value(by.targets, index.counts[item]))
    for place in range(len(items) - 1, max(len(items) - by.max_history, 0) - 1, -1):
        if is_last_place(items, place):
            scores[items[place]] *= np.float32(own_factor(by, items, items[place]))
    return candidates


@njit(nogil=True, cache=True)
def _best(scores: Floats, candidates: Ints, n: int, most: int) -> Ints:
    """Return the candidates with the highest scores above 0, best first; ties by lower index."""
    best, size = np.zeros(most, dtype=np.int32), 0
    for at in range(n):
        item = candidates[at]
        place = size
        while place > 0 and (
            scores[item] > scores[best[place - 1]]
            or (scores[item] == scores[best[place - 1]] and item < best[place - 1])
        ):
            if place < most:
                best[place] = best[place - 1]
            place -= 1
        if place < most and scores[item] > 0:
            best[place] = item
            size = min(size + 1, most)
    return best[:size]


@njit(nogil=True, cache=True)
def _second_step(
    index: SessionIndex, by: SessionWeights, best: Ints, first: Floats, again: _Second
) -> int:
    """Add the scores of the second step to `again.sums`; return the number of its candidates."""
    n, best_total = 0, 0.0
    for item in best:
        best_total += first[item]
    for at in range(len(best)):
        found = _score(index, by, best[at : at + 1], again.found, again.scores)
        total = 0.0
        for place in range(found):
            total += again.scores[again.found.candidates[place]]
        for place in range(found):
            item = again.found.candidates[place]
            if total > 0.0 and again.scores[item] > 0:
                if again.sums[item] == 0.0:
                    again.candidates[n] = item
                    n += 1
                again.sums[item] += first[best[at]] / best_total * again.scores[item] / total
            again.scores[item] = 0
    return n


@njit(nogil=True, cache=True)
def _score_twice(
    index: SessionIndex,
    by: SessionWeights,
    items: Ints,
    found: SessionMatches,
    again: _Second,
    scores: Floats,
) -> int:
    """Add the scores of both steps, like `_score`."""
    n = _score(index, by, items, found, scores)
    if by.second == 0.0:
        return n
    total, mass = 0.0, 0.0
    for at in range(n):
        total += scores[found.candidates[at]]
    best = _best(scores, found.candidates, n, by.expanded)
    seconds = _second_step(index, by, best, scores, again)
    for place in range(max(len(items) - by.max_history, 0), len(items)):
        again.sums[items[place]] = 0.0
    for at in range(seconds):
        mass += again.sums[again.candidates[at]]
    for at in range(n):
        scores[found.candidates[at]] *= np.float32(1.0 - by.second)
    for at in range(seconds):
        item = again.candidates[at]
        if again.sums[item] > 0.0:
            if scores[item] == 0:
                found.candidates[n] = item
                n += 1
            scores[item] += np.float32(by.second * total * again.sums[item] / mass + LEAST)
            again.sums[item] = 0.0
    return n


@njit(nogil=True, cache=True)
def _score_rows(
    index: SessionIndex,
    by: SessionWeights,
    indptr: Longs,
    items: Ints,
    found: SessionMatches,
    again: _Second,
    scores: NDArray[np.float32],
) -> None:
    for row in range(len(indptr) - 1):
        history = items[indptr[row] : indptr[row + 1]]
        _score_twice(index, by, history, found, again, scores[row])


@njit(nogil=True, cache=True)
def _rank_rows(
    index: SessionIndex,
    by: SessionWeights,
    indptr: Longs,
    items: Ints,
    targets: Ints,
    found: SessionMatches,
    again: _Second,
    scores: Floats,
    ranks: Longs,
) -> None:
    for row in range(len(indptr) - 1):
        history = items[indptr[row] : indptr[row + 1]]
        n = _score_twice(index, by, history, found, again, scores)
        own = scores[targets[row]] if targets[row] < len(scores) else np.float32(0.0)
        ranks[row] = len(scores)
        if own > 0:
            ranks[row] = 0
            for at in range(n):
                item = found.candidates[at]
                ranks[row] += scores[item] > own or (scores[item] == own and item < targets[row])
        for at in range(n):
            scores[found.candidates[at]] = 0


def make_matches(index: SessionIndex) -> SessionMatches:
    """Return empty working memory for an index."""
    n = len(index.lengths)
    # Zeros are not written until they are used, unlike those of an array created by a kernel.
    return SessionMatches(
        np.zeros(n, dtype=np.float64),
        np.zeros(n, dtype=np.int32),
        np.zeros(n, dtype=np.int32),
        np.zeros(n, dtype=np.int32),
        np.zeros(len(index.heads), dtype=np.int32),
    )


def _memory(index: SessionIndex, n_items: int) -> _Second:
    return _Second(
        make_matches(index),
        np.zeros(n_items, dtype=np.float32),
        np.zeros(len(index.heads), dtype=np.float64),
        np.zeros(n_items, dtype=np.int32),
    )


def score_sessions(
    index: SessionIndex, by: SessionWeights, indptr: Longs, items: Ints, n_items: int
) -> Floats:
    """Return the scores of all items for each history: float32 [n, n_items].

    Parameters
    ----------
    index : SessionIndex
    by : SessionWeights
    indptr, items : int64 [n + 1], int32 [m]
        Items of each history, oldest first; all are below `n_items`.
    n_items : int
        Number of items to score, at most the number for which the index has room.
    """
    scores = np.zeros((len(indptr) - 1, n_items), dtype=np.float32)

    def work(first: int, last: int) -> None:
        memory = make_matches(index), _memory(index, n_items)
        _score_rows(index, by, indptr[first : last + 1], items, *memory, scores[first:last])

    map_chunks(work, len(scores), least=64)
    return scores


def rank_targets(
    index: SessionIndex, by: SessionWeights, indptr: Longs, items: Ints, targets: Ints
) -> Longs:
    """Return the rank of one target of each history among all items, from 0: int64 [n].

    Parameters are those of `score_sessions`, and `targets`, int32 [n]. The rank of a target without
    a score is the number of items.
    """
    ranks = np.zeros(len(targets), dtype=np.int64)

    def work(first: int, last: int) -> None:
        n_items = len(index.heads)
        memory = make_matches(index), _memory(index, n_items), np.zeros(n_items, dtype=np.float32)
        span = indptr[first : last + 1]
        _rank_rows(index, by, span, items, targets[first:last], *memory, ranks[first:last])

    map_chunks(work, len(targets))
    return ranks
