"""Distribution functions: values by hand, and SciPy."""

import math

import numpy as np
import pytest
from scipy import special, stats

from nearline.kernels.distributions import beta_cdf, chi_square_tail, student_quantile


def test_beta_by_hand() -> None:
    # Beta(1, 1) is uniform, Beta(2, 1) has x squared, Beta(1/2, 1/2) the arcsine law.
    assert beta_cdf(1.0, 1.0, [0.0, 0.3, 1.0]).tolist() == pytest.approx([0.0, 0.3, 1.0], abs=1e-15)
    assert beta_cdf(2.0, 1.0, 0.3) == pytest.approx(0.09, abs=1e-15)
    assert beta_cdf(0.5, 0.5, 0.25) == pytest.approx(2 / math.pi * math.asin(0.5), abs=1e-14)
    assert beta_cdf(3.0, 4.0, [-1.0, 2.0]).tolist() == [0.0, 1.0]
    assert np.isnan(beta_cdf(3.0, 4.0, np.nan))


@pytest.mark.parametrize(("largest", "error"), [(3, 1e-13), (1e3, 1e-11), (1e6, 1e-8)])
def test_beta_equals_scipy(largest: float, error: float) -> None:
    rng = np.random.default_rng(0)
    a, b = np.exp(rng.uniform(np.log(0.01), np.log(largest), (2, 2000)))
    mean = a / (a + b)
    deviation = np.sqrt(mean * (1 - mean) / (a + b + 1))
    for x in (rng.uniform(0, 1, 2000), (mean + deviation * rng.normal(size=2000)).clip(0, 1)):
        np.testing.assert_allclose(beta_cdf(a, b, x), special.betainc(a, b, x), rtol=0, atol=error)


def test_beta_broadcasts() -> None:
    found = beta_cdf(np.array([[1.0], [2.0]]), 1.0, np.array([0.5, 0.25, 0.1]))
    assert found == pytest.approx(np.array([[0.5, 0.25, 0.1], [0.25, 0.0625, 0.01]]))


@pytest.mark.parametrize("freedom", [1, 2, 3, 10.5, 99, 1e4, 1e6])
@pytest.mark.parametrize("p", [1e-9, 0.001, 0.3, 0.5, 0.9, 0.975, 1 - 1e-6])
def test_student_quantile_equals_scipy(freedom: float, p: float) -> None:
    found = student_quantile(freedom, p)
    assert found == pytest.approx(float(special.stdtrit(freedom, p)), rel=1e-7, abs=1e-12)


def test_student_quantile_by_hand() -> None:
    # Student's distribution with one degree of freedom is Cauchy's.
    assert student_quantile(1, 0.75) == pytest.approx(1.0, rel=1e-12)
    for freedom, p in ((0, 0.5), (1, 0.0), (1, 1.0), (math.nan, 0.5)):
        with pytest.raises(ValueError, match="must be"):
            student_quantile(freedom, p)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 9, 10, 101])
@pytest.mark.parametrize("statistic", [0.0, 1e-9, 0.5, 3.84, 20.0, 150.0, 2000.0])
def test_chi_square_tail_equals_scipy(freedom: int, statistic: float) -> None:
    wanted = float(stats.chi2.sf(statistic, freedom))
    assert chi_square_tail(freedom, statistic) == pytest.approx(wanted, rel=1e-11, abs=1e-300)
