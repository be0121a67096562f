"""Numbers for texts in the order of their first occurrence, without an object for each text.

The distinct texts are concatenated in one array; a hash table with open addressing and linear
probing (Knuth, TAOCP 3, section 6.4) finds their numbers.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Longs = NDArray[np.int64]
Ints = NDArray[np.int32]

_BASIS, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_MIX, _SHIFT = np.uint64(0x9E3779B97F4A7C15), np.uint64(29)


@njit(nogil=True, cache=True)
def _hash(data: Bytes, start: int, length: int) -> int:
    """Return the FNV-1a hash of some bytes, mixed, since its low bits select the row."""
    value = _BASIS
    for at in range(start, start + length):
        value = (value ^ np.uint64(data[at])) * _PRIME
    value = (value ^ (value >> _SHIFT)) * _MIX
    return int(np.int64(value ^ (value >> _SHIFT)))


@njit(nogil=True, cache=True)
def _insert_all(table: Ints, hashes: Longs, count: int) -> None:
    for number in range(count):
        slot = hashes[number] & (len(table) - 1)
        while table[slot] >= 0:
            slot = (slot + 1) & (len(table) - 1)
        table[slot] = number


@njit(nogil=True, cache=True)
def _intern(
    data: Bytes,
    starts: Longs,
    lengths: Longs,
    table: Ints,
    hashes: Longs,
    texts: Bytes,
    ends: Longs,
    count: int,
    out: Ints,
) -> int:
    for at in range(len(starts)):
        start, length = starts[at], lengths[at]
        hashed = _hash(data, start, length)
        slot = hashed & (len(table) - 1)
        number = -1
        while table[slot] >= 0:
            known = table[slot]
            if hashes[known] == hashed and ends[known + 1] - ends[known] == length:
                same = True
                for place in range(length):
                    if texts[ends[known] + place] != data[start + place]:
                        same = False
                        break
                if same:
                    number = known
                    break
            slot = (slot + 1) & (len(table) - 1)
        if number < 0:
            number = count
            table[slot] = number
            hashes[number] = hashed
            for place in range(length):  # compiles faster than a copy of a slice
                texts[ends[number] + place] = data[start + place]
            ends[number + 1] = ends[number] + length
            count += 1
        out[at] = number
    return count


class Interner:
    """Distinct texts, numbered from 0 in the order of their first occurrence.

    Parameters
    ----------
    texts : iterable of str
        Texts that get the first numbers.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._count = 0
        self._table = np.full(1_024, -1, dtype=np.int32)
        self._hashes = np.zeros(512, dtype=np.int64)
        self._ends = np.zeros(513, dtype=np.int64)
        self._texts = np.zeros(8_192, dtype=np.uint8)
        encoded = [text.encode() for text in texts]
        ends = np.concatenate(([0], np.cumsum([len(text) for text in encoded]))).astype(np.int64)
        data = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        self.numbers(data, ends[:-1], np.diff(ends))

    def __len__(self) -> int:
        return self._count

    def numbers(self, data: Bytes, starts: Longs, lengths: Longs) -> Ints:
        """Return the number of each text, new ones included: int32 [n].

        Parameters
        ----------
        data : uint8 [m]
            Bytes that contain the texts, in UTF-8.
        starts, lengths : int64 [n]
            Position and length of each text.
        """
        out = np.empty(len(starts), dtype=np.int32)
        self._reserve(len(starts), int(lengths.sum()))
        self._count = _intern(
            *(data, starts, lengths, self._table, self._hashes, self._texts, self._ends),
            *(self._count, out),
        )
        return out

    def strings(self) -> list[str]:
        """Return all texts by number.

        Raises
        ------
        UnicodeDecodeError
            A text is not valid UTF-8.
        """
        data, ends = self._texts.tobytes(), self._ends[: self._count + 1].tolist()
        return [data[start:end].decode() for start, end in pairwise(ends)]

    def _reserve(self, texts: int, size: int) -> None:
        """Make room for texts of `size` bytes in total; half of the table stays empty."""
        needed = self._count + texts
        if needed > len(self._hashes):
            self._hashes = _wider(self._hashes, needed)
            self._ends = _wider(self._ends, needed + 1)
        if 2 * needed > len(self._table):
            self._table = np.full(1 << (2 * needed).bit_length(), -1, dtype=np.int32)
            _insert_all(self._table, self._hashes, self._count)
        used = int(self._ends[self._count])
        if used + size > len(self._texts):
            self._texts = _wider(self._texts, used + size)


def _wider(array: NDArray[Any], room: int) -> NDArray[Any]:
    """Return a copy of an array with space for at least `room` entries, half as many more."""
    wider = np.zeros(room + room // 2, dtype=array.dtype)
    wider[: len(array)] = array
    return wider
