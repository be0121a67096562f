"""Estimators of a target policy's mean reward from rows that another policy logged.

Each estimator is a mean of one value per row. With the weight `w = target / logging probability` of
the shown item, the reward `r`, the reward `q` that a model predicts for the shown item, and the
prediction `v` averaged over the target policy's choices:

| name | value of a row | biased if | varies much if |
|---|---|---|---|
| ips | w r | propensities are wrong | weights are large |
| snips | w r / mean(w) | the log is short | less than ips |
| dm | v | the model is wrong | never |
| dr | v + w (r - q) | propensities and model are wrong | weights are large |
| sndr | v + w (r - q) / mean(w) | the log is short | less than dr |
| switch-dr | v + w (r - q) if w <= t, else v | weights are cut off | t is large |
| dros | v + w' (r - q), w' = t w / (w^2 + t) | weights are shrunk | t is large |

Sources: M. Dudik, J. Langford, L. Li, ICML 2011 (dm, dr); A. Swaminathan, T. Joachims, NIPS 2015
(snips); Y. Wang, A. Agarwal, M. Dudik, ICML 2017 (switch-dr); Y. Su, M. Dimakopoulou,
A. Krishnamurthy, M. Dudik, ICML 2020 (dros); G. Tucker, J. Lee, ICML 2021 workshop (slope).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.kernels.distributions import student_quantile

Doubles = NDArray[np.float64]

ESTIMATORS = ("ips", "snips", "dm", "dr", "sndr", "switch-dr", "dros")
# Estimators that need no model of the reward.
WEIGHTING = ("ips", "snips")
THRESHOLDS = (10.0, 50.0, 100.0, 500.0, 1_000.0, 5_000.0, 10_000.0, math.inf)
CONFIDENCE = 0.95
# Intervals of the tuning are one-sided with this error, as in the experiments of its authors.
_SLOPE_DELTA = 0.1


class Rounds(NamedTuple):
    """Rows of a log in the form that the estimators read.

    Attributes
    ----------
    reward : float64 [n]
        Reward of the shown item.
    weight : float64 [n]
        Probability of the shown item under the target policy divided by that under the logging
        policy.
    predicted : float64 [n] or None
        Reward of the shown item as a model predicts it. The model must not have been fitted to the
        row itself (cross-fitting). None if there is no model.
    expected : float64 [n] or None
        The model's prediction averaged over the items, weighted by the target policy.
    cluster : int64 [n] or None
        Rows of one recommendation or user, which are not independent, share a number. None if all
        rows are independent.
    """

    reward: Doubles
    weight: Doubles
    predicted: Doubles | None = None
    expected: Doubles | None = None
    cluster: NDArray[np.int64] | None = None

    def part(self, rows: NDArray[np.bool_]) -> "Rounds":
        """Return the chosen rows."""
        return Rounds(
            self.reward[rows],
            self.weight[rows],
            None if self.predicted is None else self.predicted[rows],
            None if self.expected is None else self.expected[rows],
            None if self.cluster is None else self.cluster[rows],
        )

    def model(self) -> tuple[Doubles, Doubles]:
        """Return `predicted` and `expected`; raise ValueError if there is no model."""
        if self.predicted is None or self.expected is None:
            raise ValueError("this estimator needs a model of the reward")
        return self.predicted, self.expected


class Estimate(NamedTuple):
    """Estimated mean reward of a row under the target policy.

    Attributes
    ----------
    name : str
        Name of the estimator.
    value : float
        The estimate.
    low, high : float
        95 % interval (normal approximation, robust to dependence within clusters).
    threshold : float or None
        Threshold that `slope` chose for switch-dr and dros.
    """

    name: str
    value: float
    low: float
    high: float
    threshold: float | None = None


def estimate(
    rounds: Rounds,
    names: Sequence[str] = ESTIMATORS,
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    confidence: float = CONFIDENCE,
) -> list[Estimate]:
    """Estimate the mean reward of the target policy by each of the named estimators.

    Estimators that need a model of the reward are left out if there is none.

    Parameters
    ----------
    rounds : Rounds
        At least two rows.
    names : sequence of str
        Names from `ESTIMATORS`.
    thresholds : sequence of float
        Thresholds among which `slope` chooses those of switch-dr and dros.
    confidence : float
        Level of the intervals, between 0 and 1.

    Raises
    ------
    ValueError
        A name is unknown, there are fewer than two rows, or the model is incomplete.
    """
    check_rounds(rounds)
    if unknown := [name for name in names if name not in ESTIMATORS]:
        raise ValueError(f"unknown estimators {unknown}; choose from {list(ESTIMATORS)}")
    usable = [name for name in names if name in WEIGHTING or rounds.predicted is not None]
    found = []
    for name in usable:
        threshold = None
        if name in _SHRUNK:
            threshold = slope(rounds, _SHRUNK[name], thresholds)
        values = row_values(name, rounds, threshold)
        found.append(_with_interval(name, rounds, values, threshold, confidence))
    return found


def check_rounds(rounds: Rounds) -> None:
    """Raise ValueError if the columns can't be evaluated."""
    n = len(rounds.reward)
    if n < 2:
        raise ValueError(f"{n} rows can't be evaluated; at least two are needed")
    if (rounds.predicted is None) != (rounds.expected is None):
        raise ValueError("a model needs both `predicted` and `expected`")
    for name, column in rounds._asdict().items():
        if column is not None and (column.shape != (n,) or not np.isfinite(column).all()):
            raise ValueError(f"{name} must have one finite value for each of the {n} rows")
    if rounds.weight.min() < 0.0:
        raise ValueError("weights must be at least 0")


def row_values(name: str, rounds: Rounds, threshold: float | None = None) -> Doubles:
    """Return the values whose mean is the estimate: float64 [n].

    Parameters
    ----------
    name : str
        Name of an estimator.
    rounds : Rounds
        The rows.
    threshold : float or None
        Threshold of switch-dr and dros; None stands for no limit.
    """
    reward, weight = rounds.reward, rounds.weight
    if name == "ips":
        return reward * weight
    if name == "snips":
        return reward * _normalised(weight)
    predicted, expected = rounds.model()
    residual = reward - predicted
    if name == "dm":
        return expected
    if name == "dr":
        return expected + weight * residual
    if name == "sndr":
        return expected + _normalised(weight) * residual
    return _SHRUNK[name](rounds, math.inf if threshold is None else threshold)


def switch_values(rounds: Rounds, threshold: float) -> Doubles:
    """Return the values of switch-dr: rows with a weight above the threshold trust the model."""
    predicted, expected = rounds.model()
    kept = np.where(rounds.weight <= threshold, rounds.weight, 0.0)
    return expected + kept * (rounds.reward - predicted)


def shrunk_values(rounds: Rounds, threshold: float) -> Doubles:
    """Return the values of dros: weights shrink the more, the larger they are."""
    predicted, expected = rounds.model()
    weight = rounds.weight
    if not math.isinf(threshold):
        # Without a weight, 0 / 0 is no correction.
        bottom = weight * weight + threshold
        weight = threshold * weight / np.where(bottom > 0.0, bottom, 1.0)
    return expected + weight * (rounds.reward - predicted)


_SHRUNK: dict[str, Callable[[Rounds, float], Doubles]] = {
    "switch-dr": switch_values,
    "dros": shrunk_values,
}


def slope(
    rounds: Rounds,
    values: Callable[[Rounds, float], Doubles],
    thresholds: Iterable[float],
    *,
    delta: float = _SLOPE_DELTA,
) -> float:
    """Choose the threshold of an estimator by SLOPE.

    Estimates are visited from the widest interval to the narrowest, that is from little bias to
    little variance. The last one that agrees with all before it is chosen: from there on, the bias
    is larger than the intervals.

    Parameters
    ----------
    rounds : Rounds
        The rows.
    values : function
        `switch_values` or `shrunk_values`.
    thresholds : iterable of float
        Candidates, at least one.
    delta : float
        One-sided error of the intervals.

    Returns
    -------
    float
        The chosen threshold.
    """
    n = len(rounds.reward) if rounds.cluster is None else len(np.unique(rounds.cluster))
    quantile = student_quantile(max(n - 1, 1), 1.0 - delta)
    tried = []
    for threshold in thresholds:
        column = values(rounds, threshold)
        mean = float(column.mean())
        tried.append((quantile * _standard_error(column - mean, rounds.cluster), threshold, mean))
    tried.sort(key=lambda one: (-one[0], -one[1]))
    chosen = tried[0]
    for at, (width, threshold, mean) in enumerate(tried):
        agree = all(
            abs(mean - other) <= width + (math.sqrt(6.0) - 1.0) * wider
            for wider, _, other in tried[:at]
        )
        if not agree:
            break
        chosen = width, threshold, mean
    return chosen[1]


def effective_sample_size(weight: Doubles) -> float:
    """Return `sum(w)^2 / sum(w^2)`: how many unweighted rows would tell as much; 0 without weight.

    A small share of the number of rows means that few rows decide the estimate.
    """
    top = float(weight.max(initial=0.0))
    if not top:
        return 0.0
    scaled = weight / top  # so that no square is too small or too large
    return float(scaled.sum()) ** 2 / float(scaled @ scaled)


def _normalised(weight: Doubles) -> Doubles:
    mean = weight.mean()
    return weight / mean if mean else weight


def _with_interval(
    name: str, rounds: Rounds, values: Doubles, threshold: float | None, confidence: float
) -> Estimate:
    value = float(values.mean())
    centred = values - value
    if name in ("snips", "sndr"):
        # The divisor varies too. To first order, a ratio's error is that of its linearisation.
        centred = centred - _correction(name, rounds, values) * (_normalised(rounds.weight) - 1.0)
    error = _standard_error(centred, rounds.cluster)
    radius = NormalDist().inv_cdf(0.5 + confidence / 2.0) * error
    return Estimate(name, value, value - radius, value + radius, threshold)


def _standard_error(centred: Doubles, cluster: NDArray[np.int64] | None) -> float:
    """Return the standard error of the mean of values, given their deviations from the mean."""
    n = len(centred)
    if cluster is not None:
        _, number = np.unique(cluster, return_inverse=True)
        centred = np.asarray(np.bincount(number, weights=centred), dtype=np.float64)
    groups = len(centred)
    factor = groups / (groups - 1) if groups > 1 else 1.0
    return math.sqrt(float(centred @ centred) * factor) / n


def _correction(name: str, rounds: Rounds, values: Doubles) -> float:
    """Return the part of the estimate that is divided by the mean weight."""
    if name == "snips":
        return float(values.mean())
    _, expected = rounds.model()
    return float((values - expected).mean())
