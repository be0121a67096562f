"""Checks of the arrays from which models are restored.

Compiled loops do not check indices, so an index beyond the end of an array, which a faulty program
wrote, would be read or written elsewhere in memory.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.errors import Damaged

Array = NDArray[Any]
# Items and columns have 32-bit indices.
MOST_ITEMS = 2**31 - 1


def check_array(
    arrays: Mapping[str, Array], name: str, dtype: str, *shape: int | None
) -> NDArray[Any]:
    """Return the array `name` if it has a dtype and a shape, in which None is any length.

    Raises
    ------
    Damaged
        It has another dtype or shape.
    KeyError
        It does not exist.
    """
    array = arrays[name]
    fits = array.ndim == len(shape) and all(
        wanted in (None, found) for wanted, found in zip(shape, array.shape, strict=True)
    )
    if array.dtype != np.dtype(dtype) or not fits:
        wanted = tuple("any" if length is None else length for length in shape)
        raise Damaged(
            f"the array {name!r} is {array.dtype} {array.shape}, not {dtype} {wanted}; fit again"
        )
    return array


def check_number(arrays: Mapping[str, Array], name: str, low: int, high: int) -> int:
    """Return the only value of the array `name`, int64 [1], if it is from `low` to `high`."""
    number = int(check_array(arrays, name, "int64", 1)[0])
    if not low <= number <= high:
        raise Damaged(f"the array {name!r} is {number}, not {low} to {high}; fit again")
    return number


def check_starts(name: str, indptr: Array, n_entries: int) -> None:
    """Raise Damaged unless `indptr` divides `n_entries` entries into rows."""
    if len(indptr) == 0 or (indptr[0], indptr[-1]) != (0, n_entries) or (np.diff(indptr) < 0).any():
        raise Damaged(f"the array {name!r} does not divide {n_entries} entries; fit again")


def check_indices(name: str, indices: Array, n: int) -> None:
    """Raise Damaged unless all indices are from 0 to `n` - 1."""
    if indices.size and not (indices.min() >= 0 and indices.max() < n):
        raise Damaged(f"the array {name!r} has indices outside of 0 to {n - 1}; fit again")
