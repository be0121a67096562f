"""Sample-ratio check: whether users are split among the variants as intended."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nearline.kernels.distributions import chi_square_tail

# Ratios that differ with this probability under a correct assignment are alarms.
THRESHOLD = 0.001


class SampleRatio(NamedTuple):
    """Result of a sample-ratio check.

    Attributes
    ----------
    p : float
        Probability of a deviation at least this large if the assignment is correct.
    sound : bool
        Whether `p` is at least the threshold. If not, don't trust the experiment: find the cause,
        for instance a variant whose answers are not logged.
    """

    p: float
    sound: bool


def sample_ratio(
    counts: Sequence[int], weights: Sequence[float], *, threshold: float = THRESHOLD
) -> SampleRatio:
    """Test by Pearson's chi-squared whether the counts of users follow the weights.

    Parameters
    ----------
    counts : sequence of int
        Users in each variant.
    weights : sequence of float
        Intended share of each variant, positive. They are normalised.
    threshold : float
        Alarm below this p-value.

    Raises
    ------
    ValueError
        Lengths differ, a count is negative or a weight isn't positive.
    """
    seen, shares = np.asarray(counts, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    if seen.shape != shares.shape or seen.ndim != 1 or len(seen) < 2:
        raise ValueError("give one count and one weight for each of at least two variants")
    if seen.min() < 0 or not shares.min() > 0:
        raise ValueError("counts must be at least 0 and weights positive")
    if not seen.sum():
        return SampleRatio(1.0, True)
    expected = shares / shares.sum() * seen.sum()
    statistic = float(((seen - expected) ** 2 / expected).sum())
    p = chi_square_tail(len(seen) - 1, statistic)
    return SampleRatio(p, p >= threshold)
