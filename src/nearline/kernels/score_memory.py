"""Working memory of the kernels that sum scores of items: one for each thread, kept for reuse."""

import threading
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray


class Scratch(NamedTuple):
    """Working memory of a thread, of which `totals`, `marked` and `seen` are zero between calls.

    `totals` are the scores of items. `touched` lists items with a score, which are `marked`. Items
    of the history are `seen`. There is room for one item more than there are, since `touched` is
    written before it is known whether the item is new.
    """

    totals: NDArray[np.float64]
    touched: NDArray[np.int32]
    marked: NDArray[np.bool_]
    seen: NDArray[np.bool_]


class _Local(threading.local):
    scratch: Scratch | None = None


_local = _Local()


def scratch_of(n_items: int) -> Scratch:
    """Return the working memory of this thread, for at least `n_items` items."""
    scratch = _local.scratch
    if scratch is None or len(scratch.totals) <= n_items:
        size = n_items + n_items // 4 + 1
        scratch = Scratch(
            np.zeros(size),
            np.empty(size, np.int32),
            np.zeros(size, np.bool_),
            np.zeros(size, np.bool_),
        )
        _local.scratch = scratch
    return scratch


@njit(nogil=True, cache=True)
def clear(scratch: Scratch, count: int) -> None:
    """Reset the scores and marks of the first `count` touched items."""
    for at in range(count):
        item = scratch.touched[at]
        scratch.totals[item] = 0.0
        scratch.marked[item] = False
