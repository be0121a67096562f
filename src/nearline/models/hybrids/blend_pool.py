"""Candidates of held-out users, scored by each part of a blend, to evaluate its weights."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.data.dataset import FloatArray, Histories, IntArray
from nearline.kernels.topk import top_k_rows
from nearline.models.base import Model
from nearline.models.hybrids.normalisers import Normaliser, Sums, sums_of_each

Doubles = NDArray[np.float64]

K = 10
DISCOUNTS = 1.0 / np.log2(np.arange(2, K + 2))
BLOCK_BYTES = 1 << 26


class HeldOutUsers(NamedTuple):
    """Held-out users, on whom the weights of a blend are evaluated.

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
            for pick, found in enumerate(sums_of_each(one, choices[place])):
                sums[place][pick].append(found)
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
        best = top_k_rows(open_, depth).items
        rows, ranks = np.nonzero(best >= 0)
        taken[rows, best[rows, ranks]] = True
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
