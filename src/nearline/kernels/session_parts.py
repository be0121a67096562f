"""Parts of a score by neighbours among sessions: what each event of the history adds."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.session_index import SessionIndex, is_last_place
from nearline.kernels.sessions import (
    LEAST,
    SessionMatches,
    SessionWeights,
    distance_factor,
    item_weight,
    make_matches,
    match_sessions,
    newest_time,
    own_factor,
    score_sessions,
    session_value,
    table_value,
)

Ints = NDArray[np.int32]
Doubles = NDArray[np.float64]


@njit(nogil=True, cache=True)
def _score_parts(
    index: SessionIndex,
    by: SessionWeights,
    items: Ints,
    target: int,
    found: SessionMatches,
    parts: Doubles,
) -> None:
    n = match_sessions(index, by, items, found)
    newest = newest_time(index, found, n)
    common = table_value(by.targets, index.counts[target]) * own_factor(by, items, target)
    for at in range(n):
        session, amount = found.touched[at], 0.0
        for place in range(index.lengths[session]):
            if index.events[index.starts[session] + place] == target:
                amount += distance_factor(by, place - found.anchors[session])
        value = session_value(index, by, session, found, len(items), newest)
        if amount * value == 0.0:
            continue
        own = index.events[index.starts[session] : index.starts[session] + index.lengths[session]]
        shares, total = np.zeros(len(items)), 0.0
        for place in range(max(len(items) - by.max_history, 0), len(items)):
            if is_last_place(items, place) and np.any(own == items[place]):
                shares[place] = item_weight(index, by, items[place], len(items) - 1 - place)
                total += shares[place]
        parts += shares * (amount * value * common / total)


def session_parts(
    index: SessionIndex, by: SessionWeights, items: Ints, target: int, n_items: int
) -> Doubles:
    """Return the part of the score of an item that each event of a history adds: float64 [n].

    The value of a session is divided among the shared items in proportion to their weights. The
    second step is divided like the scores of the items from which it starts.
    """
    alone = by._replace(second=0.0)

    def first_step(item: int) -> Doubles:
        parts = np.zeros(len(items), dtype=np.float64)
        _score_parts(index, alone, items, item, make_matches(index), parts)
        return parts

    parts = first_step(target)
    if by.second == 0.0:
        return parts
    parts *= 1.0 - by.second
    scores = score_sessions(index, alone, np.array([0, len(items)]), items, n_items)[0]
    best = np.argsort(-scores, kind="stable")[: by.expanded].astype(np.int32)
    best = best[scores[best] > 0]
    if len(best) == 0:
        return parts
    lists = score_sessions(index, alone, np.arange(len(best) + 1), best, n_items).astype(float)
    lists /= np.maximum(lists.sum(axis=1, keepdims=True), LEAST)
    sums = scores[best] / scores[best].sum(dtype=np.float64) @ lists
    sums[items[-by.max_history :]] = 0.0
    if sums[target] > 0:
        common = by.second * scores.sum(dtype=np.float64) / sums.sum()
        common /= scores[best].sum(dtype=np.float64)
        for item, row in zip(best, lists, strict=True):
            if row[target] > 0:
                parts += common * row[target] * first_step(int(item))
    return parts
