"""Arrays that grow, and arrays for kernels."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)
SHORTEST = 16


def grown(array: NDArray[Scalar], rows: int, fill: float = 0) -> NDArray[Scalar]:
    """Return `array` if it has at least `rows` rows, otherwise a longer copy padded with `fill`.

    The copy is at least twice as long, so that the amortised time per row is constant.
    """
    if rows <= len(array):
        return array
    longer = resized(array, max(rows, 2 * len(array), SHORTEST))
    if fill:
        longer[len(array) :] = fill
    return longer


def resized(array: NDArray[Scalar], rows: int) -> NDArray[Scalar]:
    """Return a copy of `array` with `rows` rows, padded with zeros.

    The system allocates zeroed pages on first use, so padding takes no memory.
    """
    longer = np.zeros((rows, *array.shape[1:]), dtype=array.dtype)
    longer[: len(array)] = array
    return longer


def read_only(array: NDArray[Scalar]) -> NDArray[Scalar]:
    """Return a view that cannot be written.

    For Numba, arrays that can and cannot be written have different types. A kernel that is called
    with both, such as new arrays and those of a snapshot, is compiled once if it gets this view.
    """
    view = array.view()
    view.flags.writeable = False
    return view
