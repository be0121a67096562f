"""Power calculator: how many users an experiment needs to find a difference."""

import math
from statistics import NormalDist

from nearline.evaluation.experiments.sequences import ALPHA, mixture_radius

POWER = 0.8
_NORMAL = NormalDist()


def power(
    n: float,
    effect: float,
    deviation: float,
    *,
    alpha: float = ALPHA,
    sequential: bool = True,
) -> float:
    """Return the probability to find a difference with n users in each of two variants.

    Parameters
    ----------
    n : float
        Users in each variant.
    effect : float
        True difference of the means. For a rate of 10 % and a lift of 20 %: 0.02.
    deviation : float
        Standard deviation of the outcome of a user; `sqrt(p * (1 - p))` for a rate p. With CUPED,
        multiply it by `sqrt(1 - correlation ** 2)`.
    alpha : float
        Accepted probability of a false alarm, two-sided.
    sequential : bool
        Whether the experiment is watched with a confidence sequence that is planned for n users
        in each variant. The power is then that of the last look alone, a lower bound.
    """
    _check(effect, deviation)
    z = abs(effect) / (deviation * math.sqrt(2.0 / n))
    bound = mixture_radius(2.0 * n, 2.0 * n, alpha) if sequential else _quantile(alpha)
    return _NORMAL.cdf(z - bound) + _NORMAL.cdf(-z - bound)


def required_users(
    effect: float,
    deviation: float,
    *,
    power: float = POWER,
    alpha: float = ALPHA,
    sequential: bool = True,
) -> int:
    """Return the number of users that each of two variants needs.

    The parameters are those of `power`, which is here the probability to reach.
    """
    _check(effect, deviation)
    if not alpha < power < 1.0:
        raise ValueError(f"power is {power}; it must lie between alpha ({alpha}) and 1")
    bound = mixture_radius(1.0, 1.0, alpha) if sequential else _quantile(alpha)
    return math.ceil(2.0 * ((bound + _NORMAL.inv_cdf(power)) * deviation / effect) ** 2)


def minimum_effect(
    n: float,
    deviation: float,
    *,
    power: float = POWER,
    alpha: float = ALPHA,
    sequential: bool = True,
) -> float:
    """Return the smallest difference that n users in each of two variants find.

    The parameters are those of `power`, which is here the probability to reach.
    """
    _check(1.0, deviation)
    bound = mixture_radius(1.0, 1.0, alpha) if sequential else _quantile(alpha)
    return (bound + _NORMAL.inv_cdf(power)) * deviation * math.sqrt(2.0 / n)


def _quantile(alpha: float) -> float:
    return _NORMAL.inv_cdf(1.0 - alpha / 2.0)


def _check(effect: float, deviation: float) -> None:
    if effect == 0 or not math.isfinite(effect):
        raise ValueError(f"effect is {effect}; it must be finite and not 0")
    if not (deviation > 0 and math.isfinite(deviation)):
        raise ValueError(f"deviation is {deviation}; it must be positive")
