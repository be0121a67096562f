"""Factors by which the pairs of a history count, given its length."""

import numpy as np
from numpy.typing import NDArray

# Shares of histories of all lengths, if these are not taken into account.
EQUAL = np.ones(1)


def row_factors(
    indptr: NDArray[np.int64],
    items: NDArray[np.int32],
    weights: NDArray[np.float32],
    shares: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the factor of the pairs of each row: float64 [n_rows].

    Parameters
    ----------
    indptr, items, weights : int64 [n_rows + 1], int32 [m], float32 [m]
        Histories, as in `edges.Rows`.
    shares : float64 [s]
        Factor by the number of known entries with a positive weight; the last one also applies to
        larger numbers.
    """
    counted = (items >= 0) & (weights > 0)
    before = np.concatenate(([0], np.cumsum(counted)))
    factors: NDArray[np.float64] = shares[np.minimum(np.diff(before[indptr]), len(shares) - 1)]
    return factors
