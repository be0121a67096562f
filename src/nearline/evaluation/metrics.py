"""How good a set of lists is: accuracy for each user, and what the lists do as a whole.

Lists are rows of `Ranking.items` (int32 [n, k], best first, -1 padded); what is relevant is
binary. Accuracy is defined as trec_eval defines it, and averaged over users by whoever calls.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nearline.data.dataset import Histories, IntArray
from nearline.errors import InvalidInput

Values = NDArray[np.float64]
Features = NDArray[np.floating] | sparse.csr_array

# Rows of lists turned into sums of feature vectors at a time: bounds the memory of `diversity`.
DIVERSITY_BLOCK = 128


class Hits(NamedTuple):
    """Lists held against what is relevant, for the m users who have something relevant.

    Attributes
    ----------
    users : int64 [m]
        Rows of the lists that were judged, rising; the others have no truth.
    found : bool [m, k]
        Whether the item at this place is relevant.
    n_relevant : int64 [m]
        Relevant items of each user, found or not; at least 1.
    """

    users: NDArray[np.int64]
    found: NDArray[np.bool_]
    n_relevant: NDArray[np.int64]


def judge(items: IntArray, truth: Histories, k: int) -> Hits:
    """Hold the first `k` places of the lists against `truth`: O((n k + t) log t).

    An item of the truth is relevant if its weight is positive; repeats count once. An item
    unknown to the vocabulary (-1) is relevant and cannot be found, so it lowers recall and never
    hides. Lists shorter than `k` have misses in the places left.

    Raises
    ------
    InvalidInput
        If `k` is below 1, row counts differ, or a list names an item twice.
    """
    if k < 1:
        raise InvalidInput(f"k is {k}; it must be at least 1", field="k")
    if len(items) != len(truth):
        raise InvalidInput(
            f"there are {len(items)} lists and {len(truth)} rows of truth; give one list a row",
            field="items",
        )
    items = items[:, :k]
    _refuse_repeats(items)
    n_relevant = relevant_counts(truth)
    users = np.flatnonzero(n_relevant)
    found = np.zeros((len(users), k), dtype=np.bool_)
    found[:, : items.shape[1]] = contained(items, _positive(truth))[users]
    return Hits(users, found, n_relevant[users])


def relevant_counts(truth: Histories) -> NDArray[np.int64]:
    """Distinct items of positive weight in each row, every unknown one on its own: int64 [n]."""
    relevant = _positive(truth)
    rows, items = _row_of_each(relevant), relevant.items
    known = items >= 0
    width = int(items.max(initial=0)) + 1
    distinct = np.unique(rows[known] * width + items[known]) // width
    unknown = np.bincount(rows[~known], minlength=len(truth))
    return np.bincount(distinct, minlength=len(truth)) + unknown


def contained(items: IntArray, rows: Histories) -> NDArray[np.bool_]:
    """Whether each entry of ``items[u]`` stands in row u, whatever its weight: bool [n, k]."""
    width = int(max(items.max(initial=0), rows.items.max(initial=0))) + 1
    keys = np.arange(len(items), dtype=np.int64)[:, None] * width + items
    known = rows.items >= 0
    row_keys = _row_of_each(rows)[known] * width + rows.items[known]
    # Without the mask, the key of padding would be one of the row before.
    return np.isin(keys, row_keys) & (items >= 0)


def ndcg(hits: Hits) -> Values:
    """DCG with gain 1 and discount 1 / log2(rank + 1), over the best DCG k places allow: [m]."""
    k = hits.found.shape[1]
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discount)[np.minimum(hits.n_relevant, k) - 1]
    scores: Values = (hits.found @ discount) / ideal
    return scores


def recall(hits: Hits) -> Values:
    """Share of the relevant items that was found: [m]."""
    shares: Values = hits.found.sum(axis=1) / hits.n_relevant
    return shares


def precision(hits: Hits) -> Values:
    """Share of the k places that hold a relevant item; a short list does not shrink k: [m]."""
    shares: Values = hits.found.mean(axis=1)
    return shares


def average_precision(hits: Hits) -> Values:
    """Precision at each place found, summed and divided by all relevant items: [m].

    This is AP@k of trec_eval (``map_cut``): the divisor is the number of relevant items, not the
    smaller of it and k, so a user with more than k of them cannot reach 1.
    """
    k = hits.found.shape[1]
    precisions = np.cumsum(hits.found, axis=1) / np.arange(1, k + 1)
    averages: Values = (precisions * hits.found).sum(axis=1) / hits.n_relevant
    return averages


def reciprocal_rank(hits: Hits) -> Values:
    """1 / rank of the first item found, 0 where there is none: [m]."""
    first = hits.found.argmax(axis=1)
    ranks: Values = hits.found.any(axis=1) / (first + 1.0)
    return ranks


def hit_rate(hits: Hits) -> Values:
    """1 where anything was found, else 0: [m]."""
    found: Values = np.asarray(hits.found.any(axis=1), dtype=np.float64)
    return found


ACCURACY: Mapping[str, Callable[[Hits], Values]] = {
    "ndcg": ndcg,
    "recall": recall,
    "precision": precision,
    "map": average_precision,
    "mrr": reciprocal_rank,
    "hit_rate": hit_rate,
}


def exposure(items: IntArray, n_items: int) -> NDArray[np.int64]:
    """How many lists each item stands in: int64 [n_items]."""
    return np.bincount(items[items >= 0], minlength=n_items)


def coverage(shown: NDArray[np.int64]) -> float:
    """Share of the catalogue that stands in any list; `shown` comes from `exposure`."""
    return float(np.mean(shown > 0))


def gini(shown: NDArray[np.int64]) -> float:
    """Gini coefficient of exposure over the whole catalogue.

    0 where every item is shown equally often (or nothing is shown), near 1 where one item takes
    it all.
    """
    total = shown.sum()
    if total == 0:
        return 0.0
    n = len(shown)
    places = 2 * np.arange(1, n + 1) - n - 1
    return float((places * np.sort(shown)).sum() / (n * total))


def novelty(items: IntArray, counts: NDArray[np.integer]) -> Values:
    """Mean self-information of each list in bits, -log2 p(item): [n], NaN for an empty list.

    p is the item's share of the training interactions, `counts` [n_items] / their sum. An item
    that was never seen is taken as seen once: its information would be infinite.
    """
    total = counts.sum()
    if total <= 0:
        raise InvalidInput(
            "the training counts are all 0; novelty needs those the model was fitted on",
            field="counts",
        )
    information = -np.log2(np.maximum(counts, 1) / total)
    here = items >= 0
    return _ratio((information[items] * here).sum(axis=1), here.sum(axis=1))


def diversity(items: IntArray, features: Features) -> Values:
    """Mean of 1 - cosine over the pairs of each list: [n], NaN for lists of fewer than two.

    Parameters
    ----------
    items : int32 [n, k]
        Lists, -1 padded.
    features : float [n_items, d], dense or CSR
        A vector for each item: content, an embedding, or the users who took it (the transposed
        user-item matrix). A row of zeros is unlike everything.

    Notes
    -----
    The cosines of all pairs of a list sum to (|sum of unit vectors|² - sum of |unit vector|²) / 2,
    so a list costs O(k d) and not O(k² d).
    """
    unit = _unit_rows(features)
    own = _squared_lengths(unit)
    result = np.empty(len(items), dtype=np.float64)
    for start in range(0, len(items), DIVERSITY_BLOCK):
        block = items[start : start + DIVERSITY_BLOCK]
        here = block >= 0
        sizes = here.sum(axis=1)
        indptr = np.concatenate(([0], np.cumsum(sizes)))
        lists = sparse.csr_array(
            (np.ones(indptr[-1]), block[here], indptr), shape=(len(block), unit.shape[0])
        )
        sums: Features = lists @ unit
        cosines = _squared_lengths(sums) - lists @ own
        result[start : start + len(block)] = 1.0 - _ratio(cosines, sizes * (sizes - 1))
    return result


def _unit_rows(features: Features) -> Features:
    """Scale rows to length 1, in float64; rows of zeros stay."""
    lengths = np.sqrt(_squared_lengths(features))
    scale = 1.0 / np.where(lengths == 0, 1.0, lengths)
    if isinstance(features, np.ndarray):
        return features * scale[:, None]
    return sparse.csr_array(sparse.diags_array(scale) @ features)


def _squared_lengths(rows: Features) -> Values:
    squares = rows.astype(np.float64) ** 2
    lengths: Values = np.asarray(squares.sum(axis=1), dtype=np.float64)
    return lengths


def _ratio(numerator: NDArray[np.floating], divisor: NDArray[np.integer]) -> Values:
    """Divide; NaN where the divisor is 0."""
    result: Values = np.full(len(numerator), np.nan)
    np.divide(numerator, divisor, out=result, where=divisor != 0)
    return result


def _row_of_each(rows: Histories) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(rows), dtype=np.int64), np.diff(rows.indptr))


def _positive(rows: Histories) -> Histories:
    """Entries of positive weight: a dislike is nothing to find."""
    keep = rows.weights > 0
    before = np.concatenate(([0], np.cumsum(keep)))
    indptr = before[rows.indptr].astype(np.int64)
    return Histories(indptr, rows.items[keep], rows.weights[keep], rows.times[keep])


def _refuse_repeats(items: IntArray) -> None:
    ordered = np.sort(items, axis=1)
    repeated = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    if repeated.any():
        row = int(np.flatnonzero(repeated.any(axis=1))[0])
        raise InvalidInput(
            f"list {row} names an item twice, and a repeat would count as a second hit; "
            "an item may stand in a list once",
            field="items",
            position=row,
        )
