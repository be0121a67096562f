"""Normalisers that make the scores of different models comparable.

A row contains the scores of all items for one user. ``share`` scales it so that its positive scores
sum to one. ``softmax`` converts it to positive numbers that sum to one. The sums are over all
items, so that the result for an item does not depend on which other items are candidates.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nearline.data.dataset import FloatArray
from nearline.kernels.softmax_sums import softmax_sums

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
        Number that is subtracted from the scores of a row; 0 for ``share``.
    total : float32 [n, 1]
        Number by which they are then divided.
    """

    top: FloatArray
    total: FloatArray


def sums_of(scores: FloatArray, how: Normaliser) -> Sums:
    """Compute the normalisation constants of n rows from all their scores, float32 [n, items].

    Sums have double precision, so that after rounding they do not depend on the order of the items.
    """
    if how.name == SOFTMAX:
        top = scores.max(axis=1, keepdims=True, initial=-np.float32(3e38))
        powers = _powers(scores, top, how.temperature)
        return Sums(top, _row_sums(powers))
    total = _row_sums(np.maximum(scores, np.float32(0.0)))
    # A row without a score above 0 becomes 0.
    return Sums(np.zeros_like(total), np.where(total > 0, total, np.float32(np.inf)))


def sums_of_each(scores: FloatArray, choices: Sequence[Normaliser]) -> list[Sums]:
    """Compute the constants of `sums_of` for several normalisers, up to rounding, in one pass."""
    temperatures = [how.temperature for how in choices if how.name == SOFTMAX]
    top, totals = softmax_sums(np.ascontiguousarray(scores), np.array(temperatures))
    softmaxes = iter(Sums(top[:, None], total[:, None]) for total in totals)
    return [next(softmaxes) if how.name == SOFTMAX else sums_of(scores, how) for how in choices]


def apply(scores: FloatArray, sums: Sums, how: Normaliser) -> FloatArray:
    """Normalise scores of some items, float32 [n, any], with the constants of their rows."""
    if how.name == SOFTMAX:
        powers = _powers(scores, sums.top, how.temperature)
        powers /= sums.total
        return powers
    return scores / sums.total


def normalised(scores: FloatArray, how: Normaliser) -> FloatArray:
    """Return normalised rows of scores: float32 [n, items].

    ``share`` divides scores by the sum of the positive ones; a row without any becomes 0.
    ``softmax`` divides exp(score / temperature) by its sum over the row.
    """
    return apply(scores, sums_of(scores, how), how)


def _powers(scores: FloatArray, top: FloatArray, temperature: float) -> FloatArray:
    powers = scores - top
    powers /= np.float32(temperature)
    np.exp(powers, out=powers)
    return powers


def _row_sums(rows: FloatArray) -> FloatArray:
    sums: FloatArray = rows.sum(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    return sums
