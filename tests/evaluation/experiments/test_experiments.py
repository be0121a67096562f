"""Statistics of experiments: error rates, power, widths and values by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from nearline.evaluation.experiments import (
    ArmSums,
    arm_sums,
    compare_arms,
    compare_interleaved,
    compare_segments,
    minimum_effect,
    mixture_radius,
    power,
    required_users,
    sample_ratio,
    sequential_p,
)

LOOKS = 30


def looks(rates: tuple[float, float], n: int, runs: int, seed: int) -> np.ndarray:
    """Sums of clicks at each look: [runs, 2, LOOKS], for n users in each arm."""
    rng = np.random.default_rng(seed)
    step = n // LOOKS
    draws = [rng.binomial(step, rate, (runs, LOOKS)) for rate in rates]
    return np.stack([draw.cumsum(axis=1) for draw in draws], axis=1)


def found_at_some_look(sums: np.ndarray, n: int) -> np.ndarray:
    step = n // LOOKS
    found = []
    for run in sums:
        arms = [
            [ArmSums(step * (at + 1), y, y) for at, y in enumerate(arm.tolist())] for arm in run
        ]
        found.append(
            any(compare_arms(a, b, planned=2 * n).significant for a, b in zip(*arms, strict=True))
        )
    return np.array(found)


def test_equal_variants_rarely_alarm_at_any_look_and_unequal_ones_are_found() -> None:
    equal = found_at_some_look(looks((0.1, 0.1), 6_000, 400, 0), 6_000)
    assert equal.mean() <= 0.07  # 5 % at most; 400 runs
    unequal = found_at_some_look(looks((0.1, 0.12), 6_000, 200, 1), 6_000)
    assert unequal.mean() >= 0.65


def test_radius_is_narrowest_at_the_planned_number_and_p_agrees_with_it() -> None:
    # Relative to the interval that a fixed number would need, the planned one is best.
    radii = {n: mixture_radius(n, n) for n in (100, 10_000)}
    assert radii[100] == pytest.approx(radii[10_000])
    for planned in (100.0, 200.0, 800.0, 3200.0):
        assert mixture_radius(1_000, planned) >= mixture_radius(1_000, 1_000) - 1e-3
    for n in (10, 1_000, 90_000):
        assert sequential_p(mixture_radius(n, 1_000), n, 1_000) == pytest.approx(0.05)
    assert mixture_radius(0, 10) == math.inf
    assert sequential_p(5.0, 0, 10) == 1.0
    with pytest.raises(ValueError, match="planned is 0"):
        mixture_radius(1, 0)
    with pytest.raises(ValueError, match="alpha is 1"):
        mixture_radius(1, 1, 1.0)


def test_sums_give_numpy_means_and_variances_and_add_up() -> None:
    rng = np.random.default_rng(0)
    y, x = rng.normal(3, 2, 500), rng.normal(1, 1, 500)
    sums = arm_sums(y[:200], x[:200]).plus(arm_sums(y[200:], x[200:]))
    assert sums.mean() == pytest.approx(y.mean())
    assert sums.variance() == pytest.approx(y.var(ddof=1))
    assert sums.variance(0.7) == pytest.approx((y - 0.7 * x).var(ddof=1))
    with pytest.raises(ValueError, match="finite"):
        arm_sums([1.0, float("inf")])
    with pytest.raises(ValueError, match="one per user"):
        arm_sums([1.0], [1.0, 2.0])


def test_covariate_narrows_the_interval_and_moves_the_truth_nowhere() -> None:
    rng = np.random.default_rng(1)
    before = rng.normal(size=40_000)
    after = 0.7 * before + math.sqrt(1 - 0.49) * rng.normal(size=40_000)
    half = np.arange(40_000) % 2 == 0
    plain = compare_arms(arm_sums(after[half]), arm_sums(after[~half] + 0.1))
    found = compare_arms(
        arm_sums(after[half], before[half]), arm_sums(after[~half] + 0.1, before[~half])
    )
    ratio = (found.high - found.low) / (plain.high - plain.low)
    assert ratio == pytest.approx(0.714, abs=0.02)
    assert found.width_ratio == pytest.approx(ratio)
    assert found.low < 0.1 < found.high
    assert found.significant
    assert found.p < 0.01


def test_few_or_constant_users_are_never_significant() -> None:
    few = compare_arms(ArmSums(49, 0.0, 0.0), ArmSums(1000, 900.0, 900.0))
    assert (few.high, few.p, few.significant) == (math.inf, 1.0, False)
    none = compare_arms(ArmSums(), ArmSums())
    assert (none.difference, none.significant) == (0.0, False)
    same = compare_arms(ArmSums(100, 100.0, 100.0), ArmSums(100, 100.0, 100.0))
    assert (same.difference, same.significant) == (0.0, False)


def test_segments_are_compared_with_a_shared_error() -> None:
    arms = ArmSums(2_000, 200.0, 200.0), ArmSums(2_000, 250.0, 250.0)
    alone = compare_arms(*arms)
    shared = compare_segments({"new": arms, "old": arms})["new"]
    assert shared.high - shared.low > alone.high - alone.low
    assert compare_segments({}) == {}


def test_sample_ratio_agrees_with_scipy_and_finds_what_it_should() -> None:
    for counts, weights in ([(480, 520), (1, 1)], [(100, 220, 310), (1, 2, 3)]):
        expected = np.array(weights) / sum(weights) * sum(counts)
        p = stats.chisquare(counts, expected).pvalue
        assert sample_ratio(counts, weights).p == pytest.approx(p)
    rng = np.random.default_rng(2)
    right = rng.binomial(20_000, 0.5, 1_000)
    wrong = rng.binomial(20_000, 0.52, 1_000)
    alarms = [not sample_ratio([n, 20_000 - n], [0.5, 0.5]).sound for n in right]
    found = [not sample_ratio([n, 20_000 - n], [0.5, 0.5]).sound for n in wrong]
    assert np.mean(alarms) <= 0.005
    assert np.mean(found) >= 0.97
    assert sample_ratio([0, 0], [1, 1]).sound
    with pytest.raises(ValueError, match="at least two"):
        sample_ratio([1], [1])
    with pytest.raises(ValueError, match="positive"):
        sample_ratio([1, 2], [1, 0])


def test_power_calculator_agrees_with_the_textbook_and_with_itself() -> None:
    deviation = math.sqrt(0.1 * 0.9)
    # Two-sample z-test: 16 sd^2 / d^2 users for 80 % (Lehr's rule of thumb).
    n = required_users(0.02, deviation, sequential=False)
    assert n == pytest.approx(16 * 0.09 / 0.0004, rel=0.03)
    assert power(n, 0.02, deviation, sequential=False) == pytest.approx(0.8, abs=0.001)
    sequential = required_users(0.02, deviation)
    assert power(sequential, 0.02, deviation) == pytest.approx(0.8, abs=0.001)
    assert sequential > n
    assert minimum_effect(sequential, deviation) == pytest.approx(0.02, rel=1e-3)
    for call, words in (
        (lambda: power(10, 0.0, 1.0), "effect is 0"),
        (lambda: required_users(1.0, 0.0), "deviation is 0"),
        (lambda: required_users(1.0, 1.0, power=1.0), "power is 1"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


def test_interleaving_finds_the_preferred_ranker() -> None:
    signs = np.array([1.0] * 300 + [-1.0] * 200 + [0.0] * 500)
    found = compare_interleaved(arm_sums(signs))
    assert found.difference == pytest.approx(0.1)
    assert found.significant
    assert not compare_interleaved(arm_sums(-signs[:40])).significant
    assert not compare_interleaved(ArmSums()).significant
