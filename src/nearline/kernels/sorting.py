"""Small helpers of kernels, which compile faster than what Numba has for the same."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Shorter parts are sorted by insertion.
SHORT = 16


@njit(nogil=True, cache=True)
def zero() -> int:
    """Return 0 as a number like any other.

    For Numba, a constant is of another type than a variable, and a function that is called with
    both is compiled twice: the counts that kernels hand to one another begin with this.
    """
    return 0


@njit(nogil=True, cache=True)
def sort_items(items: NDArray[np.int32], size: int) -> None:
    """Sort the first `size` entries in place (Hoare, "Quicksort", Computer Journal 1962).

    Parts are divided by the median of three of their entries. The larger part waits, so that at
    most log2(size) parts do.
    """
    waiting = np.empty((64, 2), dtype=np.int64)
    first, last, depth = zero(), size - 1, zero()
    while True:
        while last - first >= SHORT:
            middle = (first + last) // 2
            if items[middle] < items[first]:
                items[middle], items[first] = items[first], items[middle]
            if items[last] < items[first]:
                items[last], items[first] = items[first], items[last]
            if items[last] < items[middle]:
                items[last], items[middle] = items[middle], items[last]
            pivot = items[middle]
            front, back = first, last
            while front <= back:
                while items[front] < pivot:
                    front += 1
                while pivot < items[back]:
                    back -= 1
                if front <= back:
                    items[front], items[back] = items[back], items[front]
                    front += 1
                    back -= 1
            if back - first > last - front:
                waiting[depth, 0], waiting[depth, 1] = first, back
                first = front
            else:
                waiting[depth, 0], waiting[depth, 1] = front, last
                last = back
            depth += 1
        for at in range(first + 1, last + 1):
            item, place = items[at], at
            while place > first and item < items[place - 1]:
                items[place] = items[place - 1]
                place -= 1
            items[place] = item
        if depth == 0:
            return
        depth -= 1
        first, last = waiting[depth, 0], waiting[depth, 1]
