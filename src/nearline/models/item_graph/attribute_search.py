"""Choice of the settings of attributes, by two questions to users who are held out.

What does a new user with these attributes take first, and what at all? The users with attributes
are divided into folds; the settings must make lists that are not worse than popular items on either
question, and significantly better on both together. Otherwise attributes are not used.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace as changed
from numpy.typing import NDArray

from nearline.data.attributes import Attributes, encode_users, learn_columns
from nearline.data.dataset import FloatArray, Histories
from nearline.models.item_graph.attribute_config import AttributeSettings
from nearline.models.item_graph.attribute_counts import AttributeCounts, first_items
from nearline.models.validation import draw_users, ndcg_of_lists

FOLDS, CUTOFF = 5, 10
# Items that a user takes first.
FIRST_TAKEN = 10
# Minimum number of users with attributes and events.
FEWEST_USERS = 20
# Most frequent items of each token, from which lists are made while settings are chosen.
LEADERS = 100
# Users of a fold, and scores that are kept at a time, which bounds time and memory.
MOST_USERS, MOST_SCORES = 200, 2_000_000
FIRSTS = (20, 50, 200, 1_000)
STEPS = (0.0, 0.5, 1.0, 2.0)
SHARES = (0.03, 0.1, 0.3, 1.0)
# A difference counts if its mean is this many standard errors above zero. It is large, since it is
# the best of many settings.
SIGNIFICANT = 3.0

Values = NDArray[np.float64]


class HeldOutFold(NamedTuple):
    """Scores for the users of one fold, and the NDCG of popular items.

    Attributes
    ----------
    columns : float64 [1 + C, n, m]
        Terms of the score of some items.
    items : int32 [m]
        The items that are frequent among users with a token; lists can have only these.
    first, every : Histories
        Items that the users took first, and all.
    popular : (float64 [n], float64 [n])
        NDCG of popular items for both targets.
    """

    columns: Values
    items: NDArray[np.int32]
    first: Histories
    every: Histories
    popular: tuple[Values, Values]


def choose_attributes(
    users: Sequence[Attributes], histories: Histories, n_items: int, seed: int
) -> AttributeSettings:
    """Return the best settings; those without columns if none is significantly better.

    Parameters
    ----------
    users : sequence of dict
        Attributes of each user.
    histories : Histories
        Events of the users that count.
    """
    nothing = AttributeSettings()
    counted = ((histories.weights > 0) & (histories.items >= 0)).cumsum()
    ends = np.concatenate(([0], counted))[histories.indptr]
    rows = np.array([row for row, user in enumerate(users) if user], dtype=np.int64)
    rows = rows[np.diff(ends)[rows] > 0]
    columns = learn_columns([users[row] for row in rows])
    if len(rows) < FEWEST_USERS or not columns:
        return nothing
    start = AttributeSettings(columns=columns, weights=(1.0,) * len(columns))
    rng = np.random.default_rng(seed)
    fold = rng.permutation(len(rows)) % FOLDS
    longest = int(np.diff(ends)[rows].max())
    features = encode_users(columns, [users[row] for row in rows])
    best, value, lead = nothing, 1.0, np.zeros(1)
    # Beyond the longest history, all are the same.
    for first in (*(some for some in FIRSTS[:-1] if some < longest), FIRSTS[-1]):
        settings = changed(start, first=first)
        questions = [
            _question(settings, histories, rows, features, fold == number, n_items)
            for number in range(FOLDS)
        ]
        settings, found = _climb(settings, questions)
        if found is not None and found.mean() > value:
            best, value, lead = settings, float(found.mean()), found
    error = lead.std() / np.sqrt(len(lead))
    return best if best.columns and value - 1.0 > SIGNIFICANT * error else nothing


def _question(
    settings: AttributeSettings,
    histories: Histories,
    rows: NDArray[np.int64],
    features: FloatArray,
    out: NDArray[np.bool_],
    n_items: int,
) -> HeldOutFold:
    counts = AttributeCounts(settings, n_items)
    counts.add(replace(histories.select(rows[~out]), features=features[~out]))
    tested = np.flatnonzero(out)[:MOST_USERS]
    known = np.ones(len(histories), dtype=np.bool_)
    known[rows[out]] = False
    others = histories.take(np.repeat(known, np.diff(histories.indptr)))
    liked = (others.weights > 0) & (others.items >= 0)
    popularity = np.bincount(others.items[liked], minlength=n_items)
    every = histories.select(rows[tested])
    users, items = first_items(every, FIRST_TAKEN)
    ones, times = np.ones(len(items), dtype=np.float32), np.arange(len(items), dtype=np.float64)
    first = Histories.group(users, len(every), items, ones, times)
    top = np.argsort(-popularity, kind="stable")[:CUTOFF].astype(np.int32)
    lists = np.tile(top, (len(every), 1))
    leaders = counts.leaders(LEADERS)
    return HeldOutFold(
        counts.by_column(features[tested], n_items, leaders),
        leaders,
        first,
        every,
        (ndcg_of_lists(lists, first), ndcg_of_lists(lists, every)),
    )


def _climb(
    settings: AttributeSettings, questions: Sequence[HeldOutFold]
) -> tuple[AttributeSettings, Values | None]:
    """Change one weight at a time; return the best settings that are never worse, and values."""
    bases = [np.nanmean(np.concatenate([q.popular[at] for q in questions])) for at in (0, 1)]
    if min(bases) <= 0.0:
        return settings, None
    best = np.array([0.0, *settings.weights])
    values = _better(best, None, questions, bases)
    for place in (*range(1, len(best)), 0):
        for step in STEPS:
            weights = best.copy()
            weights[place] = step
            found = _better(weights, values, questions, bases) if weights.any() else None
            if found is not None:
                best, values = weights, found
    return changed(settings, base=float(best[0]), weights=tuple(best[1:].tolist())), values


def _better(
    weights: Values, than: Values | None, questions: Sequence[HeldOutFold], bases: Sequence[float]
) -> Values | None:
    """Return the value of weights by user; None if it is lower, or they are worse on a question."""
    found = _values(weights, questions, bases)
    both = np.nan_to_num(np.nanmean(found, axis=0), nan=1.0)
    if any(np.nanmean(one) < 1.0 for one in found):
        return None
    return both if than is None or both.mean() > than.mean() else None


def _values(weights: Values, questions: Sequence[HeldOutFold], bases: Sequence[float]) -> Values:
    """Return NDCG by user, relative to the mean of popular items: float64 [2, n]."""
    found: list[list[Values]] = [[], []]
    for one in questions:
        scores = np.tensordot(weights, one.columns, axes=1)
        lists = one.items[_top(scores)]
        found[0].append(ndcg_of_lists(lists, one.first) / bases[0])
        found[1].append(ndcg_of_lists(lists, one.every) / bases[1])
    return np.array([np.concatenate(some) for some in found])


def choose_weight(
    score: Callable[[Histories], FloatArray],
    counts: AttributeCounts,
    histories: Histories,
    features: FloatArray,
    validation: Histories,
    seed: int,
) -> float:
    """Return the weight of attributes in the score of users with a history; 0 if none is better.

    Parameters
    ----------
    score : callable
        Returns the scores of all items without attributes.
    histories, validation : Histories
        Histories of the training data, and the targets of the same users.
    features : float32 [n_users, n_tokens]
        Features of these users.
    """
    n_items = score(histories.select(np.zeros(1, dtype=np.int64))).shape[1]
    rows = draw_users(validation, len(validation), seed)
    rows = rows[features[rows].any(axis=1) & (np.diff(histories.indptr)[rows] > 0)]
    rows = rows[: max(20, MOST_SCORES // max(1, n_items))]
    if len(rows) < FEWEST_USERS:
        return 0.0
    asked, truth = histories.select(rows), validation.select(rows)
    plain = score(asked).astype(np.float64)
    more = counts.scores(features[rows], n_items)
    users = np.repeat(np.arange(len(asked)), np.diff(asked.indptr))
    known = asked.items >= 0
    scale = float(plain.max(axis=1).mean() / max(more.max(axis=1).mean(), 1e-12))

    def values(weight: float) -> Values:
        scores = plain + weight * more
        scores[users[known], asked.items[known]] = -np.inf
        return ndcg_of_lists(_top(scores), truth)

    before = values(0.0)
    best, lead = 0.0, 0.0
    for share in SHARES:
        gain = values(share * scale) - before
        gain = gain[~np.isnan(gain)]
        error = gain.std() / np.sqrt(len(gain))
        if gain.mean() > max(lead, SIGNIFICANT * error):
            best, lead = share * scale, float(gain.mean())
    return best


def _top(scores: Values) -> NDArray[np.int32]:
    k = min(CUTOFF, scores.shape[1])
    some = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(scores, some, axis=1), axis=1, kind="stable")
    return np.take_along_axis(some, order, axis=1).astype(np.int32)
