"""Bayesian personalised ranking (BPR): gradient descent on pairs of a liked and another item.

For a user u with factors p_u who liked item i but not item j, with factors q and biases b, let
x = p_u . (q_i - q_j) + b_i - b_j. A step follows the negative gradient of

    -ln(sigmoid(x)) + 0.5 * l2 * (|p_u|^2 + |q_i|^2 + |q_j|^2 + b_i^2 + b_j^2)

The caller draws all random numbers, and the steps are taken one after the other, so that equal
inputs have bit-identical results.
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
    """Return whether a row of `liked`, which is sorted by item, contains an item."""
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
    """Return the item with the highest score among candidates that the user did not like.

    Return -1 if the user liked all of them.
    """
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
    """Return the derivative of ln(sigmoid(x)), where x is the difference of two items' scores."""
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
    """Take one gradient step for each entry of `order`; factors and biases are changed in place.

    Parameters
    ----------
    liked : Rows
        Liked items of each user, each once, sorted by item.
    order : int64 [s]
        Entries of `liked` for which steps are taken.
    row_of_entry : int32 [entries of liked]
        User of each entry of `liked`.
    negatives : int32 [s, m]
        Candidates for the other item of each step. The candidate with the highest score among
        those that the user did not like is used.
    users, items, biases : float32 [n_users, d], [n_items, d], [n_items]
        Factors and item biases.
    rate, l2 : float
        Learning rate, and weight of the penalty.

    Notes
    -----
    The time complexity is O(s * m * d).
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
            # The learning rate decreases, so that the last pairs do not dominate.
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
    """Learn the factors of users from their liked items, with fixed item factors.

    Parameters
    ----------
    liked : Rows
        Liked items of n users, each once, sorted by item.
    negatives : int32 [s, m]
        Candidates for the other item. Step t of each user uses row ``t % s``.
    items, biases : float32 [n_items, d], [n_items]
        Factors and biases of the items.
    passes : int
        Number of steps for each liked item.
    rate, l2 : float
        Initial learning rate, and weight of the penalty.
    threads : int or None
        Number of threads; None for one per core.

    Returns
    -------
    float32 [n, d]
        Factors of the users.

    Notes
    -----
    The time for a user is O(passes * liked items * m * d). All users start from zero and use the
    same candidates, so that the factors of a user do not depend on the other users.
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
