"""Detection of made-up profiles that push an item (shilling).

Real people choose items that go together; made-up profiles take their other items at random or by
popularity, and share the item that they push. Four ideas find them without labels:

- *PCA-based detection* (Mehta and Nejdl, "Unsupervised strategies for shilling detection and robust
  collaborative filtering", User Modeling and User-Adapted Interaction 19, 2009): made-up profiles
  have little in common with the leading principal components of all profiles. The score of a
  profile is the share of its squared deviations from independence that these components explain:
  the *squared cosine* of correspondence analysis (Greenacre, "Correspondence Analysis in Practice",
  2007), with residuals divided by the fourth root of their expectation, so that rare items do not
  dominate.
- *Popularity*: profiles whose other items are the most popular of all (the popular attack of
  O'Mahony, Hurley and Silvestre, "Recommender systems: attack types and strategies", AAAI 2005) are
  well explained. Real people never choose by popularity alone. The score is one minus the users of
  the items of a profile, summed, relative to the largest such sum of a profile of its size.
- *Copies*: profiles that have most items in common with several others are made by one program (the
  degree of similarity with the nearest neighbours: Chirita, Nejdl and Zamfir, "Preventing shilling
  attacks in online recommender systems", WIDM 2005). Each profile has 32 labels of r of its items,
  drawn so that two profiles of Jaccard similarity s share a label with the probability s ** r
  (min-wise hashing: Broder, "On the resemblance and containment of documents", SEQUENCES 1997).
  With r >= log(n) / log(1 / 0.4), a profile shares a label with less than one of n others with s =
  0.4. The score is the share of labels that fewer than three other profiles have. No pairs of
  profiles are compared.
- *Target item analysis* (Zhou, Koh, Wen, Alam and Dobbie, "Detection of abnormal profiles on group
  attacks in recommender systems", SIGIR 2014): an item is a target if significantly many profiles
  with a low score have it. Profiles are reported only for a target.

Significance is that of a scan: for each item and each number L of profiles with the lowest scores,
of at most a part of the median, Hoeffding's bound exp(-L KL(k/L, q)) on the probability that k of
these L have the item, times the number of such pairs. The usual share q is K/n if K of all n
profiles have the item. Popular profiles and copies are only tested for items with at most half the
users of their mean item, which such profiles have less often than others, and q is at least what
their sizes let expect: the mean size of the L profiles, times the share of the item in all
interactions. An item is no further target if profiles with a clearer one include all of its own.
"""

import math
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
# Part of the median below which profiles can make an item a target, by what the components explain
# and by popularity. Those below the larger part are reported for it.
SUSPICIOUS, SUSPICIOUS_POPULARITY = 0.5, 0.4
# Largest probability of a false target.
ALPHA = 0.02
# Reasons of suspicion.
UNUSUAL, POPULAR, COPIED = "unusual", "popular", "copied"
# Labels of a profile. Profiles with fewer items are equal by chance, and so are those with less of
# their items in common.
LABELS, LEAST_COPIED, RESEMBLANCE = 32, 15, 0.4
# Users of an item that can be a target of popular profiles, as a share of those of their mean item.
RARER = 0.5
# Fewest profiles that push an item.
FEWEST = 4


class SuspectedProfile(Struct, frozen=True, kw_only=True):
    """A profile that is probably made up.

    Attributes
    ----------
    user_id : str
    reason : str
        "unusual": the items do not go together. "popular": they are the most popular ones.
        "copied": other profiles have mostly the same ones.
    score : float
        Share of the profile that the leading components explain, its distance from the most popular
        profile of its size, or the share of its labels that few others have; from 0 to 1, and low
        is suspicious.
    target : str
        Item that it pushes.
    """

    user_id: str
    reason: str
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
    scores : dict of str to float64 [n_users]
        See `SuspectedProfile`, by reason; NaN for profiles with too few items.
    targets : list of (str, int, float, int64 [k])
        Reason, item, bound on the probability, and users with the lowest scores first.
    """

    scores: dict[str, Doubles]
    targets: list[tuple[str, int, float, Longs]]


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
    sizes = np.bincount(users, minlength=n_users)
    counts = np.bincount(items, minlength=n_items)
    scores = {
        UNUSUAL: explained(users, items, n_users, n_items, seed),
        POPULAR: unpopularity(users, items, n_users, n_items),
        COPIED: originality(users, items, n_users, n_items, seed),
    }
    for reason, one in scores.items():
        one[sizes < (LEAST_COPIED if reason == COPIED else LEAST_ITEMS)] = np.nan
    mean = np.bincount(users, counts[items], n_users) / np.maximum(sizes, 1)
    rarer = counts[items] <= RARER * mean[users]
    everything = np.ones(len(items), dtype=np.bool_)
    found = [
        *((UNUSUAL, *one) for one in _targets(scores[UNUSUAL], users, items, everything)),
        *((POPULAR, *one) for one in _targets(scores[POPULAR], users, items, rarer, sizes)),
        *((COPIED, *one) for one in _targets(scores[COPIED], users, items, rarer, sizes)),
    ]
    return Suspicion(scores, _clearest(sorted(found, key=lambda one: one[2])))


def _clearest(
    targets: list[tuple[str, int, float, Longs]],
) -> list[tuple[str, int, float, Longs]]:
    """Return targets, the clearest first, without those whose profiles have a clearer one."""
    found, seen = [], set[int]()
    for target in targets:
        if not seen.issuperset(target[3].tolist()):
            seen.update(target[3].tolist())
            found.append(target)
    return found


def profile_report(
    users: Longs, items: Longs, user_ids: Sequence[str], item_ids: Sequence[str]
) -> ProfileReport:
    """Return suspected profiles and the items that they push, by ID; see `suspects`."""
    found = suspects(users, items, len(user_ids), len(item_ids))
    having = np.bincount(_distinct(users, items, len(item_ids))[1], minlength=len(item_ids))
    targets, profiles, reported = [], [], set[int]()
    for reason, item, probability, those in found.targets:
        target, size = item_ids[item], len(those)
        targets.append(
            PushedItem(
                item_id=target, profiles=size, users=int(having[item]), probability=probability
            )
        )
        for user in those.tolist():
            if user not in reported:  # under the clearest of its targets
                reported.add(user)
                score = float(found.scores[reason][user])
                profiles.append(
                    SuspectedProfile(
                        user_id=user_ids[user], reason=reason, score=score, target=target
                    )
                )
    checked = int(np.count_nonzero(~np.isnan(found.scores[UNUSUAL])))
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


def unpopularity(users: Longs, items: Longs, n_users: int, n_items: int) -> Doubles:
    """Return how far each profile is from the most popular one of its size: float64 [n_users].

    The popularity of a profile is the sum of the numbers of users of its items.
    """
    counts = np.bincount(items, minlength=n_items).astype(np.float64)
    largest = np.concatenate(([0.0], np.cumsum(np.sort(counts)[::-1])))
    own = np.bincount(users, counts[items], n_users)
    most = largest[np.bincount(users, minlength=n_users)]
    distance: Doubles = 1 - np.divide(own, most, out=np.ones(n_users), where=most > 0)
    return distance


def originality(users: Longs, items: Longs, n_users: int, n_items: int, seed: int = 0) -> Doubles:
    """Return the share of the labels of each profile that few others have: float64 [n_users].

    Profiles without items have 1.

    Parameters
    ----------
    users, items : int64 [n]
        Different interactions, by ascending user.
    """
    rng = np.random.default_rng(seed)
    starts = np.flatnonzero(np.diff(users, prepend=-1))
    owners = users[starts]
    few = np.zeros(len(owners), dtype=np.int64)
    length = math.ceil(math.log(max(len(owners), 2)) / -math.log(RESEMBLANCE))
    for _ in range(LABELS):
        labels = np.zeros(len(owners), dtype=np.uint64)
        for _ in range(length if len(owners) else 0):
            hashes = rng.integers(0, 2**63, n_items, dtype=np.uint64)
            smallest = np.minimum.reduceat(hashes[items], starts)
            labels = labels * np.uint64(0x9E3779B97F4A7C15) + smallest
        _, which, having = np.unique(labels, return_inverse=True, return_counts=True)
        few += having[which] < FEWEST
    shares: Doubles = np.ones(n_users)
    shares[owners] = few / LABELS
    return shares


def _targets(
    scores: Doubles,
    users: Longs,
    items: Longs,
    tested: NDArray[np.bool_],
    sizes: Longs | None = None,
) -> list[tuple[int, float, Longs]]:
    """Return the items that profiles with low scores have significantly often.

    Parameters
    ----------
    tested : bool [n]
        Interactions that can be with a target.
    sizes : int64 [n_users] or None
        Sizes of the profiles, if the usual shares depend on them.
    """
    checked = np.flatnonzero(~np.isnan(scores))
    order = checked[np.argsort(scores[checked], kind="stable")]
    ranks = np.full(len(scores), len(scores), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    known = ranks[users] < len(order)
    counts = np.bincount(items[known])
    total = int(counts.sum())
    users, items = users[known & tested], items[known & tested]
    by_item = np.lexsort((ranks[users], items))
    users, items = users[by_item], items[by_item]
    if not len(items):
        return []
    starts = np.flatnonzero(np.concatenate(([True], items[1:] != items[:-1])))
    lengths = np.diff(np.append(starts, len(items)))
    having = np.arange(len(items)) - np.repeat(starts, lengths) + 1
    lowest = ranks[users] + 1
    relative = scores[users] / max(float(np.median(scores[checked])), 1e-300)
    low = relative <= (SUSPICIOUS if sizes is None else SUSPICIOUS_POPULARITY)
    tried = low & (having >= FEWEST)
    reported = (relative <= SUSPICIOUS) & (having >= FEWEST)
    usual = counts[items] / len(order)
    if sizes is not None:
        mean_size = np.cumsum(sizes[order])[lowest - 1] / lowest
        usual = np.maximum(usual, np.minimum(mean_size * counts[items] / total, 1.0))
    bound = lowest * _divergence(having / lowest, usual)
    found = []
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        these = slice(start, start + length)
        clearest = float(np.max(np.where(tried[these], bound[these], 0.0)))
        probability = float(np.exp(-clearest) * max(tried.sum(), 1))
        if probability <= ALPHA:
            last = int(np.argmax(np.where(reported[these], bound[these], 0.0)))
            found.append((int(items[start]), probability, users[start : start + last + 1]))
    return found


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
