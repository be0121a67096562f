"""Normalisers that make the scores of different models comparable.

A row contains the scores of all items for one user. ``share`` scales it so that the scores above 0
sum to one. ``softmax`` converts it to positive numbers that sum to one. The sums are over all
items, so the result for an item does not depend on which candidates are scored with it.
"""

from typing import NamedTuple

import numpy as np

from nearline.data.dataset import FloatArray

SHARE, SOFTMAX = "share", "softmax"
NORMALISERS = (SHARE, SOFTMAX)


class Normaliser(NamedTuple):
    """Name of a normaliser, and the temperature of a softmax."""

    name: str
    temperature: float = 1.0


class Sums(NamedTuple):
    """Normalisation constants of n rows.

    Attributes
    ----------
    top : float32 [n, 1]
        Subtracted from each score; 0 for ``share``.
    total : float32 [n, 1]
        Divisor.
    """

    top: FloatArray
    total: FloatArray


def sums_of(scores: FloatArray, how: Normaliser) -> Sums:
    """Compute the normalisation constants from all scores [n, items]."""
    if how.name == SOFTMAX:
        top = scores.max(axis=1, keepdims=True, initial=-np.float32(3e38))
        total = _powers(scores, top, how.temperature).sum(axis=1, keepdims=True)
        return Sums(top, total)
    total = np.maximum(scores, np.float32(0.0)).sum(axis=1, keepdims=True)
    # A row without a score above 0 becomes 0.
    return Sums(np.zeros_like(total), np.where(total > 0, total, np.float32(np.inf)))


def apply(scores: FloatArray, sums: Sums, how: Normaliser) -> FloatArray:
    """Normalise some of the scores, [n, any], of the rows that `sums` belongs to."""
    if how.name == SOFTMAX:
        powers = _powers(scores, sums.top, how.temperature)
        powers /= sums.total
        return powers
    return scores / sums.total


def normalised(scores: FloatArray, name: str, temperature: float) -> FloatArray:
    """Normalise rows of scores [n, items] into a new array.

    ``share`` divides by the sum of the scores above 0; rows without any become 0. ``softmax``
    computes exp(s / T) divided by its sum.
    """
    how = Normaliser(name, temperature)
    return apply(scores, sums_of(scores, how), how)


def _powers(scores: FloatArray, top: FloatArray, temperature: float) -> FloatArray:
    powers = scores - top
    powers /= np.float32(temperature)
    np.exp(powers, out=powers)
    return powers
