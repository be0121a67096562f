"""Detection of made-up profiles that push an item (shilling).

Real people choose items that go together; made-up profiles take their other items at random or by
popularity, and share the item that they push. Two published ideas find them without labels:

- *PCA-based detection* (Mehta and Nejdl, "Unsupervised strategies for shilling detection and robust
  collaborative filtering", User Modeling and User-Adapted Interaction 19, 2009): made-up profiles
  have little in common with the leading principal components of all profiles. The score of a
  profile is the share of its squared deviations from independence that these components explain:
  the *squared cosine* of correspondence analysis (Greenacre, "Correspondence Analysis in Practice",
  2007), with residuals divided by the fourth root of their expectation, so that rare items do not
  dominate.
- *Target item analysis* (Zhou, Koh, Wen, Alam and Dobbie, "Detection of abnormal profiles on group
  attacks in recommender systems", SIGIR 2014): an item is a target if significantly many profiles
  with a low score have it. Profiles are reported only for a target.

Significance is that of a scan: for each item and each number L of profiles with the lowest scores,
of at most half the median, Hoeffding's bound exp(-L KL(k/L, K/n)) on the probability that k of
these L have the item, if K of all n have it, times the number of such pairs.
"""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nearline.kernels.csr import Csr

Doubles = NDArray[np.float64]
Longs = NDArray[np.int64]

# Profiles with fewer items say too little, and items with fewer users are left out.
LEAST_ITEMS, LEAST_USERS = 5, 3
COMPONENTS, OVERSAMPLED, STEPS = 10, 10, 8
# Part of the median score below which a profile can be suspected, and the largest probability of a
# false target.
SUSPICIOUS, ALPHA = 0.5, 0.02
# Fewest profiles that push an item.
FEWEST = 4


class SuspectedProfile(Struct, frozen=True, kw_only=True):
    """A profile that is probably made up.

    Attributes
    ----------
    user_id : str
    score : float
        Share of the profile that the leading components explain, from 0 to 1; low is suspicious.
    target : str
        Item that it pushes.
    """

    user_id: str
    score: float
    target: str


class PushedItem(Struct, frozen=True, kw_only=True):
    """An item that suspected profiles push.

    Attributes
    ----------
    item_id : str
    profiles, users : int
        Number of suspected profiles, and of all users with the item.
    probability : float
        Bound on the probability that real profiles look like this by chance.
    """

    item_id: str
    profiles: int
    users: int
    probability: float


class ProfileReport(Struct, frozen=True, kw_only=True):
    """Suspected profiles and what they push, the clearest first; `checked` profiles had a score."""

    checked: int
    targets: tuple[PushedItem, ...]
    profiles: tuple[SuspectedProfile, ...]


class Suspicion(Struct, frozen=True):
    """Result of `suspects`, by index.

    Attributes
    ----------
    scores : float64 [n_users]
        See `SuspectedProfile`; NaN for profiles with too few items.
    targets : list of (int, float, int64 [k])
        Item, bound on the probability, and users with the lowest scores first.
    """

    scores: Doubles
    targets: list[tuple[int, float, Longs]]


def suspects(users: Longs, items: Longs, n_users: int, n_items: int, seed: int = 0) -> Suspicion:
    """Find made-up profiles.

    Parameters
    ----------
    users, items : int64 [n]
        User and item of each interaction; repetitions count once.
    n_users, n_items : int
    seed : int
        Of the start of the decomposition, which hardly depends on it.

    Notes
    -----
    The time is that of about twenty products of the matrix of interactions with 20 vectors.
    """
    users, items = _distinct(users, items, n_items)
    frequent = np.bincount(items, minlength=n_items)[items] >= LEAST_USERS
    users, items = users[frequent], items[frequent]
    scores = explained(users, items, n_users, n_items, seed)
    scores[np.bincount(users, minlength=n_users) < LEAST_ITEMS] = np.nan
    return Suspicion(scores, _targets(scores, users, items))


def profile_report(
    users: Longs, items: Longs, user_ids: Sequence[str], item_ids: Sequence[str]
) -> ProfileReport:
    """Return suspected profiles and the items that they push, by ID; see `suspects`."""
    found = suspects(users, items, len(user_ids), len(item_ids))
    having = np.bincount(_distinct(users, items, len(item_ids))[1], minlength=len(item_ids))
    targets, profiles, reported = [], [], set[int]()
    for item, probability, those in found.targets:
        target, size = item_ids[item], len(those)
        targets.append(
            PushedItem(
                item_id=target, profiles=size, users=int(having[item]), probability=probability
            )
        )
        for user in those.tolist():
            if user not in reported:  # under the clearest of its targets
                reported.add(user)
                score = float(found.scores[user])
                profiles.append(
                    SuspectedProfile(user_id=user_ids[user], score=score, target=target)
                )
    checked = int(np.count_nonzero(~np.isnan(found.scores)))
    return ProfileReport(checked=checked, targets=tuple(targets), profiles=tuple(profiles))


def explained(users: Longs, items: Longs, n_users: int, n_items: int, seed: int = 0) -> Doubles:
    """Return the share of each profile that the leading components explain: float64 [n_users].

    The residual of a user of r items and an item of c users, among n interactions, is (x - e) /
    e ** 0.25 with e = r c / n, and x = 1 for an interaction and 0 otherwise.
    """
    sizes = np.bincount(users, minlength=n_users).astype(np.float64)
    counts = np.bincount(items, minlength=n_items).astype(np.float64)
    n = float(len(users))
    if n == 0:
        return np.zeros(n_users)
    expected = sizes[users] * counts[items] / n
    taken = Csr.from_pairs(expected**-0.25, users, items, (n_users, n_items))
    turned = taken.T
    # Residuals are `taken` minus the outer product of these two.
    row, column = (sizes / np.sqrt(n)) ** 0.75, (counts / np.sqrt(n)) ** 0.75
    total = np.bincount(users, (1 - expected) ** 2 / np.sqrt(expected) - expected**1.5, n_users)
    total += row**2 * float(column @ column)
    width = min(COMPONENTS + OVERSAMPLED, n_users, n_items)
    basis = np.random.default_rng(seed).standard_normal((n_items, width))
    for _ in range(STEPS):  # a randomised decomposition (Halko, Martinsson and Tropp 2011)
        left = np.linalg.qr(taken @ basis - np.outer(row, column @ basis))[0]
        basis = np.linalg.qr(turned @ left - np.outer(column, row @ left))[0]
    left, values, _ = np.linalg.svd(
        taken @ basis - np.outer(row, column @ basis), full_matrices=False
    )
    within = ((left[:, :COMPONENTS] * values[:COMPONENTS]) ** 2).sum(axis=1)
    shares: Doubles = np.divide(within, total, out=np.zeros(n_users), where=total > 0)
    return shares


def _targets(scores: Doubles, users: Longs, items: Longs) -> list[tuple[int, float, Longs]]:
    """Return the items that profiles with low scores have significantly often."""
    checked = np.flatnonzero(~np.isnan(scores))
    order = checked[np.argsort(scores[checked], kind="stable")]
    ranks = np.full(len(scores), len(scores), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    known = ranks[users] < len(order)
    users, items = users[known], items[known]
    by_item = np.lexsort((ranks[users], items))
    users, items = users[by_item], items[by_item]
    if not len(items):
        return []
    starts = np.flatnonzero(np.concatenate(([True], items[1:] != items[:-1])))
    sizes = np.diff(np.append(starts, len(items)))
    having = np.arange(len(items)) - np.repeat(starts, sizes) + 1
    lowest = ranks[users] + 1
    low = scores[users] <= SUSPICIOUS * np.median(scores[checked])
    tried = low & (having >= FEWEST)
    bound = np.where(
        tried, lowest * _divergence(having / lowest, np.repeat(sizes, sizes) / len(order)), 0.0
    )
    found = []
    for start, size in zip(starts.tolist(), sizes.tolist(), strict=True):
        best = int(np.argmax(bound[start : start + size]))
        probability = float(np.exp(-bound[start + best]) * max(tried.sum(), 1))
        if probability <= ALPHA:
            found.append((int(items[start]), probability, users[start : start + best + 1]))
    return sorted(found, key=lambda one: one[1])


def _divergence(share: Doubles, usual: Doubles) -> Doubles:
    """Return the Kullback-Leibler divergence of two shares; 0 if the first is not the larger."""
    larger = share > usual
    p, q = np.where(larger, share, 0.5), np.where(larger, usual, 0.5)
    others = np.where(p < 1, 1 - p, 1.0)
    rest = np.where(p < 1, others * np.log(others / (1 - q)), 0.0)
    return np.where(larger, p * np.log(p / q) + rest, 0.0)


def _distinct(users: Longs, items: Longs, n_items: int) -> tuple[Longs, Longs]:
    pairs = np.unique(users.astype(np.int64) * n_items + items)
    return pairs // n_items, pairs % n_items
