"""The bootstrap: exact cases, agreement with theory, seeds."""

import numpy as np
import pytest

from nearline.errors import InvalidInput
from nearline.evaluation.bootstrap import (
    mean_intervals,
    paired_differences,
    resampled_means,
)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_no_spread_no_interval() -> None:
    got = mean_intervals({"ndcg": np.full(10, 0.25)}, generator())
    assert got["ndcg"] == pytest.approx((0.25, 0.25))


def test_interval_of_a_binary_metric_is_that_of_the_normal_approximation() -> None:
    values = np.repeat([1.0, 0.0], [300, 700])
    low, high = mean_intervals({"hit": values}, generator(), resamples=4000)["hit"]
    half = 1.96 * np.sqrt(0.3 * 0.7 / 1000)
    assert (low, high) == pytest.approx((0.3 - half, 0.3 + half), abs=0.003)


def test_higher_level_is_wider() -> None:
    values = {"x": generator(1).random(50)}
    narrow = mean_intervals(values, generator(), level=0.5)["x"]
    wide = mean_intervals(values, generator(), level=0.99)["x"]
    assert wide.low < narrow.low < narrow.high < wide.high


def test_same_seed_same_interval_other_seed_other_interval() -> None:
    values = {"x": generator(1).random(40)}
    assert mean_intervals(values, generator(5)) == mean_intervals(values, generator(5))
    assert mean_intervals(values, generator(5)) != mean_intervals(values, generator(6))


def test_metrics_share_their_draws() -> None:
    values = generator(1).random(40)
    got = mean_intervals({"x": values, "half": values / 2}, generator())
    assert got["half"] == pytest.approx((got["x"].low / 2, got["x"].high / 2))


def test_blocks_do_not_change_the_result() -> None:
    columns = generator(1).random((7, 2))
    whole = resampled_means(columns, generator(3), resamples=11)
    for entries in (1, 7, 20, 21, 1000):
        parts = resampled_means(columns, generator(3), resamples=11, block_entries=entries)
        assert parts == pytest.approx(whole)


def test_paired_difference_sees_what_separate_intervals_do_not() -> None:
    # Users differ far more than the systems do; the second is better for each by 0.01 or 0.03.
    first = generator(1).random(200)
    second = first + np.where(np.arange(200) % 2, 0.01, 0.03)
    got = paired_differences({"x": first, "y": first}, {"x": second}, generator())
    assert list(got) == ["x"]
    assert got["x"].mean == pytest.approx(-0.02)
    assert -0.03 < got["x"].low < got["x"].high < -0.01


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "at least one metric"),
        ({"x": np.empty(0)}, "at least one metric"),
        ({"x": np.ones(2), "y": np.ones(3)}, "the same users"),
        ({"x": np.array([1.0, np.nan])}, "x is not finite"),
    ],
)
def test_values_refused(values: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        mean_intervals(values, generator())


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_level_refused(level: float) -> None:
    with pytest.raises(InvalidInput, match="between 0 and 1"):
        mean_intervals({"x": np.ones(3)}, generator(), level=level)


def test_no_resample_refused() -> None:
    with pytest.raises(InvalidInput, match="resamples is 0"):
        mean_intervals({"x": np.ones(3)}, generator(), resamples=0)


def test_pairs_of_different_length_refused() -> None:
    with pytest.raises(InvalidInput, match="x has 2 and 3 users"):
        paired_differences({"x": np.ones(2)}, {"x": np.ones(3)}, generator())
