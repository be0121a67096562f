"""Sums of BM25 weights of search terms over the items that have them.

    score(q, d) = sum over terms t of q:  w_t * f(t, d) * (K1 + 1) / (f(t, d) + norm(d))
    norm(d) = K1 * (1 - B + B * length(d) / mean length)

f(t, d) is the number of occurrences of t in d, and w_t the weight of the term, such as its inverse
document frequency. Source: S. Robertson and H. Zaragoza, "The probabilistic relevance framework:
BM25 and beyond", Foundations and Trends in Information Retrieval 3(4), 2009.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.topk import best_first, offer

K1, B = 1.2, 0.75


@njit(nogil=True, cache=True)
def add_term(
    scores: NDArray[np.float32],
    items: NDArray[np.int32],
    counts: NDArray[np.uint16],
    lengths: NDArray[np.int32],
    mean: float,
    weight: float,
) -> None:
    """Add the weights of one term to the scores of the items that have it.

    Parameters
    ----------
    scores : float32 [n_items]
        Scores, which are changed in place.
    items, counts : int32, uint16 [n]
        Items with the term, and how often it occurs in each.
    lengths, mean : int32 [n_items], float
        Number of words of each item, and their mean.
    weight : float
        Weight of the term.
    """
    most, least = np.float32(weight * (K1 + 1)), np.float32(K1 * (1 - B))
    slope = np.float32(K1 * B / mean)
    for at in range(len(items)):
        item, count = items[at], np.float32(counts[at])
        scores[item] += most * count / (count + least + slope * np.float32(lengths[item]))


@njit(nogil=True, cache=True)
def best_allowed(
    scores: NDArray[np.float32], allowed: NDArray[np.bool_], k: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the `k` items with the largest positive scores that are allowed, best first.

    Parameters
    ----------
    scores, allowed : float32 [n], bool [m]
        Items that are not in both are left out.
    """
    values, items = np.empty(k, dtype=np.float64), np.empty(k, dtype=np.int32)
    size = 0
    for item in range(min(len(scores), len(allowed))):
        if scores[item] > 0 and allowed[item]:
            size = offer(values, items, size, scores[item], item)
    best_first(values, items, size)
    return items[:size].copy(), values[:size].astype(np.float32)
