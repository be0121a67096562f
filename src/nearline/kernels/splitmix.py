"""SplitMix64: a small generator of random numbers whose state is one integer.

G. Steele, D. Lea, C. Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(nogil=True, cache=True)
def next_state(state: np.uint64) -> np.uint64:
    """Return the state after this one."""
    return state + np.uint64(0x9E3779B97F4A7C15)


@njit(nogil=True, cache=True)
def random_bits(state: np.uint64) -> np.uint64:
    """Return 64 random bits from a state."""
    mixed = state
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


@njit(nogil=True, cache=True)
def other_state(seed: np.uint64) -> np.uint64:
    """Return a state whose numbers don't depend on those of the states that follow the seed."""
    return random_bits(seed ^ np.uint64(0xD1B54A32D192ED03))


@njit(nogil=True, cache=True)
def random_rows(n: int, m: int, seed: np.uint64) -> NDArray[np.int64]:
    """Return m random integers from 0 to n - 1, for n up to 2^32: numbers of `other_state`."""
    found = np.empty(m, dtype=np.int64)
    state = other_state(seed)
    for at in range(m):
        state = next_state(state)
        found[at] = (random_bits(state) >> np.uint64(32)) * np.uint64(n) >> np.uint64(32)
    return found
