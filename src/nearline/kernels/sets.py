"""Sets of indices as ragged arrays, and operations on ragged arrays."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.chunks import MOST_CHUNKS
from nearline.kernels.edges import Rows

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Sets(NamedTuple):
    """Ragged array of sets of indices.

    Attributes
    ----------
    indptr : int64 [n + 1]
        Set r has the members ``items[indptr[r]:indptr[r + 1]]``, in any order.
    items : int32 or uint16 [m]
        Members of all sets, each at most once per set.
    """

    indptr: Longs
    items: NDArray[Any]


@njit(nogil=True, cache=True)
def _transpose(sets: Sets, indptr: Longs, out: Ints) -> None:
    place = indptr[:-1].copy()
    for row in range(len(sets.indptr) - 1):
        for entry in range(sets.indptr[row], sets.indptr[row + 1]):
            item = sets.items[entry]
            out[place[item]] = row
            place[item] += 1


def transpose(sets: Sets, n_columns: int) -> Sets:
    """Return the transpose: for each possible member, the sets that contain it, ascending.

    Parameters
    ----------
    sets : Sets
        The sets.
    n_columns : int
        Number of possible members.

    Raises
    ------
    ValueError
        A member is not below `n_columns`.
    """
    counts = np.bincount(sets.items, minlength=n_columns)
    if len(counts) > n_columns:
        raise ValueError(f"index {len(counts) - 1} is not below {n_columns}")
    indptr = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    out = np.empty(len(sets.items), dtype=np.int32)
    _transpose(sets, indptr, out)
    return Sets(indptr, out)


@njit(nogil=True, cache=True)
def _newest(indptr: Longs, items: Ints, last_row: Longs, out: Bools) -> None:
    for row in range(len(indptr) - 1):
        for entry in range(indptr[row + 1] - 1, indptr[row] - 1, -1):
            item = items[entry]
            if item >= 0 and last_row[item] != row:
                last_row[item] = row
                out[entry] = True


def newest(indptr: Longs, items: Ints) -> Bools:
    """Return which entries are the last of their item in their row: bool [m].

    Parameters
    ----------
    indptr, items : int64 [n + 1], int32 [m]
        Ragged array of items, as in `Rows`. For a negative item, the result is False.

    Notes
    -----
    The function needs 8 bytes per item up to the largest.
    """
    out = np.zeros(len(items), dtype=np.bool_)
    _newest(indptr, items, np.full(int(items.max(initial=-1)) + 1, -1, dtype=np.int64), out)
    return out


def dealt(n: int) -> Longs:
    """Return the numbers from 0 to n - 1 in an order that balances the chunks of `map_chunks`.

    Low numbers, which often belong to long rows, are distributed evenly over all chunks.
    """
    hands = [np.arange(hand, n, MOST_CHUNKS, dtype=np.int64) for hand in range(MOST_CHUNKS)]
    return np.concatenate(hands)


def undealt(rows: Rows, order: Longs) -> Rows:
    """Return `rows` in the original order, if row p is at position ``order[p]`` of that order."""
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    sizes = np.diff(rows.indptr)[place]
    indptr = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    take = np.arange(indptr[-1]) + np.repeat(rows.indptr[:-1][place] - indptr[:-1], sizes)
    return Rows(indptr, rows.items[take], rows.weights[take])
