"""SplitMix64: a small generator of random numbers whose state is one integer.

G. Steele, D. Lea, C. Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014.
"""

import numpy as np
from numba import njit


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
