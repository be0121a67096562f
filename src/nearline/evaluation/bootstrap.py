"""Percentile bootstrap confidence intervals of means over users.

All metrics share the same resampled users. The means of all resamples are therefore one matrix
product: how often each user occurs in each resample, times the values of each user.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.errors import InvalidInput

LEVEL = 0.95
RESAMPLES = 1000
# Number of counts (float64) in memory at a time: 32 MiB.
BLOCK_ENTRIES = 4 * 1024 * 1024


class Interval(NamedTuple):
    """Lower and upper bound of a confidence interval."""

    low: float
    high: float


class Difference(NamedTuple):
    """Mean of paired differences, with the bounds of its confidence interval.

    The difference is significant when both bounds have the same sign.
    """

    mean: float
    low: float
    high: float


def mean_intervals(
    values: Mapping[str, NDArray[np.float64]],
    rng: np.random.Generator,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
) -> dict[str, Interval]:
    """Compute percentile bootstrap intervals of means over users.

    Parameters
    ----------
    values : mapping of str to float64 [n]
        One finite value per user for each metric. All arrays have the same length, at least 1.
    rng : Generator
        Source of randomness; the same state gives the same intervals.
    level : float
        Confidence level, between 0 and 1.
    resamples : int
        Number of bootstrap samples.

    Raises
    ------
    InvalidInput
        There is no user, lengths differ, a value is not finite or an option is out of range.

    Notes
    -----
    Time complexity is O(resamples * n).
    """
    means = resampled_means(_columns(values), rng, resamples=resamples)
    low, high = _bounds(means, level)
    return {name: Interval(float(low[at]), float(high[at])) for at, name in enumerate(values)}


def paired_differences(
    first: Mapping[str, NDArray[np.float64]],
    second: Mapping[str, NDArray[np.float64]],
    rng: np.random.Generator,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
) -> dict[str, Difference]:
    """Compute paired differences, first minus second, of the metrics that two systems share.

    Differences are resampled per user, which removes the variance between easy and hard users: the
    interval is much narrower than those of the two systems separately.

    Parameters
    ----------
    first, second : mapping of str to float64 [n]
        Values of each metric for the same users in the same order.

    Notes
    -----
    The other parameters and the errors are those of `mean_intervals`.
    """
    shared = [name for name in first if name in second]
    for name in shared:
        if len(first[name]) != len(second[name]):
            raise InvalidInput(
                f"{name} has {len(first[name])} and {len(second[name])} users; "
                "evaluate both systems on the same users",
                field=name,
            )
    deltas = {name: first[name] - second[name] for name in shared}
    intervals = mean_intervals(deltas, rng, level=level, resamples=resamples)
    return {
        name: Difference(float(deltas[name].mean()), *interval)
        for name, interval in intervals.items()
    }


def resampled_means(
    columns: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    resamples: int,
    block_entries: int = BLOCK_ENTRIES,
) -> NDArray[np.float64]:
    """Compute the column means of bootstrap samples of rows.

    Parameters
    ----------
    columns : float64 [n, m]
        One row per user and one column per metric.
    rng : Generator
        Source of randomness.
    resamples : int
        Number of bootstrap samples; each draws n rows with replacement.
    block_entries : int
        Number of counts in memory at a time. It does not affect the result.

    Returns
    -------
    float64 [resamples, m]
        Column means of each sample.

    Raises
    ------
    InvalidInput
        `resamples` is less than 1.
    """
    if resamples < 1:
        raise InvalidInput(f"resamples is {resamples}; it must be at least 1", field="resamples")
    n = len(columns)
    means = np.empty((resamples, columns.shape[1]))
    step = max(1, block_entries // n)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = rng.integers(n, size=(size, n))
        drawn += np.arange(size)[:, None] * n
        counts = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
        means[start : start + size] = counts.astype(np.float64) @ columns / n
    return means


def _columns(values: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Validate the metrics and stack them as columns: float64 [n, m]."""
    lengths = {len(column) for column in values.values()}
    if len(lengths) != 1 or 0 in lengths:
        raise InvalidInput(
            f"the metrics have values for {sorted(lengths)} users; "
            "give at least one metric, and one value for each of the same users",
            field="values",
        )
    for name, column in values.items():
        if not np.isfinite(column).all():
            raise InvalidInput(
                f"{name} is not finite for some users; leave those users out", field=name
            )
    return np.column_stack([np.asarray(column, dtype=np.float64) for column in values.values()])


def _bounds(
    means: NDArray[np.float64], level: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if not 0.0 < level < 1.0:
        raise InvalidInput(f"level is {level}; it must lie between 0 and 1", field="level")
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail], axis=0)
    return low, high
