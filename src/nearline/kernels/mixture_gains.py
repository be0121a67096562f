"""NDCG of two-part mixtures of candidate scores, for many shares of the second part at once.

Only the ranks of the targets are needed: a target's rank is the number of candidates before it, so
no list is sorted, and a row without a target among its candidates costs nothing.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.chunks import map_chunks

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Longs = NDArray[np.int64]


@njit(nogil=True, cache=True)
def _gains(
    rest: Floats,
    own: Floats,
    shares: Floats,
    indptr: Longs,
    columns: Longs,
    discounts: Doubles,
    first: int,
    last: int,
    gains: Doubles,
) -> None:
    width, k = rest.shape[1], len(discounts)
    mixed = np.empty(width, dtype=np.float32)
    for row in range(first, last):
        if indptr[row] == indptr[row + 1]:
            continue
        for at in range(len(shares)):
            share = shares[at]
            left = np.float32(1.0) - share
            for column in range(width):
                mixed[column] = left * rest[row, column] + share * own[row, column]
            total = 0.0
            for place in range(indptr[row], indptr[row + 1]):
                target = columns[place]
                score, before = mixed[target], 0
                for column in range(width):
                    before += mixed[column] > score
                if before < k:
                    # Of equal scores, the candidate with the lower index is first.
                    for column in range(target):
                        before += mixed[column] == score
                if before < k:
                    total += discounts[before]
            gains[at, row] = total


def mixture_gains(
    rest: Floats,
    own: Floats,
    shares: Floats,
    indptr: Longs,
    columns: Longs,
    discounts: Doubles,
) -> Doubles:
    """Return the discounted cumulative gain of each row for mixtures of two arrays of scores.

    Parameters
    ----------
    rest, own : float32 [n, c]
        Scores of the candidates of each row; the mixture is ``(1 - share) * rest + share * own``.
    shares : float32 [s]
        Shares of `own`.
    indptr, columns : int64 [n + 1], int64 [m]
        The targets of row r are the candidates ``columns[indptr[r]:indptr[r + 1]]``.
    discounts : float64 [k]
        Gain of a target by its rank; later ones gain nothing.

    Returns
    -------
    float64 [s, n]
        Sum of the gains of each row, by share. Takes O(s * c) time for each target.
    """
    gains = np.zeros((len(shares), len(rest)))

    def work(first: int, last: int) -> None:
        _gains(rest, own, shares, indptr, columns, discounts, first, last, gains)

    map_chunks(work, len(rest))
    return gains
