"""Coordinate search for the weights of a blend on validation data.

Candidates are the best items of each part. Their scores from all parts are computed once, so that
weights are evaluated by one pass over a few hundred candidates per user. Candidates have their
exact normalised scores, so the result is that of full ranking, except for targets that are not
among the best items of any part.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.data.dataset import FloatArray, Histories
from nearline.kernels.mixture_gains import mixture_gains
from nearline.models.base import Model
from nearline.models.hybrids.blend_pool import (
    DISCOUNTS,
    Doubles,
    HeldOutUsers,
    Pool,
    StackingFold,
    dense,
    gather_all,
)
from nearline.models.hybrids.hybrid_weighted import with_share
from nearline.models.hybrids.normalisers import SHARE, SOFTMAX, Normaliser, apply

# Minimum number of users; with fewer, the choice would mostly depend on chance.
FEWEST_USERS = 100
ROUNDS = 3
BAGS = 5
# Candidate weights of a part; the other parts keep their proportions.
SHARES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
# Candidate temperatures, as multiples of the mean standard deviation of a part's scores.
SPREADS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
# Score of padding: below all scores, and finite, so that its product with a weight of 0 is 0.
OUTSIDE = np.float32(-1e30)


class BlendWeights(NamedTuple):
    """Result of a search for weights.

    Attributes
    ----------
    weights : float64 [parts]
        Weights for histories of all lengths; they sum to one.
    by_length : float64 [lengths, parts]
        Weights for each range of history lengths; rows sum to one.
    normalisers : list of Normaliser
        Normaliser of each part.
    """

    weights: Doubles
    by_length: Doubles
    normalisers: list[Normaliser]


def find_weights(
    folds: Sequence[StackingFold],
    start: Doubles,
    *,
    at_least: tuple[int, ...],
    sample: int,
    depth: int,
    seed: int,
) -> BlendWeights | None:
    """Choose normalisers and weights.

    Parameters
    ----------
    folds : sequence of StackingFold
        Trained parts and held-out users. All folds have parts of the same kinds in the same order,
        and the same items.
    start : float64 [parts]
        Initial weights, which sum to one.
    at_least, sample, depth
        As in `BlendConfig`.

    Notes
    -----
    The result is None if there are fewer than 100 users with targets; equal seeds give equal
    results. The search takes about a thousand passes over sample * depth * parts scores.
    """
    rng = np.random.default_rng(seed)
    drawn = [_draw(fold, sample // len(folds), rng) for fold in folds]
    folds = [fold for fold in drawn if len(fold.users.histories)]
    if _size(folds) < FEWEST_USERS:
        return None
    spreads = np.mean([_spreads(parts, users) for parts, users in folds], axis=0).tolist()
    choices = [_choices(spread) for spread in spreads]
    whole = [(fold, fold.users.histories) for fold in folds]
    objective = _BlendObjective(gather_all(whole, choices, depth), choices)
    weights, picks = _search(objective, start, [0] * len(start))
    objective.fix(picks)
    weights = _bagged(objective, weights, rng)
    chosen = [[choices[place][pick]] for place, pick in enumerate(picks)]
    by_length = []
    for first, end in zip(at_least, (*at_least[1:], None), strict=True):
        cut = [(parts, *shortened(users, first, end, rng)) for parts, users in folds]
        short = [(StackingFold(parts, users), seen) for parts, users, seen in cut if len(seen)]
        found = weights
        if _size([fold for fold, _ in short]) >= FEWEST_USERS:
            own = _BlendObjective(gather_all(short, chosen, depth), chosen)
            found = _bagged(own, weights, rng)
        by_length.append(found)
    return BlendWeights(weights, np.stack(by_length), [one for (one,) in chosen])


def _draw(fold: StackingFold, sample: int, rng: np.random.Generator) -> StackingFold:
    """Return the fold with at most `sample` random users, all of whom have targets."""
    held_out, users = users_with_targets(fold.users)
    users = np.sort(rng.permutation(users)[:sample])
    histories, truth = held_out.histories.select(users), held_out.truth.select(users)
    return StackingFold(fold.parts, HeldOutUsers(histories, truth, held_out.n_items))


def users_with_targets(users: HeldOutUsers) -> tuple[HeldOutUsers, NDArray[np.int64]]:
    """Remove unknown and negative targets; also return the rows with both history and target."""
    truth = users.truth.take((users.truth.items >= 0) & (users.truth.weights > 0))
    usable = np.flatnonzero((np.diff(truth.indptr) > 0) & (np.diff(users.histories.indptr) > 0))
    return users._replace(truth=truth), usable


def _size(folds: Sequence[StackingFold]) -> int:
    return sum(len(fold.users.histories) for fold in folds)


def shortened(
    users: HeldOutUsers, first: int, end: int | None, rng: np.random.Generator
) -> tuple[HeldOutUsers, Histories]:
    """Return users with `first` to `end` - 1 known events, and their complete histories.

    Longer histories are truncated to a random number of last events in this range. If `end` is
    None, histories are not truncated.
    """
    sizes = np.diff(users.histories.indptr)
    wanted = sizes
    if end is not None:
        drawn = rng.integers(max(first, 1), end, len(sizes)) if end > 1 else np.zeros_like(sizes)
        wanted = np.where(sizes >= end, drawn, sizes)
    kept = np.flatnonzero((sizes >= first) & (wanted > 0))
    whole = users.histories.select(kept)
    sizes, wanted = sizes[kept], wanted[kept]
    from_end = np.repeat(whole.indptr[1:], sizes) - np.arange(len(whole.items))
    short = whole.take(from_end <= np.repeat(wanted, sizes))
    return HeldOutUsers(short, users.truth.select(kept), users.n_items), whole


def _spreads(parts: Sequence[Model], users: HeldOutUsers) -> list[float]:
    """Estimate the standard deviation of each part's scores over the catalogue, for a user."""
    some = users.histories.select(np.arange(min(len(users.histories), FEWEST_USERS)))
    return [float(dense(part, some, users.n_items).std(axis=1).mean()) for part in parts]


def _choices(spread: float) -> list[Normaliser]:
    # Rounded, since short numbers are easier to read in the settings.
    temperatures = [float(f"{spread * factor:.3g}") for factor in SPREADS]
    return [Normaliser(SHARE)] + [Normaliser(SOFTMAX, t) for t in temperatures if t > 0]


class _BlendObjective:
    """Objective of the search: mean NDCG@10 of mixed scores over the users of a pool.

    Normalised scores are cached. The attribute `counted`, float64 [n], contains the weight of each
    user in the mean.
    """

    def __init__(self, pool: Pool, choices: list[list[Normaliser]]) -> None:
        self.choices = choices
        self._pool = pool
        self._kept: dict[tuple[int, int], FloatArray] = {}
        self.counted = np.ones(len(pool.best))
        # The targets among the candidates, which are the ones that can gain.
        rows, self._columns = np.nonzero(pool.relevant)
        self._indptr = np.searchsorted(rows, np.arange(len(pool.best) + 1))

    def fix(self, picks: list[int]) -> None:
        """Set the only normaliser of each part to the one at position `picks[part]`."""
        self._kept = {(p, 0): self.normalised(p, pick) for p, pick in enumerate(picks)}
        self.choices = [[some[pick]] for some, pick in zip(self.choices, picks, strict=True)]

    def normalised(self, place: int, pick: int) -> FloatArray:
        """Return the scores of part `place` by its normaliser `pick`: float32 [n, c]."""
        if (place, pick) not in self._kept:
            pool = self._pool
            found = apply(pool.scores[place], pool.sums[place][pick], self.choices[place][pick])
            self._kept[place, pick] = np.where(pool.inside, found, OUTSIDE)
        return self._kept[place, pick]

    def values(self, rest: FloatArray, own: FloatArray, shares: FloatArray) -> Doubles:
        """Return the mean NDCG, weighted by `counted`, of mixtures by share of `own`: float64 [s].

        `rest` and `own` are normalised scores, float32 [n, c].
        """
        means: Doubles = self._gains(rest, own, shares) @ self.counted / self.counted.sum()
        return means

    def gains(self, blend: FloatArray) -> Doubles:
        """Return the NDCG of each user for mixed scores, float32 [n, c]: float64 [n]."""
        gains: Doubles = self._gains(blend, blend, np.zeros(1, dtype=np.float32))[0]
        return gains

    def _gains(self, rest: FloatArray, own: FloatArray, shares: FloatArray) -> Doubles:
        sums = mixture_gains(rest, own, shares, self._indptr, self._columns, DISCOUNTS)
        gains: Doubles = sums / self._pool.best
        return gains


def _bagged(objective: _BlendObjective, weights: Doubles, rng: np.random.Generator) -> Doubles:
    """Return the mean of the weights that are found on bootstrap samples of the users.

    If they are not better than the best single part by at least one standard error, that part has
    weight 1.
    """
    n, none = len(objective.counted), [0] * len(weights)
    total = np.zeros_like(weights)
    for _ in range(BAGS):
        objective.counted = np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64)
        total += _search(objective, weights, none)[0]
    alone = [objective.gains(objective.normalised(place, 0)) for place in range(len(weights))]
    best = int(np.argmax([float(gains.mean()) for gains in alone]))
    lead = objective.gains(_mixed(objective, total / BAGS, none)) - alone[best]
    if lead.mean() < lead.std() / np.sqrt(n):
        total = np.eye(len(weights))[best] * BAGS
    return total / BAGS


def _search(
    objective: _BlendObjective, weights: Doubles, picks: list[int]
) -> tuple[Doubles, list[int]]:
    """Change the normaliser and weight of one part after the other, while NDCG improves.

    `picks` are the positions of the parts' normalisers. Weights and positions are returned.
    """
    weights, picks = weights.copy(), list(picks)
    if len(weights) == 1:
        return weights, picks
    best = -1.0
    for _ in range(ROUNDS):
        before = best
        for place in range(len(weights)):
            moved: tuple[Doubles, int] | None = None
            rest = _mixed(objective, with_share(weights, place, 0.0), picks)
            for pick in range(len(objective.choices[place])):
                own = objective.normalised(place, pick)
                values = objective.values(rest, own, np.array(SHARES, dtype=np.float32))
                if values.max() > best:
                    share = SHARES[int(values.argmax())]
                    best, moved = values.max(), (with_share(weights, place, share), pick)
            if moved is not None:
                weights, picks[place] = moved
        if best == before:
            break
    return weights, picks


def _mixed(objective: _BlendObjective, weights: Doubles, picks: list[int]) -> FloatArray:
    total = np.zeros_like(objective.normalised(0, picks[0]))
    for place, (weight, pick) in enumerate(zip(weights, picks, strict=True)):
        if weight > 0:
            total += np.float32(weight) * objective.normalised(place, pick)
    return total
