"""Deterministic assignment of units, such as users, to the variants of an experiment.

The hash is version 2 of GrowthBook's: FNV-1a with 32 bits, applied twice, reduced to 10,000
buckets. The same seed and ID give the same variant in every process and in GrowthBook's SDKs.
"""

from collections.abc import Sequence
from itertools import accumulate

BUCKETS = 10_000
_OFFSET = 0x811C9DC5
_PRIME = 0x01000193
_MASK = 0xFFFFFFFF
# Rounding error allowed in a sum of weights.
_TOLERANCE = 1e-6


def fnv1a32(text: str) -> int:
    """Compute the 32-bit FNV-1a hash of a text's UTF-16 code units.

    For ASCII, this is the usual hash of its bytes. Other characters are hashed as in JavaScript,
    whose strings consist of UTF-16 code units.
    """
    value = _OFFSET
    if text.isascii():
        for unit in text.encode():
            value = ((value ^ unit) * _PRIME) & _MASK
        return value
    data = text.encode("utf-16-le", "surrogatepass")
    for low, high in zip(data[::2], data[1::2], strict=True):
        value = ((value ^ (low | high << 8)) * _PRIME) & _MASK
    return value


def bucket(seed: str, unit: str) -> float:
    """Return the place of a unit in [0, 1), a multiple of 1/10,000.

    Parameters
    ----------
    seed : str
        Name of the experiment or layer. Different seeds give independent places.
    unit : str
        ID of the user, or of whatever else is assigned.
    """
    return fnv1a32(str(fnv1a32(seed + unit))) % BUCKETS / BUCKETS


def variant_ranges(
    weights: Sequence[float], coverage: float = 1.0
) -> tuple[tuple[float, float], ...]:
    """Return the half-open range of places that belongs to each variant.

    A lower coverage shortens each range at its end and moves none of the starts, so that nobody
    changes the variant when the coverage of a running experiment is raised.

    Parameters
    ----------
    weights : sequence of float
        Share of each variant, at least 0; they sum to 1.
    coverage : float
        Share of the units that take part, between 0 and 1.

    Raises
    ------
    ValueError
        A weight or the coverage is out of range, or the weights don't sum to 1.
    """
    if not weights or min(weights) < 0 or not abs(sum(weights) - 1.0) <= _TOLERANCE:
        raise ValueError(f"weights are {list(weights)}; they must be at least 0 and sum to 1")
    if not 0.0 <= coverage <= 1.0:
        raise ValueError(f"coverage is {coverage}; it must be between 0 and 1")
    starts = accumulate(weights, initial=0.0)
    # `zip` stops before the last start, which is the end of the last variant.
    return tuple(
        (start, start + coverage * weight) for start, weight in zip(starts, weights, strict=False)
    )


def assign(seed: str, unit: str, ranges: Sequence[tuple[float, float]]) -> int | None:
    """Return the index of the variant of a unit, or None if it doesn't take part.

    Parameters
    ----------
    seed, unit : str
        As for `bucket`.
    ranges : sequence of (float, float)
        Ranges of the variants, from `variant_ranges`; or, for mutually exclusive experiments, the
        parts of one layer that shares a seed.
    """
    place = bucket(seed, unit)
    for index, (low, high) in enumerate(ranges):
        if low <= place < high:
            return index
    return None
