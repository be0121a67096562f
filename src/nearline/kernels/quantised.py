"""Quantisation of vectors to eight bits per number, and cosines of quantised vectors.

Inner products are sums of integers, so that a cosine does not depend on the order of summation.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

LARGEST = 127


def quantise(vectors: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Quantise the directions of vectors to eight bits per number.

    Parameters
    ----------
    vectors : float32 [n, width]
        The vectors.

    Returns
    -------
    codes : int8 [n, width]
        The vectors scaled to a largest absolute value of 127, and rounded.
    scales : float32 [n]
        Reciprocal of the Euclidean length of each row of codes; 0 for a zero vector.
    """
    largest = np.abs(vectors).max(axis=1, initial=0.0).astype(np.float64)
    stretch = np.divide(LARGEST, largest, out=np.zeros_like(largest), where=largest > 0)
    codes = np.rint(vectors * stretch[:, None]).astype(np.int8)
    lengths = np.sqrt(np.einsum("ij,ij->i", codes, codes, dtype=np.int64).astype(np.float64))
    scales = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    return codes, scales.astype(np.float32)


def cosines(
    codes: NDArray[np.int8],
    scales: NDArray[np.float32],
    query: NDArray[np.int8],
    scale: float,
) -> NDArray[np.float32]:
    """Compute the cosine of a vector with each of n vectors: float32 [n].

    Parameters
    ----------
    codes, scales : int8 [n, width], float32 [n]
        Quantised vectors, as returned by `quantise`.
    query, scale : int8 [width], float
        Quantised vector that is compared with the others.
    """
    out = np.empty(len(codes), dtype=np.float32)
    _cosines(codes, scales, query, scale, out)
    return out


@njit(nogil=True, cache=True)
def _cosines(
    codes: NDArray[np.int8],
    scales: NDArray[np.float32],
    query: NDArray[np.int8],
    scale: float,
    out: NDArray[np.float32],
) -> None:
    for row in range(codes.shape[0]):
        total = np.int32(0)
        for column in range(codes.shape[1]):
            total += np.int32(codes[row, column]) * np.int32(query[column])
        out[row] = total * scale * scales[row]
