"""Posteriors of Thompson sampling, against closed forms and frequencies."""

import numpy as np
import pytest

from nearline.kernels.posteriors import LinearPosterior, best_arm_probabilities, beta_samples


def test_beta_samples_have_the_moments_of_the_posterior() -> None:
    samples = beta_samples(
        np.array([0.0, 30.0]), np.array([0.0, 70.0]), 20_000, np.random.default_rng(0)
    )
    assert samples.shape == (20_000, 2)
    assert samples.mean(axis=0) == pytest.approx([0.5, 31 / 102], abs=0.01)
    assert samples[:, 0].var() == pytest.approx(1 / 12, rel=0.05)


def test_probability_to_be_best_of_two_equal_arms_is_a_half() -> None:
    assert best_arm_probabilities(np.full(2, 9.0), np.full(2, 91.0)) == pytest.approx([0.5, 0.5])


def test_probability_to_be_best_agrees_with_draws() -> None:
    successes, failures = np.array([3.0, 40.0, 500.0]), np.array([20.0, 360.0, 4700.0])
    exact = best_arm_probabilities(successes, failures)
    samples = beta_samples(successes, failures, 100_000, np.random.default_rng(1))
    share = np.bincount(samples.argmax(axis=1), minlength=3) / 100_000
    assert exact.sum() == pytest.approx(1.0)
    assert exact == pytest.approx(share, abs=0.006)


def test_linear_posterior_is_a_ridge_regression_with_its_covariance() -> None:
    rng = np.random.default_rng(2)
    features, weights = rng.normal(size=(200, 3)), np.array([1.0, -2.0, 0.5])
    rewards = features @ weights + rng.normal(size=200)
    posterior = LinearPosterior(3, prior=2.0)
    posterior.update(features[:50], rewards[:50])
    posterior.update(features[50:], rewards[50:])
    precision = features.T @ features + 2.0 * np.eye(3)
    assert posterior.mean == pytest.approx(np.linalg.solve(precision, features.T @ rewards))
    samples = posterior.samples(40_000, rng, scale=0.5)
    assert np.cov(samples.T) == pytest.approx(0.25 * np.linalg.inv(precision), abs=1e-4)
    posterior.decay(0.0)
    assert posterior.precision == pytest.approx(2.0 * np.eye(3))


def test_wrong_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        best_arm_probabilities(np.array([-1.0]), np.array([1.0]))
    with pytest.raises(ValueError, match="same length"):
        beta_samples(np.ones(2), np.ones(3), 1, np.random.default_rng(0))
    with pytest.raises(ValueError, match="positive"):
        LinearPosterior(2, prior=0.0)
