"""Distribution functions of the beta, Student and chi-squared distributions."""

import math

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

Doubles = NDArray[np.float64]

# Steps of the continued fraction. It needs about the root of the larger parameter.
MOST_STEPS = 100_000
TINY = 1e-300
EPSILON = 2.0**-52


@njit(nogil=True, cache=True)
def _fraction(a: float, b: float, x: float) -> float:
    """Evaluate the continued fraction of the incomplete beta function by Lentz's method.

    W. Press and others, "Numerical Recipes", 3rd edition 2007, sections 5.2 and 6.4.
    """
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (d if abs(d) > TINY else TINY)
    value = d
    for m in range(1, MOST_STEPS):
        for odd in range(2):
            if odd:
                step = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
            else:
                step = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
            d, c = 1.0 + step * d, 1.0 + step / c
            d = 1.0 / (d if abs(d) > TINY else TINY)
            c = c if abs(c) > TINY else TINY
            value *= d * c
        if abs(d * c - 1.0) <= 2.0 * EPSILON:
            break
    return value


@njit(nogil=True, cache=True)
def _beta(a: float, b: float, x: float) -> float:
    if not (x > 0.0 and x < 1.0):
        return 0.0 if x <= 0.0 else 1.0 if x >= 1.0 else np.nan
    logs = a * math.log(x) + b * math.log1p(-x)
    front = math.exp(logs + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b))
    # The fraction converges quickly below the mean.
    if x < (a + 1.0) / (a + b + 2.0):
        return front * _fraction(a, b, x) / a
    return 1.0 - front * _fraction(b, a, 1.0 - x) / b


@njit(nogil=True, cache=True)
def _betas(a: Doubles, b: Doubles, x: Doubles, out: Doubles) -> None:
    for at in range(len(x)):
        out[at] = _beta(a[at], b[at], x[at])


def beta_cdf(a: ArrayLike, b: ArrayLike, x: ArrayLike) -> Doubles:
    """Return the distribution function of Beta(a, b) at x, the regularised incomplete beta.

    Parameters
    ----------
    a, b : array
        Parameters, above 0.
    x : array
        Points; the three arrays are broadcast. The result is 0 below 0 and 1 above 1.

    Returns
    -------
    float64
        Probabilities. The error is below 1e-11 for parameters up to 1,000, and grows with them to
        1e-8 for a million.
    """
    wide = np.broadcast_arrays(*(np.asarray(each, dtype=np.float64) for each in (a, b, x)))
    out = np.empty(wide[0].shape, dtype=np.float64)
    _betas(np.ravel(wide[0]), np.ravel(wide[1]), np.ravel(wide[2]), out.reshape(-1))
    return out


def student_quantile(freedom: float, p: float) -> float:
    """Return the quantile of Student's t distribution.

    Parameters
    ----------
    freedom : float
        Degrees of freedom, above 0.
    p : float
        Probability, above 0 and below 1.

    Raises
    ------
    ValueError
        A parameter is outside of its range.
    """
    if not (0.0 < p < 1.0 and freedom > 0.0):
        raise ValueError(f"p is {p} and freedom {freedom}; p must be between 0 and 1, both above 0")
    if p == 0.5:
        return 0.0
    # The square of t is v (1 - x) / x for x with the tail probability I_x(v / 2, 1 / 2) / 2.
    tail = 2.0 * min(p, 1.0 - p)
    low, high = -700.0, 0.0  # logarithms of x
    while high - low > 1e-15 * max(1.0, -low):
        middle = (low + high) / 2.0
        if middle in (low, high):
            break
        if _beta(freedom / 2.0, 0.5, math.exp(middle)) < tail:
            low = middle
        else:
            high = middle
    distance = math.sqrt(freedom * math.expm1(-(low + high) / 2.0))
    return distance if p > 0.5 else -distance


def chi_square_tail(freedom: int, statistic: float) -> float:
    """Return the probability of a chi-squared number above `statistic`, for whole `freedom` >= 1.

    The sums are finite: M. Abramowitz and I. Stegun, "Handbook of Mathematical Functions", 1964,
    formulas 26.4.4 and 26.4.5.
    """
    half = statistic / 2.0
    if half <= 0.0:
        return 1.0
    if freedom % 2:
        total, power = math.erfc(math.sqrt(half)), 0.5
    else:
        total, power = math.exp(-half), 1.0
    while power < freedom / 2.0:
        total += math.exp(power * math.log(half) - half - math.lgamma(power + 1.0))
        power += 1.0
    return min(total, 1.0)
