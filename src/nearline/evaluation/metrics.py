"""Metrics of ranked lists: accuracy per user, coverage, novelty and diversity.

Lists are the rows of `Ranking.items`: int32 [n, k], best item first, padded with -1. Relevance is
binary. Accuracy metrics are defined as in trec_eval. They are returned per user, as float64 [m] for
the m users who have a relevant item.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nearline.data.dataset import Histories, IntArray
from nearline.errors import InvalidInput
from nearline.kernels.csr import Csr, as_csr
from nearline.models.base import check_k

Values = NDArray[np.float64]
Features: TypeAlias = NDArray[np.floating] | Csr

# Number of lists that `diversity` processes at a time; limits its memory.
DIVERSITY_BLOCK = 128


class Hits(NamedTuple):
    """Relevance of each position in the lists of the m users who have a relevant item.

    Attributes
    ----------
    users : int64 [m]
        Rows of these users among all lists, ascending.
    found : bool [m, k]
        Whether the item at this position is relevant.
    n_relevant : int64 [m]
        Number of relevant items of each user, whether or not they are in the list; at least 1.
    """

    users: NDArray[np.int64]
    found: NDArray[np.bool_]
    n_relevant: NDArray[np.int64]


def judge(items: IntArray, truth: Histories, k: int) -> Hits:
    """Determine which of the first `k` positions of the lists are relevant.

    Parameters
    ----------
    items : int [n, l]
        Lists of the users, padded with -1.
    truth : Histories
        Held-out events, one row per list. An item is relevant if it has an event of positive
        weight; repeated items count once. An item outside the vocabulary (-1) is relevant but
        cannot be found, so it reduces recall.
    k : int
        Number of positions. Shorter lists are padded with positions that are not relevant.

    Raises
    ------
    InvalidInput
        `k` is out of range, the numbers of rows differ, or a list contains an item twice.

    Notes
    -----
    With t held-out events, the time complexity is O((n k + t) log t).
    """
    check_k(k)
    if len(items) != len(truth):
        raise InvalidInput(
            f"there are {len(items)} lists and {len(truth)} rows of truth; give one list per row",
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
    """Count the relevant items of each row: int64 [n].

    These are the distinct items with positive weight. Each event with an unknown item (-1) counts
    as a separate item.
    """
    relevant = _positive(truth)
    rows, items = _row_of_each(relevant), relevant.items
    known = items >= 0
    width = int(items.max(initial=0)) + 1
    distinct = np.unique(rows[known] * width + items[known]) // width
    unknown = np.bincount(rows[~known], minlength=len(truth))
    return np.bincount(distinct, minlength=len(truth)) + unknown


def reached_already(truth: Histories, histories: Histories) -> int:
    """Count the relevant items that are also in the same row of `histories`."""
    relevant = _positive(truth)
    width = int(max(relevant.items.max(initial=0), histories.items.max(initial=0))) + 1
    keys, known = (
        np.unique(_row_of_each(rows)[rows.items >= 0] * width + rows.items[rows.items >= 0])
        for rows in (relevant, histories)
    )
    return int(np.isin(keys, known).sum())


def contained(items: IntArray, rows: Histories) -> NDArray[np.bool_]:
    """Return whether each item of a list occurs in the history of the same row: bool [n, k].

    Parameters
    ----------
    items : int [n, k]
        Lists, padded with -1.
    rows : Histories
        One history per list; events of any weight count.
    """
    width = int(max(items.max(initial=0), rows.items.max(initial=0))) + 1
    keys = np.arange(len(items), dtype=np.int64)[:, None] * width + items
    known = rows.items >= 0
    row_keys = _row_of_each(rows)[known] * width + rows.items[known]
    # Padding has the key of an item of the previous row, so it is masked.
    return np.isin(keys, row_keys) & (items >= 0)


def ndcg(hits: Hits) -> Values:
    """Compute the normalised discounted cumulative gain (NDCG@k) of each user: float64 [m].

    A relevant item at rank r (from 1) contributes 1 / log2(r + 1). The sum is divided by the
    largest possible sum in k positions.
    """
    k = hits.found.shape[1]
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discount)[np.minimum(hits.n_relevant, k) - 1]
    scores: Values = (hits.found @ discount) / ideal
    return scores


def recall(hits: Hits) -> Values:
    """Compute the fraction of each user's relevant items that are in the list: float64 [m]."""
    shares: Values = hits.found.sum(axis=1) / hits.n_relevant
    return shares


def precision(hits: Hits) -> Values:
    """Compute the fraction of the k positions that are relevant: float64 [m].

    The divisor is k even if a list is shorter.
    """
    shares: Values = hits.found.mean(axis=1)
    return shares


def average_precision(hits: Hits) -> Values:
    """Compute the average precision (AP@k) of each user: float64 [m].

    It is the sum of the precisions at the ranks of the relevant items in the list, divided by the
    number of relevant items, as in trec_eval (``map_cut``). A user with more than k relevant items
    cannot reach 1.
    """
    k = hits.found.shape[1]
    precisions = np.cumsum(hits.found, axis=1) / np.arange(1, k + 1)
    averages: Values = (precisions * hits.found).sum(axis=1) / hits.n_relevant
    return averages


def reciprocal_rank(hits: Hits) -> Values:
    """Compute 1 / rank of the first relevant item in each list, 0 without one: float64 [m]."""
    first = hits.found.argmax(axis=1)
    ranks: Values = hits.found.any(axis=1) / (first + 1.0)
    return ranks


def hit_rate(hits: Hits) -> Values:
    """Return 1 for each list that contains a relevant item, 0 for others: float64 [m]."""
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
    """Count the lists that contain each item: int64 [n_items].

    Parameters
    ----------
    items : int [n, k]
        Lists, padded with -1.
    n_items : int
        Size of the catalogue.
    """
    return np.bincount(items[items >= 0], minlength=n_items)


def coverage(shown: NDArray[np.int64]) -> float:
    """Return the fraction of the catalogue that is in any list, given the result of `exposure`."""
    return float(np.mean(shown > 0))


def gini(shown: NDArray[np.int64]) -> float:
    """Compute the Gini coefficient of the exposure of all items, given the result of `exposure`.

    It is 0 if all items are in equally many lists (or all lists are empty), and close to 1 if all
    lists consist of the same few items.
    """
    total = shown.sum()
    if total == 0:
        return 0.0
    n = len(shown)
    places = 2 * np.arange(1, n + 1) - n - 1
    return float((places * np.sort(shown)).sum() / (n * total))


def novelty(items: IntArray, counts: NDArray[np.integer]) -> Values:
    """Compute the mean self-information in bits of the items of each list.

    The self-information of an item is -log2 p, where p is its share of the training interactions.
    An item without interactions is treated like one with a single interaction, so that its
    self-information is finite.

    Parameters
    ----------
    items : int [n, k]
        Lists; -1 marks an empty position.
    counts : int [n_items]
        Number of training interactions of each item.

    Returns
    -------
    float64 [n]
        Mean of each list; NaN for an empty list.

    Raises
    ------
    InvalidInput
        All counts are 0.
    """
    total = counts.sum()
    if total <= 0:
        raise InvalidInput(
            "the training counts are all 0; give those of the data the model was fitted on",
            field="counts",
        )
    information = -np.log2(np.maximum(counts, 1) / total)
    here = items >= 0
    return _ratio((information[items] * here).sum(axis=1), here.sum(axis=1))


def diversity(items: IntArray, features: Features) -> Values:
    """Compute the mean of 1 - cosine over all pairs of items in each list.

    Parameters
    ----------
    items : int32 [n, k]
        Lists, padded with -1.
    features : float [n_items, d], dense, `Csr` or scipy.sparse.csr_array
        Item vectors, such as content features, embeddings or columns of the user-item matrix. A
        row of zeros has cosine 0 with every other row.

    Returns
    -------
    float64 [n]
        Mean of each list; NaN for a list with fewer than two items.

    Notes
    -----
    The cosines of all pairs in a list sum to (|sum of unit vectors|² - sum of |unit vector|²) / 2.
    With d features, a list therefore takes O(k d) time instead of O(k² d).
    """
    unit = _unit_rows(features)
    own = _squared_lengths(unit)
    result = np.empty(len(items), dtype=np.float64)
    for start in range(0, len(items), DIVERSITY_BLOCK):
        block = items[start : start + DIVERSITY_BLOCK]
        here = block >= 0
        sizes = here.sum(axis=1)
        indptr = np.concatenate(([0], np.cumsum(sizes)))
        lists = Csr(np.ones(indptr[-1]), block[here], indptr, (len(block), unit.shape[0]))
        sums: Features = lists @ unit
        cosines = _squared_lengths(sums) - lists @ own
        result[start : start + len(block)] = 1.0 - _ratio(cosines, sizes * (sizes - 1))
    return result


def _unit_rows(features: Features) -> Features:
    """Scale rows to unit length in float64; leave rows of zeros unchanged."""
    features = features if isinstance(features, np.ndarray) else as_csr(features)
    lengths = np.sqrt(_squared_lengths(features))
    scale = 1.0 / np.where(lengths == 0, 1.0, lengths)
    if isinstance(features, np.ndarray):
        return features * scale[:, None]
    return features.scaled(scale)


def _squared_lengths(rows: Features) -> Values:
    if isinstance(rows, Csr):
        return rows.map(lambda data: data.astype(np.float64) ** 2).sum(axis=1)
    lengths: Values = (rows.astype(np.float64) ** 2).sum(axis=1)
    return lengths


def _ratio(numerator: NDArray[np.floating], divisor: NDArray[np.integer]) -> Values:
    """Divide two arrays element by element; the quotient is NaN if the divisor is 0."""
    result: Values = np.full(len(numerator), np.nan)
    np.divide(numerator, divisor, out=result, where=divisor != 0)
    return result


def _row_of_each(rows: Histories) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(rows), dtype=np.int64), np.diff(rows.indptr))


def _positive(rows: Histories) -> Histories:
    """Return the events with positive weight, since a disliked item is not relevant."""
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
            f"list {row} contains an item twice; a repeat would count as a second hit, "
            "so items of a list must be distinct",
            field="items",
            position=row,
        )
