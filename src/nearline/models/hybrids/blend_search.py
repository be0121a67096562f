"""Weights of a blend, found on validation data by a coordinate search.

Scores of all parts for the best items of each are gathered once; trying weights is then one pass
over some hundred candidates a user. Candidates carry their exact normalised scores, so that what
is tried is what will serve, but for targets that are among the best of no part.
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
# With fewer users the best of many weights is the luckiest one.
FEWEST_USERS = 100
ROUNDS = 3
BAGS = 5
# Shares of the whole that a part is tried with; the rest keeps its proportions.
SHARES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
# Temperatures that are tried, in mean deviations of a part's scores.
SPREADS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
BLOCK_BYTES = 1 << 26
# Below every score, and finite so that a weight of 0 makes it 0.
OUTSIDE = np.float32(-1e30)


class HeldOutUsers(NamedTuple):
    """Users to try weights on: what they did, what came next, and the size of the catalogue."""

    histories: Histories
    truth: Histories
    n_items: int


class StackingFold(NamedTuple):
    """Fitted parts, and users to ask them about, whose truth they were not fitted on."""

    parts: Sequence[Model]
    rows: HeldOutUsers


class Found(NamedTuple):
    """Outcome of a search.

    Attributes
    ----------
    weights : float64 [parts]
        For users as they are; sum to one.
    by_length : float64 [lengths, parts]
        For each length of the history.
    normalisers : list of Normaliser
        One a part.
    """

    weights: Doubles
    by_length: Doubles
    normalisers: list[Normaliser]


class Pool(NamedTuple):
    """Candidates of some users, with raw scores of P parts.

    Attributes
    ----------
    scores : list of float32 [n, c]
        Raw scores by part; beyond a row's candidates they do not count.
    sums : list of list of Sums
        By part, then by normaliser.
    inside : bool [n, c]
        Which cells hold a candidate.
    relevant : bool [n, c]
        Which candidates are targets.
    best : float64 [n]
        DCG of a list with all that the row has to find.
    """

    scores: list[FloatArray]
    sums: list[list[Sums]]
    inside: NDArray[np.bool_]
    relevant: NDArray[np.bool_]
    best: Doubles


def find_weights(
    panels: Sequence[StackingFold],
    start: Doubles,
    *,
    at_least: tuple[int, ...],
    sample: int,
    depth: int,
    seed: int,
) -> Found | None:
    """Find normalisers and weights; None where fewer than 100 users can be asked.

    Parameters
    ----------
    panels : sequence of StackingFold
        Parts of the same kinds in the same order, over the same items.
    start : float64 [parts]
        Weights that the search begins with; sum to one.

    Notes
    -----
    Deterministic; some thousand passes over sample * depth * parts scores.
    """
    rng = np.random.default_rng(seed)
    drawn = [_drawn(panel, sample // len(panels), rng) for panel in panels]
    panels = [panel for panel in drawn if len(panel.rows.histories)]
    if _size(panels) < FEWEST_USERS:
        return None
    spreads = np.mean([_spreads(parts, rows) for parts, rows in panels], axis=0).tolist()
    choices = [_choices(spread) for spread in spreads]
    asked = [(panel, panel.rows.histories) for panel in panels]
    objective = _BlendObjective(gather_all(asked, choices, depth), choices)
    weights, picks = _search(objective, start, [0] * len(start))
    objective.fix(picks)
    weights = _bagged(objective, weights, rng)
    chosen = [[choices[place][pick]] for place, pick in enumerate(picks)]
    by_length = []
    for first, end in zip(at_least, (*at_least[1:], None), strict=True):
        cut = [(parts, *shortened(rows, first, end, rng)) for parts, rows in panels]
        asked = [(StackingFold(parts, short), seen) for parts, short, seen in cut if len(seen)]
        found = weights
        if _size([panel for panel, _ in asked]) >= FEWEST_USERS:
            own = _BlendObjective(gather_all(asked, chosen, depth), chosen)
            found = _bagged(own, weights, rng)
        by_length.append(found)
    return Found(weights, np.stack(by_length), [one for (one,) in chosen])


def _drawn(panel: StackingFold, sample: int, rng: np.random.Generator) -> StackingFold:
    rows, users = users_with_targets(panel.rows)
    users = np.sort(rng.permutation(users)[:sample])
    histories, truth = rows.histories.select(users), rows.truth.select(users)
    return StackingFold(panel.parts, HeldOutUsers(histories, truth, rows.n_items))


def users_with_targets(rows: HeldOutUsers) -> tuple[HeldOutUsers, NDArray[np.int64]]:
    """Leave what is liked and known of the truth; tell who has that to find, and a history."""
    truth = rows.truth.take((rows.truth.items >= 0) & (rows.truth.weights > 0))
    users = np.flatnonzero((np.diff(truth.indptr) > 0) & (np.diff(rows.histories.indptr) > 0))
    return rows._replace(truth=truth), users


def _size(panels: Sequence[StackingFold]) -> int:
    return sum(len(panel.rows.histories) for panel in panels)


def shortened(
    rows: HeldOutUsers, first: int, end: int | None, rng: np.random.Generator
) -> tuple[HeldOutUsers, Histories]:
    """Users of whom `first` to `end` - 1 events are known, and all that they had seen.

    Users with longer histories are cut to their last events, a number drawn between the two;
    without an `end` there is nobody to cut.
    """
    sizes = np.diff(rows.histories.indptr)
    wanted = sizes
    if end is not None:
        drawn = rng.integers(max(first, 1), end, len(sizes)) if end > 1 else np.zeros_like(sizes)
        wanted = np.where(sizes >= end, drawn, sizes)
    kept = np.flatnonzero((sizes >= first) & (wanted > 0))
    whole = rows.histories.select(kept)
    sizes, wanted = sizes[kept], wanted[kept]
    from_end = np.repeat(whole.indptr[1:], sizes) - np.arange(len(whole.items))
    short = whole.take(from_end <= np.repeat(wanted, sizes))
    return HeldOutUsers(short, rows.truth.select(kept), rows.n_items), whole


def gather_all(
    asked: Sequence[tuple[StackingFold, Histories]], choices: list[list[Normaliser]], depth: int
) -> Pool:
    """Gather candidates of all panels, each with what its users had seen."""
    pools = [gather(*panel, seen, choices, depth) for panel, seen in asked]
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
    rows: HeldOutUsers,
    seen: Histories,
    choices: list[list[Normaliser]],
    depth: int,
) -> Pool:
    """Score the `depth` best items of each part, of those not in `seen`, by all parts."""
    size = max(1, BLOCK_BYTES // (4 * max(rows.n_items, 1)))
    width = min(depth * len(parts), rows.n_items)
    n = len(rows.histories)
    scores = [np.zeros((n, width), dtype=np.float32) for _ in parts]
    sums: list[list[list[Sums]]] = [[[] for _ in some] for some in choices]
    inside = np.zeros((n, width), dtype=np.bool_)
    relevant = np.zeros((n, width), dtype=np.bool_)
    for begin in range(0, n, size):
        block = np.arange(begin, min(begin + size, n))
        raw = [dense(part, rows.histories.select(block), rows.n_items) for part in parts]
        candidates = union(raw, seen.select(block), depth, width)
        inside[block] = candidates >= 0
        at = np.maximum(candidates, 0)
        for place, one in enumerate(raw):
            scores[place][block] = np.take_along_axis(one, at, axis=1)
            for pick, how in enumerate(choices[place]):
                sums[place][pick].append(sums_of(one, how))
        wanted = rows.truth.select(block)
        row = np.repeat(np.arange(len(block)), np.diff(wanted.indptr))
        keys = np.arange(len(block))[:, None] * rows.n_items + candidates
        relevant[block] = np.isin(keys, row * rows.n_items + wanted.items) & inside[block]
    joined = [[_joined(blocks) for blocks in part] for part in sums]
    return Pool(scores, joined, inside, relevant, _ideal(rows.truth))


def dense(part: Model, histories: Histories, n_items: int) -> FloatArray:
    """Scores of a part for `n_items` items; those that it does not know get its lowest."""
    scores = part.score_many(histories)[:, :n_items]
    missing = n_items - scores.shape[1]
    if missing == 0:
        return scores
    low = scores.min(axis=1, keepdims=True, initial=0.0)
    return np.concatenate((scores, np.repeat(low, missing, axis=1)), axis=1)


def union(raw: Sequence[FloatArray], seen: Histories, depth: int, width: int) -> IntArray:
    """Candidates of each row, rising, -1 behind them: the best unseen items of each part [n, c]."""
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


def _spreads(parts: Sequence[Model], rows: HeldOutUsers) -> list[float]:
    """Mean deviation of each part's scores over the catalogue, of some users."""
    some = rows.histories.select(np.arange(min(len(rows.histories), FEWEST_USERS)))
    return [float(dense(part, some, rows.n_items).std(axis=1).mean()) for part in parts]


def _choices(spread: float) -> list[Normaliser]:
    # Short numbers in a configuration are easier to read and lose nothing.
    temperatures = [float(f"{spread * factor:.3g}") for factor in SPREADS]
    return [Normaliser(SHARE)] + [Normaliser(SOFTMAX, t) for t in temperatures if t > 0]


class _BlendObjective:
    """NDCG@10 of weights over one pool; normalised scores are kept."""

    def __init__(self, pool: Pool, choices: list[list[Normaliser]]) -> None:
        self.choices = choices
        self._pool = pool
        self._kept: dict[tuple[int, int], FloatArray] = {}
        self.counted = np.ones(len(pool.best))

    def fix(self, picks: list[int]) -> None:
        """Leave one choice a part."""
        self._kept = {(p, 0): self.normalised(p, pick) for p, pick in enumerate(picks)}
        self.choices = [[some[pick]] for some, pick in zip(self.choices, picks, strict=True)]

    def normalised(self, place: int, pick: int) -> FloatArray:
        """Scores of a part, normalised; below all outside of the candidates."""
        if (place, pick) not in self._kept:
            pool = self._pool
            found = apply(pool.scores[place], pool.sums[place][pick], self.choices[place][pick])
            self._kept[place, pick] = np.where(pool.inside, found, OUTSIDE)
        return self._kept[place, pick]

    def __call__(self, blend: FloatArray) -> float:
        """Mean over the users, each counted as often as `counted` says."""
        return float(self.gains(blend) @ self.counted / self.counted.sum())

    def gains(self, blend: FloatArray) -> Doubles:
        """NDCG of each user."""
        columns = top_k_rows(blend, K, above=float(OUTSIDE)).items
        found = np.take_along_axis(self._pool.relevant, np.maximum(columns, 0), axis=1)
        gains: Doubles = (found & (columns >= 0)) @ DISCOUNTS / self._pool.best
        return gains


def _bagged(objective: _BlendObjective, weights: Doubles, rng: np.random.Generator) -> Doubles:
    """Mean of the weights found on samples of the users, drawn with replacement.

    Where it is not better than the best part alone by one standard error, that part stands alone.
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
    """Move one part after the other to the best of its choices and shares, while that helps."""
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
