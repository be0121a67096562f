"""Search for 128-bit keys in sorted arrays, behind a filter that excludes most absent keys.

The filter is a Bloom filter in which all bits of a key are in one 64-bit word (F. Putze, P. Sanders
and J. Singler, "Cache-, hash- and space-efficient Bloom filters", ACM JEA 14, 2009). Keys are
hashes, so their bits are used as they are: the lower half selects the word, the upper half the
bits.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Keys = NDArray[np.uint64]
Offsets = NDArray[np.uint32]
Longs = NDArray[np.int64]

# Keys for each word of the filter: 16 bits per key, with which about 1 % of absent keys pass.
KEYS_PER_WORD = 4
BITS = 4
# Offsets of an entry that was erased, and of an entry of unknown offset.
GONE, UNKNOWN = 0xFFFFFFFF, 0xFFFFFFFE
ABSENT, NOWHERE = -1, -2

_ONE, _SIX, _MASK = np.uint64(1), np.uint64(6), np.uint64(63)


def filter_words(n_keys: int) -> int:
    """Return the number of words of a filter for some keys, at least 1."""
    return n_keys // KEYS_PER_WORD + 1


@njit(nogil=True, cache=True)
def _bits(high: np.uint64) -> np.uint64:
    bits = np.uint64(0)
    for _ in range(BITS):
        bits |= _ONE << (high & _MASK)
        high >>= _SIX
    return bits


@njit(nogil=True, cache=True)
def add_to_filter(words: Keys, high: Keys, low: Keys) -> None:
    """Add keys to a filter, uint64 [w]."""
    for at in range(len(high)):
        words[low[at] % np.uint64(len(words))] |= _bits(high[at])


@njit(nogil=True, cache=True)
def find_keys(
    wanted_high: Keys,
    wanted_low: Keys,
    words: Keys,
    high: Keys,
    low: Keys,
    offsets: Offsets,
    first: int,
    found: Longs,
) -> None:
    """Look up keys among m sorted ones, and set `found` for those that are there.

    Parameters
    ----------
    wanted_high, wanted_low : uint64 [n]
        Halves of the keys to look up.
    words : uint64 [w]
        Filter of the sorted keys.
    high, low, offsets : uint64 [m], uint64 [m], uint32 [m]
        Keys, sorted by their upper half, with offsets relative to `first`.
    found : int64 [n]
        Output: the offset of the key, or `NOWHERE` for an entry of unknown offset. Other entries
        are not changed.
    """
    for at in range(len(wanted_high)):
        wanted, other = wanted_high[at], wanted_low[at]
        bits = _bits(wanted)
        if words[other % np.uint64(len(words))] & bits != bits:
            continue
        begin, end = 0, len(high)
        while begin < end:
            middle = (begin + end) // 2
            if high[middle] < wanted:
                begin = middle + 1
            else:
                end = middle
        while begin < len(high) and high[begin] == wanted:
            if low[begin] == other and offsets[begin] != GONE:
                offset = np.int64(offsets[begin])
                found[at] = NOWHERE if offset == UNKNOWN else first + offset
                break
            begin += 1
