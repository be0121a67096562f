"""Stochastic gradient descent on pairs of a liked and another item (BPR).

For a user u who liked i and not j, with x = p_u . (q_i - q_j) + b_i - b_j, one step descends the
gradient of

    -ln(sigmoid(x)) + 0.5 * l2 * (|p_u|^2 + |q_i|^2 + |q_j|^2 + b_i^2 + b_j^2)

Random numbers are drawn by the caller, and the steps are taken in sequence, so equal input gives
bit-identical output.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.chunks import map_chunks
from nearline.kernels.edges import Ints, Longs, Rows

Floats = NDArray[np.float32]


@njit(nogil=True, cache=True)
def _margin(user: Floats, items: Floats, biases: Floats, item: int) -> float:
    total = np.float64(biases[item])
    for at in range(len(user)):
        total += user[at] * items[item, at]
    return total


@njit(nogil=True, cache=True)
def _holds(liked: Rows, row: int, item: int) -> bool:
    """Return whether a row, sorted by item, contains an item."""
    first, last = liked.indptr[row], liked.indptr[row + 1]
    while first < last:
        middle = (first + last) // 2
        if liked.items[middle] < item:
            first = middle + 1
        else:
            last = middle
    return bool(first < liked.indptr[row + 1] and liked.items[first] == item)


@njit(nogil=True, cache=True)
def _hardest(
    liked: Rows, row: int, user: Floats, items: Floats, biases: Floats, negatives: Ints
) -> int:
    """Return the candidate with the highest score that the user did not like; -1 if all were."""
    best, best_score = -1, -np.inf
    for at in range(len(negatives)):
        item = negatives[at]
        if _holds(liked, row, item):
            continue
        if len(negatives) == 1:
            return int(item)
        score = _margin(user, items, biases, item)
        if score > best_score:
            best, best_score = item, score
    return int(best)


@njit(nogil=True, cache=True)
def _slope(user: Floats, items: Floats, biases: Floats, liked: int, other: int) -> float:
    """Return the derivative of ln(sigmoid(x)) at x, the lead of a liked item over another."""
    margin = _margin(user, items, biases, liked) - _margin(user, items, biases, other)
    return 1.0 / (1.0 + math.exp(min(margin, 80.0)))


@njit(nogil=True, cache=True)
def pair_epoch(
    liked: Rows,
    order: Longs,
    row_of_entry: Ints,
    negatives: Ints,
    users: Floats,
    items: Floats,
    biases: Floats,
    rate: float,
    l2: float,
) -> None:
    """Take one step for each entry of `order`, changing `users`, `items` and `biases` in place.

    Parameters
    ----------
    liked : Rows
        Liked items of each user, each once, sorted by index.
    order : int64 [s]
        Entries of `liked` to visit.
    row_of_entry : int32
        User of each entry of `liked`.
    negatives : int32 [s, m]
        Candidates for the other item of each step: the one with the highest score that the user
        did not like is taken.
    users, items, biases : float32 [n_users, d], [n_items, d], [n_items]
        Factors and item biases.
    rate, l2 : float
        Learning rate and penalty.

    Notes
    -----
    O(s * m * d) time.
    """
    for step in range(len(order)):
        liked_item = liked.items[order[step]]
        row = row_of_entry[order[step]]
        user = users[row]
        other = _hardest(liked, row, user, items, biases, negatives[step])
        if other < 0:
            continue
        slope = _slope(user, items, biases, liked_item, other)
        for at in range(len(user)):
            p, q, r = user[at], items[liked_item, at], items[other, at]
            user[at] += rate * (slope * (q - r) - l2 * p)
            items[liked_item, at] += rate * (slope * p - l2 * q)
            items[other, at] += rate * (-slope * p - l2 * r)
        biases[liked_item] += rate * (slope - l2 * biases[liked_item])
        biases[other] += rate * (-slope - l2 * biases[other])


@njit(nogil=True, cache=True)
def _fold_in(
    liked: Rows,
    negatives: Ints,
    items: Floats,
    biases: Floats,
    passes: int,
    rate: float,
    l2: float,
    first: int,
    last: int,
    out: Floats,
) -> None:
    for row in range(first, last):
        user = out[row]
        start, end = liked.indptr[row], liked.indptr[row + 1]
        steps = passes * (end - start)
        for step in range(steps):
            liked_item = liked.items[start + step % (end - start)]
            other = _hardest(liked, row, user, items, biases, negatives[step % len(negatives)])
            if other < 0:
                continue
            slope = _slope(user, items, biases, liked_item, other)
            # Steps decrease, so that the last pairs do not dominate.
            length = rate * (1.0 - step / steps)
            for at in range(len(user)):
                gradient = slope * (items[liked_item, at] - items[other, at]) - l2 * user[at]
                user[at] += length * gradient


def fold_in_pairs(
    liked: Rows,
    negatives: Ints,
    items: Floats,
    biases: Floats,
    *,
    passes: int,
    rate: float,
    l2: float,
    threads: int | None = None,
) -> Floats:
    """Learn the factors of users from their liked items, with fixed item factors: float32 [n, d].

    Parameters
    ----------
    liked : Rows
        Known items, each once, sorted by index.
    negatives : int32 [s, m]
        Candidates for the other item; step t of every user takes row ``t % s``.
    passes : int
        Number of visits to each liked item.

    Notes
    -----
    O(passes * items of the user * m * d) time per user. Every user starts from zero and takes the
    same candidates, so a history has the same factors alone and in a batch.
    """
    out = np.zeros((len(liked.indptr) - 1, items.shape[1]), dtype=np.float32)
    map_chunks(
        lambda first, last: _fold_in(
            liked, negatives, items, biases, passes, rate, l2, first, last, out
        ),
        len(out),
        least=16,
        threads=threads,
    )
    return out
