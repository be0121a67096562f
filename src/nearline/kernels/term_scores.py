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

K1, B = 1.2, 0.75


@njit(nogil=True, cache=True)
def add_term(
    scores: NDArray[np.float32],
    items: NDArray[np.int32],
    counts: NDArray[np.uint16],
    norms: NDArray[np.float32],
    weight: float,
) -> None:
    """Add the weights of one term to the scores of the items that have it.

    Parameters
    ----------
    scores : float32 [n_items]
        Scores, which are changed in place.
    items, counts : int32, uint16 [n]
        Items with the term, and how often it occurs in each.
    norms : float32 [n_items]
        Normaliser of each item by its length.
    weight : float
        Weight of the term.
    """
    for at in range(len(items)):
        item, count = items[at], np.float32(counts[at])
        scores[item] += np.float32(weight) * count * np.float32(K1 + 1) / (count + norms[item])
