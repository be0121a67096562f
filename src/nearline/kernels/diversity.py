"""Greedy selection of a list from candidates: relevance, similarity, mix of groups, caps.

In each step, the candidate with the largest value is added; of equal ones, the first. The value is

    (1 - c) * base(i)  -  c * KL(p || q(S + i))

where S are the items selected so far, and the base is one of:

- relevance: r_i;
- MMR: (1 - d) * r_i - d * max over j in S: sim(i, j), with 0 for an empty S
  (J. Carbonell and J. Goldstein, The use of MMR, diversity-based reranking, SIGIR 1998);
- DPP: log of the factor by which i enlarges det(L_S), L_ij = w_i * sim(i, j) * w_j
  (L. Chen, G. Zhang and E. Zhou, Fast greedy MAP inference for determinantal point process to
  improve recommendation diversity, NeurIPS 2018, algorithm 1).

KL compares the wanted mix of groups p with the mix q of the list, which is smoothed by p
(H. Steck, Calibrated recommendations, RecSys 2018).

A selection of k from n candidates takes O(k * n * f) time, with f features per candidate, plus
O(k^2 * n) for DPP and O(k * n * g) for g groups: similarities are computed only to selected items.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Doubles = NDArray[np.float64]

RELEVANCE, MMR, DPP = 0, 1, 2
# Determinants whose factor is below are taken for zero: the candidate is spanned by the list.
LEAST_GAIN = 1e-10
# Share of the wanted mix in the smoothed mix of a list.
SMOOTHING = 0.01


class Sparse(NamedTuple):
    """Sparse rows of n candidates.

    Attributes
    ----------
    indptr : int64 [n + 1]
        Begin of each row.
    columns : int32 [m]
        Columns, distinct within a row.
    values : float64 [m]
        Values.
    n_columns : int
        Number of columns.
    """

    indptr: Longs
    columns: Ints
    values: Doubles
    n_columns: int


def no_features(n: int) -> Sparse:
    """Return `n` empty rows."""
    return Sparse(np.zeros(n + 1, np.int64), np.zeros(0, np.int32), np.zeros(0), 0)


def packed(rows: Sequence[tuple[Ints, Doubles]], n_columns: int) -> Sparse:
    """Return rows that are given by their columns and values."""
    if not rows:
        return no_features(0)._replace(n_columns=n_columns)
    sizes = np.array([len(columns) for columns, _ in rows], dtype=np.int64)
    return Sparse(
        np.append(np.int64(0), np.cumsum(sizes)),
        np.concatenate([columns for columns, _ in rows]).astype(np.int32),
        np.concatenate([values for _, values in rows]).astype(np.float64),
        n_columns,
    )


def joined(kinds: Sequence[Sparse]) -> Sparse:
    """Return rows with the columns of several kinds, each with the same weight.

    Kinds without any entry do not count.
    """
    used = [kind for kind in kinds if len(kind.columns)]
    if len(used) < 2:
        return used[0] if used else kinds[0]
    n = len(used[0].indptr) - 1
    owners = np.concatenate([np.repeat(np.arange(n), np.diff(kind.indptr)) for kind in used])
    order = np.argsort(owners, kind="stable")
    first = np.cumsum([0] + [kind.n_columns for kind in used])
    columns = [kind.columns + start for kind, start in zip(used, first, strict=False)]
    values = np.concatenate([kind.values for kind in used]) / np.sqrt(len(used))
    return Sparse(
        np.searchsorted(owners[order], np.arange(n + 1)).astype(np.int64),
        np.concatenate(columns).astype(np.int32)[order],
        values[order],
        int(first[-1]),
    )


@njit(nogil=True, cache=True)
def _similarities(features: Sparse, j: int, scratch: Doubles, out: Doubles) -> None:
    """Write the dot products of row j with all rows to `out`; `scratch` is zero before and after.

    The similarity of a row with itself is 1, whatever its length.
    """
    indptr, columns, values = features.indptr, features.columns, features.values
    for entry in range(indptr[j], indptr[j + 1]):
        scratch[columns[entry]] = values[entry]
    for i in range(len(out)):
        total = 0.0
        for entry in range(indptr[i], indptr[i + 1]):
            total += values[entry] * scratch[columns[entry]]
        out[i] = total
    out[j] = 1.0
    for entry in range(indptr[j], indptr[j + 1]):
        scratch[columns[entry]] = 0.0


@njit(nogil=True, cache=True)
def _divergence(groups: Sparse, i: int, wanted: Doubles, mix: Doubles, size: int) -> float:
    """Return KL(p || q) for the list with candidate i; `mix` is the sum of its other rows.

    `size` is the length of the list with i. `mix` is changed and restored.
    """
    for entry in range(groups.indptr[i], groups.indptr[i + 1]):
        mix[groups.columns[entry]] += groups.values[entry]
    total = 0.0
    for group in range(len(wanted)):
        p = wanted[group]
        if p > 0.0:
            total += p * np.log(p / ((1.0 - SMOOTHING) * mix[group] / size + SMOOTHING * p))
    for entry in range(groups.indptr[i], groups.indptr[i + 1]):
        mix[groups.columns[entry]] -= groups.values[entry]
    return total


@njit(nogil=True, cache=True)
def admits(labels_of: Longs, labels: Ints, i: int, room: Ints) -> bool:
    """Return whether the list has room for candidate i: every label of it has."""
    for entry in range(labels_of[i], labels_of[i + 1]):  # noqa: SIM110 (not in compiled code)
        if room[labels[entry]] <= 0:
            return False
    return True


@njit(nogil=True, cache=True)
def select(
    k: int,
    method: int,
    relevance: Doubles,
    strength: float,
    features: Sparse,
    calibration: float,
    groups: Sparse,
    wanted: Doubles,
    labels_of: Longs,
    labels: Ints,
    room: Ints,
) -> Ints:
    """Select up to `k` of n candidates greedily; see the module.

    Parameters
    ----------
    method : int
        `RELEVANCE`, `MMR` or `DPP`.
    relevance : float64 [n]
        r_i; for DPP the positive weights w_i.
    strength : float
        d of MMR, 0 to 1.
    features : Sparse
        Rows of at most unit length, whose dot products are similarities.
    calibration : float
        c, 0 to 1.
    groups : Sparse
        Rows with the share of each group in a candidate; each sums to 1, or is empty.
    wanted : float64 [n_groups]
        p, which sums to 1.
    labels_of, labels : int64 [n + 1], int32
        Labels of each candidate, for caps.
    room : int32 [n_labels]
        Number of items that the list may still take of each label; reduced in place.

    Returns
    -------
    int32 [at most k]
        Positions of the selected candidates. If all candidates left are in the span of the list
        (DPP), they follow in the order of their weights.
    """
    n = len(relevance)
    chosen = np.empty(min(k, n), dtype=np.int32)
    taken = np.zeros(n, dtype=np.bool_)
    scratch = np.zeros(features.n_columns if method != RELEVANCE else 0)
    similar = np.zeros(n)
    nearest = np.zeros(n)
    gains = relevance * relevance
    factors = np.zeros((len(chosen), n) if method == DPP else (0, 0))
    mix = np.zeros(len(wanted))
    size = 0
    while size < len(chosen):
        best, best_value = -1, -np.inf
        for i in range(n):
            if taken[i] or not admits(labels_of, labels, i, room):
                continue
            value = relevance[i]
            if method == MMR:
                value = (1.0 - strength) * value - strength * nearest[i]
            elif method == DPP:
                # Below the least gain, the order of the weights: all values are below its log.
                value = np.log(gains[i]) if gains[i] > LEAST_GAIN else -1e6 - 1.0 / relevance[i]
            if calibration > 0.0:
                value *= 1.0 - calibration
                value -= calibration * _divergence(groups, i, wanted, mix, size + 1)
            if value > best_value:
                best, best_value = i, value
        if best < 0:
            break
        chosen[size] = best
        taken[best] = True
        for entry in range(labels_of[best], labels_of[best + 1]):
            room[labels[entry]] -= 1
        for entry in range(groups.indptr[best], groups.indptr[best + 1]):
            mix[groups.columns[entry]] += groups.values[entry]
        if method == MMR:
            _similarities(features, best, scratch, similar)
            for i in range(n):
                nearest[i] = similar[i] if size == 0 else max(nearest[i], similar[i])
        elif method == DPP and gains[best] > LEAST_GAIN:
            _similarities(features, best, scratch, similar)
            _extend(factors, size, best, relevance, similar, gains)
        size += 1
    return chosen[:size]


@njit(nogil=True, cache=True)
def _extend(
    factors: Doubles, size: int, best: int, weights: Doubles, similar: Doubles, gains: Doubles
) -> None:
    """Add one row to the incremental Cholesky factors, float64 [k, n], and update the gains."""
    root = np.sqrt(gains[best])
    row = factors[size]
    for i in range(len(row)):
        row[i] = weights[best] * similar[i] * weights[i]
    for step in range(size):
        earlier = factors[step]
        amount = earlier[best]
        if amount != 0.0:
            for i in range(len(row)):
                row[i] -= amount * earlier[i]
    for i in range(len(row)):
        row[i] /= root
        gains[i] -= row[i] * row[i]
