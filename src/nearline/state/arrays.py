"""Arrays that grow."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)
SHORTEST = 16


def grown(array: NDArray[Scalar], rows: int, fill: float = 0) -> NDArray[Scalar]:
    """Return `array` if it has `rows` rows, else a copy at least twice as long, padded by `fill`.

    Doubling makes the cost of a row constant, however small the steps.
    """
    if rows <= len(array):
        return array
    longer = resized(array, max(rows, 2 * len(array), SHORTEST))
    if fill:
        longer[len(array) :] = fill
    return longer


def resized(array: NDArray[Scalar], rows: int) -> NDArray[Scalar]:
    """Copy `array` into one of `rows` rows, padded by zeros.

    Zeroed memory that nobody touches is not taken from the system, so padding costs nothing.
    """
    longer = np.zeros((rows, *array.shape[1:]), dtype=array.dtype)
    longer[: len(array)] = array
    return longer
