"""Candidates of a learned ranking, and the features by which its trees score them.

The features of an item are: its scores from each part and from the blend, both relative to the
largest score of the user and as z-scores; its popularity over all time and recently; its age; and
the length of the user's history. No feature depends on the other candidates.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.data.dataset import FloatArray, Histories, IntArray
from nearline.kernels.topk import top_k_rows
from nearline.models.base import Mask
from nearline.models.hybrids.blend import Blend
from nearline.models.hybrids.blend_pool import dense

# Fraction of all events, the newest ones, on which the recent popularity is based.
RECENT = 0.1


class CandidateTable(NamedTuple):
    """Candidates of n users.

    Attributes
    ----------
    blend : float32 [n, n_items]
        Scores of the blend for all items.
    items : int32 [n, c]
        Candidates, best first, padded with -1.
    features : float32 [n, c, f]
        Features of each candidate.
    """

    blend: FloatArray
    items: IntArray
    features: FloatArray


def item_counts(histories: Histories, n_items: int) -> FloatArray:
    """Compute the popularity and age of each item: float32 [n_items, 3].

    The columns are ln(1 + number of events), ln(1 + number of recent events), and the fraction of
    all events that are not before the first event of the item.
    """
    known = histories.items >= 0
    items, times = histories.items[known], histories.times[known]
    every = np.bincount(items, minlength=n_items)
    late = times >= np.quantile(times, 1 - RECENT) if len(times) else known[:0]
    recent = np.bincount(items[late], minlength=n_items)
    order = np.argsort(times, kind="stable")
    position = np.full(n_items, len(order))
    np.minimum.at(position, items[order], np.arange(len(order)))
    age = 1.0 - position / max(len(order), 1)
    return np.stack((np.log1p(every), np.log1p(recent), age), axis=1).astype(np.float32)


def no_counts() -> FloatArray:
    """Return the result of `item_counts` for an empty catalogue: float32 [0, 3]."""
    return np.zeros((0, 3), dtype=np.float32)


def candidates_of(
    blend: Blend,
    counts: FloatArray,
    histories: Histories,
    *,
    hidden: Histories,
    allowed: Mask | None,
    width: int,
) -> CandidateTable:
    """Select the best items of a blend for each history, and compute their features.

    Parameters
    ----------
    blend : Blend
        Fitted blend.
    counts : float32 [any, 3]
        Result of `item_counts`; later items have zeros.
    histories : Histories
        Histories of the users.
    hidden : Histories
        Items that are not candidates, one row for each history.
    allowed : bool [n_items] or None
        Only items for which this is true are candidates; None allows all.
    width : int
        Maximum number of candidates of a user.
    """
    n_items = blend.n_items
    raw = [dense(part, histories, n_items) for part in blend.parts]
    scores = blend.mix(histories, lambda part, rows: raw[part][rows])
    eligible = scores.copy()
    known = (hidden.items >= 0) & (hidden.items < n_items)
    row = np.repeat(np.arange(len(hidden)), np.diff(hidden.indptr))
    eligible[row[known], hidden.items[known]] = 0.0
    if allowed is not None:
        eligible[:, len(allowed) :] = 0.0
        eligible[:, : len(allowed)][:, ~allowed[:n_items]] = 0.0
    items = top_k_rows(eligible, max(1, min(width, n_items)), above=0.0).items
    if len(counts) < n_items:
        more = np.zeros((n_items - len(counts), 3), dtype=np.float32)
        counts = np.concatenate((counts, more))
    lengths = np.diff(histories.indptr)
    return CandidateTable(scores, items, _features([*raw, scores], items, counts, lengths))


def _features(
    scored: Sequence[FloatArray], items: IntArray, counts: FloatArray, lengths: NDArray[np.int64]
) -> FloatArray:
    at = np.maximum(items, 0)
    columns: list[NDArray[Any]] = []
    for scores in scored:
        own = np.take_along_axis(scores, at, axis=1)
        top = np.abs(scores).max(axis=1, keepdims=True)
        spread = scores.std(axis=1, keepdims=True)
        mean = scores.mean(axis=1, keepdims=True)
        columns += [own / np.where(top > 0, top, 1.0)]
        columns += [(own - mean) / np.where(spread > 0, spread, 1.0)]
    columns += [counts[at, column] for column in range(3)]
    columns += [np.broadcast_to(lengths[:, None], at.shape)]
    return np.stack(columns, axis=2).astype(np.float32)
