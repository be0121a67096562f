"""Sizes of the intersections of large sets, computed with bitmaps.

Two random sets of n out of m possible members have about n * n / m members in common. Counting them
one by one takes as many additions; the intersection of two bitmaps takes m / 64 operations on
64-bit words, several of which one instruction performs. Bitmaps are faster if a word contains more
than about one member.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.chunks import map_chunks
from nearline.kernels.sets import Sets

Ints = NDArray[np.int32]
Words = NDArray[np.uint64]

# Minimum density of a set that is stored as a bitmap: one bit per word.
DENSE = 1 / 64
# Number of bitmaps that are compared with each other at a time, so that they stay in the level-2
# cache.
TILE = 32

_BITS_1, _BITS_2 = np.uint64(0x5555555555555555), np.uint64(0x3333333333333333)
_BITS_4, _BYTES = np.uint64(0x0F0F0F0F0F0F0F0F), np.uint64(0x0101010101010101)
_1, _2, _4, _56 = np.uint64(1), np.uint64(2), np.uint64(4), np.uint64(56)


@njit(nogil=True, cache=True)
def _ones(word: np.uint64) -> np.uint64:
    """Count the ones of a word, in a form that compilers translate to a single instruction."""
    word = word - ((word >> _1) & _BITS_1)
    word = (word & _BITS_2) + ((word >> _2) & _BITS_2)
    word = (word + (word >> _4)) & _BITS_4
    return (word * _BYTES) >> _56


@njit(nogil=True, cache=True)
def _set_bits(sets: Sets, chosen: Ints, bits: Words) -> None:
    for row in range(len(chosen)):
        for entry in range(sets.indptr[chosen[row]], sets.indptr[chosen[row] + 1]):
            item = sets.items[entry]
            bits[row, item >> 6] |= _1 << np.uint64(item & 63)


@njit(nogil=True, cache=True)
def _overlap_tiles(bits: Words, first: int, last: int, out: Ints) -> None:
    """Compute the rows of the tiles from `first` to ``last - 1``, and the symmetric columns."""
    n, n_words = bits.shape
    for tile in range(first, last):
        for start in range(0, (tile + 1) * TILE, TILE):
            for row in range(tile * TILE, min((tile + 1) * TILE, n)):
                for other in range(start, min(start + TILE, row + 1)):
                    total = np.uint64(0)
                    for at in range(n_words):
                        total += _ones(bits[row, at] & bits[other, at])
                    out[row, other] = total
                    out[other, row] = total


def overlaps(sets: Sets, chosen: Ints, n_items: int, *, threads: int | None = None) -> Ints:
    """Count the common members of each pair of the chosen sets.

    Parameters
    ----------
    sets : Sets
        Sets with members from 0 to n_items - 1.
    chosen : int32 [h]
        Numbers of the h sets to compare.
    n_items : int
        Number of possible members.
    threads : int or None
        Number of threads; None for one per core.

    Returns
    -------
    int32 [h, h]
        Sizes of the intersections.

    Notes
    -----
    The number of operations is O(h^2 n_items / 64), and bitmaps take h * n_items / 8 bytes.
    """
    bits = np.zeros((len(chosen), -(-n_items // 64)), dtype=np.uint64)
    _set_bits(sets, chosen, bits)
    out = np.empty((len(chosen), len(chosen)), dtype=np.int32)

    def work(first: int, last: int) -> None:
        # The multiplication overflows on purpose; NumPy warns only if the JIT is disabled.
        with np.errstate(over="ignore"):
            _overlap_tiles(bits, first, last, out)

    map_chunks(work, -(-len(chosen) // TILE), least=1, threads=threads)
    return out
