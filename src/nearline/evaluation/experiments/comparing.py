"""Differences between the variants of an experiment."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from nearline.evaluation.experiments.arms import ArmSums
from nearline.evaluation.experiments.sequences import ALPHA, mixture_radius, sequential_p

# Users of both variants together at which intervals are narrowest, unless planned otherwise.
PLANNED = 10_000
# Fewer users in a variant are too few for an approximation by the normal distribution.
FEWEST = 50


class ArmDifference(NamedTuple):
    """Difference of a treatment and the control, with an interval that holds at all times.

    Attributes
    ----------
    control, treatment : float
        Mean outcome of each variant, adjusted by the covariate if there is one.
    difference : float
        Treatment minus control.
    low, high : float
        Bounds of the confidence sequence; infinite while a variant has fewer than 50 users.
    p : float
        Sequential p-value: the smallest level at which the sequence leaves out 0.
    lift : float
        Difference relative to the control; nan if the control's mean is 0.
    width_ratio : float
        Width of the interval relative to that without the covariate; 1 without a covariate.
    significant : bool
        Whether the interval leaves out 0.
    """

    control: float
    treatment: float
    difference: float
    low: float
    high: float
    p: float
    lift: float
    width_ratio: float
    significant: bool


def compare_arms(
    control: ArmSums,
    treatment: ArmSums,
    *,
    alpha: float = ALPHA,
    planned: float = PLANNED,
) -> ArmDifference:
    """Compare the mean outcomes of two variants.

    If the variants have a covariate, outcomes are adjusted by CUPED: the part of the outcome that a
    common linear regression predicts from the covariate is subtracted, which narrows the interval
    by the factor sqrt(1 - correlation^2) and changes no expected difference.

    Parameters
    ----------
    control, treatment : ArmSums
        Sums over the users of each variant.
    alpha : float
        Probability with which the sequence may miss the truth at any time.
    planned : float
        Users of both variants together at which the interval is to be narrowest.

    Notes
    -----
    A. Deng, Y. Xu, R. Kohavi, T. Walker: Improving the Sensitivity of Online Controlled
    Experiments by Utilizing Pre-Experiment Data, WSDM 2013.
    """
    theta = _theta(control, treatment)
    pooled_x = _ratio(control.x + treatment.x, control.n + treatment.n)
    means = [arm.mean() - theta * (_ratio(arm.x, arm.n) - pooled_x) for arm in (control, treatment)]
    error = _standard_error(control, treatment, theta)
    plain = _standard_error(control, treatment, 0.0)
    n = control.n + treatment.n
    difference = means[1] - means[0]
    known = min(control.n, treatment.n) >= FEWEST
    radius = mixture_radius(n, planned, alpha) * error if known else math.inf
    p = 1.0
    if known and error:
        p = sequential_p(difference / error, n, planned, alpha)
    return ArmDifference(
        control=means[0],
        treatment=means[1],
        difference=difference,
        low=difference - radius,
        high=difference + radius,
        p=p,
        lift=difference / means[0] if means[0] else math.nan,
        width_ratio=error / plain if plain else 1.0,
        significant=known and error > 0.0 and abs(difference) > radius,
    )


def compare_segments(
    arms: Mapping[str, tuple[ArmSums, ArmSums]],
    *,
    alpha: float = ALPHA,
    planned: float = PLANNED,
) -> dict[str, ArmDifference]:
    """Compare control and treatment in each segment of the users.

    All intervals together miss a truth with probability `alpha` at most (Bonferroni), so one that
    leaves out 0 is not the yield of having looked at many segments.

    Parameters
    ----------
    arms : mapping of str to (ArmSums, ArmSums)
        Control and treatment of each segment.
    """
    level = alpha / max(len(arms), 1)
    return {
        segment: compare_arms(control, treatment, alpha=level, planned=planned)
        for segment, (control, treatment) in arms.items()
    }


def compare_interleaved(
    credits: ArmSums, *, alpha: float = ALPHA, planned: float = PLANNED
) -> ArmDifference:
    """Test whether users prefer the second of two interleaved rankers.

    Parameters
    ----------
    credits : ArmSums
        Sums over users of `sign(clicks on the second ranker - clicks on the first)`, or of any
        other credit that is 0 in expectation if the rankers are equal.
    alpha, planned : float
        As for `compare_arms`; `planned` counts the users.
    """
    mean = credits.mean()
    error = math.sqrt(credits.variance() / credits.n) if credits.n else 0.0
    known = credits.n >= FEWEST and error > 0.0
    radius = mixture_radius(credits.n, planned, alpha) * error if known else math.inf
    return ArmDifference(
        control=(1.0 - mean) / 2.0,
        treatment=(1.0 + mean) / 2.0,
        difference=mean,
        low=mean - radius,
        high=mean + radius,
        p=sequential_p(mean / error, credits.n, planned, alpha) if known else 1.0,
        lift=math.nan,
        width_ratio=1.0,
        significant=known and abs(mean) > radius,
    )


def _theta(control: ArmSums, treatment: ArmSums) -> float:
    """Return the slope of the outcome on the covariate, within the variants."""
    arms = control, treatment
    spread = sum(arm.centred(arm.xx, arm.x, arm.x) for arm in arms)
    scale = control.xx + treatment.xx
    # Differences of rounding size are no spread.
    if spread <= 1e-12 * scale or not spread:
        return 0.0
    return sum(arm.centred(arm.xy, arm.x, arm.y) for arm in arms) / spread


def _standard_error(control: ArmSums, treatment: ArmSums, theta: float) -> float:
    if not (control.n and treatment.n):
        return 0.0
    return math.sqrt(control.variance(theta) / control.n + treatment.variance(theta) / treatment.n)


def _ratio(total: float, n: int) -> float:
    return total / n if n else 0.0
