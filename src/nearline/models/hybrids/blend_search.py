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

from nearline.data.dataset import FloatArray, Histories, IntArray
from nearline.kernels.topk import top_k_rows
from nearline.models.base import Model
from nearline.models.hybrids.hybrid_weighted import with_share
from nearline.models.hybrids.normalisers import SHARE, SOFTMAX, Normaliser, Sums, apply, sums_of

Doubles = NDArray[np.float64]

K = 10
DISCOUNTS = 1.0 / np.log2(np.arange(2, K + 2))
# Minimum number of users; with fewer, the choice would mostly depend on chance.
FEWEST_USERS = 100
ROUNDS = 3
BAGS = 5
# Candidate weights of a part; the other parts keep their proportions.
SHARES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
# Candidate temperatures, as multiples of the mean standard deviation of a part's scores.
SPREADS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
BLOCK_BYTES = 1 << 26
# Score of padding: below all scores, and finite, so that its product with a weight of 0 is 0.
OUTSIDE = np.float32(-1e30)


class HeldOutUsers(NamedTuple):
    """Users for whom weights are evaluated.

    Attributes
    ----------
    histories : Histories
        Known events of the users.
    truth : Histories
        Held-out events, one row for each history.
    n_items : int
        Number of items in the catalogue.
    """

    histories: Histories
    truth: Histories
    n_items: int


class StackingFold(NamedTuple):
    """Trained models of a blend, and users whose held-out events they were not trained on."""

    parts: Sequence[Model]
    users: HeldOutUsers


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


class Pool(NamedTuple):
    """Candidates of n users, up to c for each, with the scores of all parts.

    Attributes
    ----------
    scores : list of float32 [n, c]
        Scores before normalisation, one array per part; the other cells are padding.
    sums : list of list of Sums
        Normalisation constants of each part and normaliser.
    inside : bool [n, c]
        Which cells contain a candidate.
    relevant : bool [n, c]
        Which candidates are targets.
    best : float64 [n]
        Discounted cumulative gain of the ideal list of each user.
    """

    scores: list[FloatArray]
    sums: list[list[Sums]]
    inside: NDArray[np.bool_]
    relevant: NDArray[np.bool_]
    best: Doubles


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


def gather_all(
    folds: Sequence[tuple[StackingFold, Histories]], choices: list[list[Normaliser]], depth: int
) -> Pool:
    """Collect the candidates of several folds, given with complete histories of their users."""
    pools = [gather(*fold, seen, choices, depth) for fold, seen in folds]
    scores, sums, *arrays = zip(*pools, strict=True)
    return Pool(
        [np.concatenate(part) for part in zip(*scores, strict=True)],
        [
            [_joined(blocks) for blocks in zip(*part, strict=True)]
            for part in zip(*sums, strict=True)
        ],
        *(np.concatenate(array) for array in arrays),
    )


def gather(
    parts: Sequence[Model],
    users: HeldOutUsers,
    seen: Histories,
    choices: list[list[Normaliser]],
    depth: int,
) -> Pool:
    """Collect the `depth` best items of each part as candidates, and score them with all parts.

    Items of `seen`, the complete histories of the users, are no candidates. `choices` are the
    normalisers of each part.
    """
    size = max(1, BLOCK_BYTES // (4 * max(users.n_items, 1)))
    width = min(depth * len(parts), users.n_items)
    n = len(users.histories)
    scores = [np.zeros((n, width), dtype=np.float32) for _ in parts]
    sums: list[list[list[Sums]]] = [[[] for _ in some] for some in choices]
    inside = np.zeros((n, width), dtype=np.bool_)
    relevant = np.zeros((n, width), dtype=np.bool_)
    for begin in range(0, n, size):
        block = np.arange(begin, min(begin + size, n))
        raw = [dense(part, users.histories.select(block), users.n_items) for part in parts]
        candidates = union(raw, seen.select(block), depth, width)
        inside[block] = candidates >= 0
        at = np.maximum(candidates, 0)
        for place, one in enumerate(raw):
            scores[place][block] = np.take_along_axis(one, at, axis=1)
            for pick, how in enumerate(choices[place]):
                sums[place][pick].append(sums_of(one, how))
        wanted = users.truth.select(block)
        row = np.repeat(np.arange(len(block)), np.diff(wanted.indptr))
        keys = np.arange(len(block))[:, None] * users.n_items + candidates
        relevant[block] = np.isin(keys, row * users.n_items + wanted.items) & inside[block]
    joined = [[_joined(blocks) for blocks in part] for part in sums]
    return Pool(scores, joined, inside, relevant, _ideal(users.truth))


def dense(part: Model, histories: Histories, n_items: int) -> FloatArray:
    """Return scores of `n_items` items; those that `part` does not know have its lowest score."""
    scores = part.score_many(histories)[:, :n_items]
    missing = n_items - scores.shape[1]
    if missing == 0:
        return scores
    low = scores.min(axis=1, keepdims=True, initial=0.0)
    return np.concatenate((scores, np.repeat(low, missing, axis=1)), axis=1)


def union(raw: Sequence[FloatArray], seen: Histories, depth: int, width: int) -> IntArray:
    """Return the union of the `depth` best unseen items of each part: int32 [n, width].

    `raw` contains the scores of each part, float32 [n, n_items]. Items ascend, padded with -1.
    """
    n, n_items = raw[0].shape
    taken = np.zeros((n, n_items), dtype=np.bool_)
    known = (seen.items >= 0) & (seen.items < n_items)
    own = np.repeat(np.arange(n), np.diff(seen.indptr))[known], seen.items[known]
    for scores in raw:
        open_ = scores.copy()
        open_[own] = -np.inf
        best = np.argpartition(-open_, min(depth, n_items) - 1, axis=1)[:, :depth]
        np.put_along_axis(taken, best, True, axis=1)
    taken[own] = False
    found = np.full((n, width), -1, dtype=np.int32)
    rows, items = np.nonzero(taken)
    counts = taken.sum(axis=1)
    column = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    found[rows, column] = items
    return found


def _ideal(truth: Histories) -> Doubles:
    row = np.repeat(np.arange(len(truth)), np.diff(truth.indptr))
    pairs = np.unique(np.stack((row, truth.items)), axis=1)
    counts = np.bincount(pairs[0], minlength=len(truth))
    gains: Doubles = np.concatenate(([0.0], np.cumsum(DISCOUNTS)))[np.minimum(counts, K)]
    return gains


def _joined(blocks: Sequence[Sums]) -> Sums:
    return Sums(*(np.concatenate(column) for column in zip(*blocks, strict=True)))


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

    def __call__(self, blend: FloatArray) -> float:
        """Return the mean NDCG of mixed scores, float32 [n, c], weighted by `counted`."""
        return float(self.gains(blend) @ self.counted / self.counted.sum())

    def gains(self, blend: FloatArray) -> Doubles:
        """Return the NDCG of each user for mixed scores, float32 [n, c]: float64 [n]."""
        columns = top_k_rows(blend, K, above=float(OUTSIDE)).items
        found = np.take_along_axis(self._pool.relevant, np.maximum(columns, 0), axis=1)
        gains: Doubles = (found & (columns >= 0)) @ DISCOUNTS / self._pool.best
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
                for share in SHARES:
                    value = objective(np.float32(1 - share) * rest + np.float32(share) * own)
                    if value > best:
                        best, moved = value, (with_share(weights, place, share), pick)
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
