"""Normalisation constants of softmaxes with several temperatures, in one pass over the scores."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.chunks import map_chunks

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


@njit(nogil=True, cache=True)
def _sums(
    scores: Floats, temperatures: Doubles, first: int, last: int, top: Floats, total: Floats
) -> None:
    sums = np.zeros(len(temperatures))
    for row in range(first, last):
        most = np.float32(-3e38)
        for item in range(scores.shape[1]):
            most = max(most, scores[row, item])
        top[row] = most
        sums[:] = 0.0
        zeros = 0
        for item in range(scores.shape[1]):
            if scores[row, item] == 0.0:
                zeros += 1
                continue
            distance = float(scores[row, item] - most)
            for at in range(len(temperatures)):
                sums[at] += np.exp(distance / temperatures[at])
        for at in range(len(temperatures)):
            rest = zeros * np.exp(-float(most) / temperatures[at]) if zeros else 0.0
            total[at, row] = sums[at] + rest


def softmax_sums(scores: Floats, temperatures: Doubles) -> tuple[Floats, Floats]:
    """Return the largest score of each row, and its sums of exp((score - largest) / temperature).

    Parameters
    ----------
    scores : float32 [n, m]
        Scores, of which many may be 0: these cost one comparison each.
    temperatures : float64 [t]
        Temperatures, above 0.

    Returns
    -------
    float32 [n], float32 [t, n]
        The largest scores, and the sums.
    """
    top = np.zeros(len(scores), dtype=np.float32)
    total = np.zeros((len(temperatures), len(scores)), dtype=np.float32)
    if len(temperatures):

        def work(first: int, last: int) -> None:
            _sums(scores, temperatures, first, last, top, total)

        map_chunks(work, len(scores), least=16)
    return top, total
