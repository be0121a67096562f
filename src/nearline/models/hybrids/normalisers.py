"""What makes the scores of different models comparable: each row becomes shares of one.

All items of a row are looked at, so that what an item gets does not depend on which others are
candidates.
"""

from typing import NamedTuple

import numpy as np

from nearline.data.dataset import FloatArray

SHARE, SOFTMAX = "share", "softmax"
NORMALISERS = (SHARE, SOFTMAX)


class Normaliser(NamedTuple):
    """A way to normalise: its name, and the temperature of a softmax."""

    name: str
    temperature: float = 1.0


class Sums(NamedTuple):
    """What a row of scores is normalised by.

    Attributes
    ----------
    top : float32 [n, 1]
        Taken off each score; 0 for shares.
    total : float32 [n, 1]
        What is left is divided by this.
    """

    top: FloatArray
    total: FloatArray


def sums_of(scores: FloatArray, how: Normaliser) -> Sums:
    """Look at all scores [n, items] of each row."""
    if how.name == SOFTMAX:
        top = scores.max(axis=1, keepdims=True, initial=-np.float32(3e38))
        total = _powers(scores, top, how.temperature).sum(axis=1, keepdims=True)
        return Sums(top, total)
    total = np.maximum(scores, np.float32(0.0)).sum(axis=1, keepdims=True)
    # A row without a score above 0 says nothing.
    return Sums(np.zeros_like(total), np.where(total > 0, total, np.float32(np.inf)))


def apply(scores: FloatArray, sums: Sums, how: Normaliser) -> FloatArray:
    """Normalise some scores [n, any] of the rows that `sums` are of."""
    if how.name == SOFTMAX:
        powers = _powers(scores, sums.top, how.temperature)
        powers /= sums.total
        return powers
    return scores / sums.total


def normalised(scores: FloatArray, name: str, temperature: float) -> FloatArray:
    """Normalise rows of scores [n, items]: a new array.

    ``share`` divides by the sum of the scores above 0 (all become 0 where none is); ``softmax``
    is exp(s / T) divided by its sum.
    """
    how = Normaliser(name, temperature)
    return apply(scores, sums_of(scores, how), how)


def _powers(scores: FloatArray, top: FloatArray, temperature: float) -> FloatArray:
    powers = scores - top
    powers /= np.float32(temperature)
    np.exp(powers, out=powers)
    return powers
