"""Estimators of off-policy evaluation: values by hand, unbiasedness, intervals and SLOPE."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nearline.evaluation.off_policy.estimators import (
    ESTIMATORS,
    Rounds,
    effective_sample_size,
    estimate,
    row_values,
    shrunk_values,
    slope,
    switch_values,
)

# Two rows: weights 2 and 0.5, rewards 1 and 0, predictions 0.5 and 0.2, expectations 0.4 and 0.3.
HAND = Rounds(
    np.array([1.0, 0.0]), np.array([2.0, 0.5]), np.array([0.5, 0.2]), np.array([0.4, 0.3])
)


@pytest.mark.parametrize(
    ("name", "threshold", "value"),
    [
        ("ips", None, (2.0 + 0.0) / 2),
        ("snips", None, 2.0 / 2.5),
        ("dm", None, 0.35),
        ("dr", None, 0.35 + (2.0 * 0.5 - 0.5 * 0.2) / 2),
        ("sndr", None, 0.35 + (2.0 * 0.5 - 0.5 * 0.2) / 2.5),
        ("switch-dr", 1.0, 0.35 - 0.5 * 0.2 / 2),
        ("switch-dr", None, 0.35 + (2.0 * 0.5 - 0.5 * 0.2) / 2),
        ("dros", 4.0, 0.35 + (4 * 2.0 / 8 * 0.5 - 4 * 0.5 / 4.25 * 0.2) / 2),
        ("dros", 0.0, 0.35),
    ],
)
def test_values_by_hand(name: str, threshold: float | None, value: float) -> None:
    assert row_values(name, HAND, threshold).mean() == pytest.approx(value)


def simulated(seed: int, n: int = 400) -> tuple[Rounds, float]:
    """A log of three items with known propensities, a wrong model, and the target's true value."""
    rng = np.random.default_rng(seed)
    logging, target = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.3, 0.6])
    rate, model = np.array([0.2, 0.4, 0.7]), np.array([0.4, 0.4, 0.4])
    item = rng.choice(3, n, p=logging)
    reward = (rng.random(n) < rate[item]).astype(float)
    expected = np.full(n, float(target @ model))
    weight = target[item] / logging[item]
    return Rounds(reward, weight, model[item], expected), float(target @ rate)


def test_weighting_estimators_are_right_on_average_and_their_intervals_cover() -> None:
    covered = dict.fromkeys(ESTIMATORS, 0)
    values: dict[str, list[float]] = {name: [] for name in ESTIMATORS}
    for seed in range(300):
        rounds, truth = simulated(seed)
        for one in estimate(rounds):
            values[one.name].append(one.value)
            covered[one.name] += one.low <= truth <= one.high
    for name in ("ips", "snips", "dr", "sndr"):
        error = np.std(values[name]) / math.sqrt(300)
        assert abs(np.mean(values[name]) - truth) < 4 * error
        assert 0.91 <= covered[name] / 300 <= 0.985
    assert covered["dm"] == 0  # the model is wrong, and its interval does not know


def test_clusters_of_copies_leave_the_interval_of_one_copy() -> None:
    rounds, _ = simulated(0)
    reward, weight, predicted, expected = (
        np.repeat(column, 3) for column in (*rounds[:2], *rounds.model())
    )
    copied = Rounds(reward, weight, predicted, expected, np.repeat(np.arange(400), 3))
    for one, three in zip(estimate(rounds), estimate(copied), strict=True):
        assert three.value == pytest.approx(one.value)
        assert three.high == pytest.approx(one.high, rel=0.01)


@given(arrays(np.float64, st.integers(1, 30), elements=st.floats(0, 1e6, allow_subnormal=False)))
def test_effective_sample_size_lies_between_nothing_and_all(weight: np.ndarray) -> None:
    size = effective_sample_size(weight)
    assert 0.0 <= size <= len(weight) * (1 + 1e-9)
    if weight.any():
        assert effective_sample_size(weight * 3.0) == pytest.approx(size)


def test_effective_sample_size_of_equal_and_of_single_weights() -> None:
    assert effective_sample_size(np.full(7, 0.3)) == pytest.approx(7.0)
    assert effective_sample_size(np.array([0.0, 5.0, 0.0])) == pytest.approx(1.0)
    assert effective_sample_size(np.zeros(3)) == 0.0


def naive_slope(means: list[float], widths: list[float]) -> int:
    """The rule in the words of its paper: intersect intervals, widest first."""
    order = sorted(range(len(means)), key=lambda at: -widths[at])
    chosen = order[0]
    for at, one in enumerate(order):
        for other in order[:at]:
            limit = widths[one] + (math.sqrt(6) - 1) * widths[other]
            if abs(means[one] - means[other]) > limit:
                return chosen
        chosen = one
    return chosen


@pytest.mark.parametrize("values", [switch_values, shrunk_values])
def test_slope_chooses_as_its_paper_says(values: object) -> None:
    from scipy import stats

    rounds, _ = simulated(5, n=50)
    thresholds = [0.1, 0.5, 1.0, 2.0, 10.0, math.inf]
    columns = [values(rounds, threshold) for threshold in thresholds]  # type: ignore[operator]
    widths = [
        stats.t(49).ppf(0.9) * column.std(ddof=1) / math.sqrt(50) - 1e-15 * at
        for at, column in enumerate(reversed(columns))
    ][::-1]
    means = [float(column.mean()) for column in columns]
    found = slope(rounds, values, thresholds)  # type: ignore[arg-type]
    expected = naive_slope(means, widths)
    assert means[thresholds.index(found)] == pytest.approx(means[expected])


def test_without_a_model_only_weighting_is_possible() -> None:
    names = [one.name for one in estimate(Rounds(HAND.reward, HAND.weight))]
    assert names == ["ips", "snips"]
    with pytest.raises(ValueError, match="needs a model"):
        row_values("dr", Rounds(HAND.reward, HAND.weight))


@pytest.mark.parametrize(
    ("rounds", "words"),
    [
        (Rounds(np.ones(1), np.ones(1)), "at least two"),
        (Rounds(np.ones(2), np.ones(2), predicted=np.ones(2)), "both"),
        (Rounds(np.ones(2), np.ones(3)), "weight must have"),
        (Rounds(np.array([1.0, np.nan]), np.ones(2)), "reward must have"),
        (Rounds(np.ones(2), np.array([1.0, -1.0])), "at least 0"),
    ],
)
def test_columns_that_cannot_be_evaluated_are_refused(rounds: Rounds, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        estimate(rounds)
