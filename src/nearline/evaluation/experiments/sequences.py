"""Confidence sequences: intervals that hold at all times at once.

An ordinary 95 % interval covers the truth in 95 % of experiments at *one* planned look. Whoever
looks every day and stops at the first significant difference is wrong far more often. The intervals
here cover the truth at every look with the stated probability, so an experiment may be stopped at
any time. The price is a wider interval.

They are asymptotic and use a normal mixture: H. Robbins, Ann. Math. Statist. 41 (1970);
I. Waudby-Smith et al., Time-uniform central limit theory, Ann. Statist. 52 (2024).
"""

import math

ALPHA = 0.05


def mixture_radius(n: float, planned: float, alpha: float = ALPHA) -> float:
    """Return the half-width of a confidence sequence in units of the standard error.

    Parameters
    ----------
    n : float
        Number of observations so far.
    planned : float
        Number of observations at which the sequence is to be narrowest, relative to an interval
        for that time alone. It must not depend on the outcomes.
    alpha : float
        Probability with which the sequence may miss the truth at any time.

    Returns
    -------
    float
        About 3.0 at the planned number for alpha 0.05, where an ordinary interval has 1.96; inf
        if there is no observation.
    """
    _check(planned, alpha)
    if n <= 0:
        return math.inf
    ratio = n * _rate(planned, alpha)
    return math.sqrt((1.0 + 1.0 / ratio) * (math.log1p(ratio) - 2.0 * math.log(alpha)))


def sequential_p(z: float, n: float, planned: float, alpha: float = ALPHA) -> float:
    """Return the smallest level at which the confidence sequence leaves out 0, at most 1.

    Parameters
    ----------
    z : float
        Estimate divided by its standard error.
    n, planned, alpha : float
        As for `mixture_radius`; `alpha` chooses the mixture and isn't the level of the result.
    """
    _check(planned, alpha)
    if n <= 0:
        return 1.0
    ratio = n * _rate(planned, alpha)
    exponent = 0.5 * (math.log1p(ratio) - z * z * ratio / (1.0 + ratio))
    return min(1.0, math.exp(min(exponent, 0.0)))


def _rate(planned: float, alpha: float) -> float:
    """Return the variance of the mixture that is best at the planned number of observations."""
    level = -2.0 * math.log(alpha)
    return (level + math.log(level + 1.0)) / planned


def _check(planned: float, alpha: float) -> None:
    if not planned >= 1.0:
        raise ValueError(f"planned is {planned}; it must be at least 1")
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha is {alpha}; it must lie between 0 and 1")
