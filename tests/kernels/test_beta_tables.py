"""Draws of Beta posteriors from tables, against distribution functions."""

import numpy as np
import pytest

from nearline.kernels import beta_tables
from nearline.kernels.beta_tables import QUANTILES, BetaTables, beta_quantiles
from nearline.kernels.distributions import beta_cdf
from nearline.kernels.exploration import sampled_list
from nearline.kernels.splitmix import random_rows

# The generator of random numbers overflows on purpose; NumPy warns only if the JIT is disabled.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered")

ALPHA = np.array([1.0, 0.3, 0.3, 2.3, 40.3, 2_000.3, 30.0])
BETA = np.array([1.0, 5.7, 3_000.0, 5.7, 900.0, 50_000.0, 2.5])
MIDDLES = (np.arange(QUANTILES) + 0.5) / QUANTILES


def test_quantiles_are_those_of_the_distribution() -> None:
    found = beta_quantiles(ALPHA, BETA)
    assert found.shape == (len(ALPHA), QUANTILES)
    assert found[0] == pytest.approx(MIDDLES, abs=2e-4)  # uniform
    for quantiles, alpha, beta in zip(found.astype(np.float64), ALPHA, BETA, strict=True):
        assert (np.diff(quantiles) >= 0).all()
        assert beta_cdf(alpha, beta, quantiles) == pytest.approx(MIDDLES, abs=5e-4)


def test_draws_are_quantiles_drawn_uniformly_and_independently() -> None:
    tables = BetaTables(ALPHA, BETA)
    slots, factors = np.array([3, 0, 4, 3]), np.array([1.0, 1.0, 10.0, 0.0])
    found = tables.draw(slots, factors, 40_000, 7)
    assert (found == tables.draw(slots, factors, 40_000, 7)).all()
    assert (found != tables.draw(slots, factors, 40_000, 8)).any()
    assert set(np.unique(found[:, 0])) == set(beta_quantiles(ALPHA[3:4], BETA[3:4])[0].tolist())
    assert not found[:, 3].any()
    mean = ALPHA / (ALPHA + BETA)
    variance = mean * (1 - mean) / (ALPHA + BETA + 1)
    expected = mean[slots[:3]] * factors[:3]
    error = 4 * np.sqrt(variance[slots[:3]] / 40_000) * factors[:3]
    assert (np.abs(found[:, :3].mean(axis=0) - expected) < error).all()
    assert np.abs(np.corrcoef(found[:, :3].T) - np.eye(3)).max() < 0.03
    # Rows of samples must not follow each other either.
    assert abs(np.corrcoef(found[1:, 1], found[:-1, 1])[0, 1]) < 0.03


def test_a_full_table_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beta_tables, "MOST_ROWS", 4)
    few, all_ = BetaTables(ALPHA, BETA), BetaTables(ALPHA, BETA)
    for slots in ([0, 1], [1, 2, 3], [4, 5, 6, 6], [0, 1, 2]):
        given = np.array(slots), np.ones(len(slots)), 5, 1
        monkeypatch.setattr(beta_tables, "MOST_ROWS", 4)
        found = few.draw(*given)
        monkeypatch.setattr(beta_tables, "MOST_ROWS", 100)
        assert (found == all_.draw(*given)).all()


def test_random_rows_are_uniform() -> None:
    found = random_rows(7, 70_000, np.uint64(5))
    counts = np.bincount(found, minlength=7)
    assert len(counts) == 7
    assert np.abs(counts - 10_000).max() < 4 * np.sqrt(70_000 / 7)
    assert (found == random_rows(7, 70_000, np.uint64(5))).all()
    assert (found != random_rows(7, 70_000, np.uint64(6))).any()


def test_samples_do_not_depend_on_the_places_that_the_same_seed_draws() -> None:
    tables, uniform = BetaTables(ALPHA, BETA), np.array([0])
    found = []
    for seed in range(2_000):
        row = sampled_list(np.zeros(50), np.eye(50), 1, seed=seed).order.item()
        sample = tables.draw(uniform, np.ones(1), 1, seed).item()
        found.append((row, random_rows(50, 1, np.uint64(seed))[0], sample))
    others = np.asarray(np.corrcoef(np.array(found, dtype=np.float64).T))[0, 1:]
    assert np.abs(others).max() < 4 / np.sqrt(2_000)
