"""Lists that explore: distributions of the draws, propensities, bounds and determinism."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nearline.kernels.exploration import (
    Draw,
    epsilon_list,
    sampled_distribution,
    sampled_list,
    softmax_distribution,
    softmax_list,
)

# The generator of random numbers overflows on purpose; NumPy warns only if the JIT is disabled.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered")

SCORES = np.array([0.3, 2.0, -1.0, 0.3, 1.1, 0.0])
SAMPLES = np.random.default_rng(3).normal(SCORES, 1.0, (16, 6))


def draw(policy: str, k: int, seed: int, keep_top: int = 0) -> Draw:
    if policy == "softmax":
        return softmax_list(SCORES, k, temperature=0.8, keep_top=keep_top, seed=seed)
    if policy == "softmax, shares":
        shares = {"floor": 0.2, "new": 0.25, "n_new": 2, "keep_top": keep_top}
        return softmax_list(SCORES, k, temperature=0.8, seed=seed, **shares)  # type: ignore[arg-type]
    if policy == "sampled, shares":
        shares = {"floor": 0.2, "new": 0.25, "n_new": 2, "keep_top": keep_top}
        return sampled_list(SCORES, SAMPLES, k, seed=seed, **shares)  # type: ignore[arg-type]
    if policy == "epsilon":
        return epsilon_list(SCORES, k, epsilon=0.3, keep_top=keep_top, seed=seed)
    return sampled_list(SCORES, SAMPLES, k, floor=0.1, keep_top=keep_top, seed=seed)


def distribution(policy: str, taken: NDArray[np.int64], floor: float = 0.1) -> NDArray[np.float64]:
    if policy == "softmax":
        return softmax_distribution(SCORES, taken, temperature=0.8)
    if policy.endswith("shares"):  # the last two are new
        rest = distribution(policy.split(",")[0], taken, floor=0.0)
        left = np.isin(np.arange(6), taken, invert=True).astype(np.float64)
        new = left * (np.arange(6) >= 4)
        share = 0.25 if new.any() else 0.0
        mixed = (1 - share) * rest + share * new / max(new.sum(), 1.0)
        return np.asarray(0.8 * mixed + 0.2 * left / left.sum())
    if policy == "epsilon":
        return sampled_distribution(SCORES[None], taken, floor=0.3)
    return sampled_distribution(SAMPLES, taken, floor=floor)


POLICIES = ("softmax", "epsilon", "sampled", "softmax, shares", "sampled, shares")


@pytest.mark.parametrize("policy", POLICIES)
@settings(deadline=None)  # The first call compiles.
@given(seed=st.integers(0, 2**64 - 1), k=st.integers(1, 9), keep_top=st.integers(0, 4))
def test_propensities_are_those_of_the_distribution_given_the_lines_above(
    policy: str, seed: int, k: int, keep_top: int
) -> None:
    found = draw(policy, k, seed, keep_top)
    assert len(found.order) == min(k, 6) == len(set(found.order.tolist()))
    for position, item in enumerate(found.order):
        taken = found.order[:position]
        left = [index for index in range(6) if index not in taken]
        best = max(left, key=lambda index: (SCORES[index], -index))
        if position < keep_top:
            assert (item, found.propensity[position]) == (best, 1.0)
            assert not found.explored[position]
            continue
        expected = distribution(policy, taken)
        assert expected.sum() == pytest.approx(1.0)
        assert not expected[taken].any()
        assert found.propensity[position] == pytest.approx(expected[item], rel=1e-9)
        assert found.explored[position] == (item != best)


@pytest.mark.parametrize("policy", POLICIES)
def test_first_and_second_choices_have_their_frequencies(policy: str) -> None:
    draws = 20_000
    counts = np.zeros((6, 6))
    for seed in range(draws):
        first, second = draw(policy, 2, seed).order
        counts[first, second] += 1
    none = np.empty(0, dtype=np.int64)
    first_expected = distribution(policy, none)
    # Four standard errors.
    assert np.abs(counts.sum(axis=1) / draws - first_expected).max() < 4 * 0.5 / np.sqrt(draws)
    pairs = np.array([first_expected[a] * distribution(policy, np.array([a])) for a in range(6)])
    assert np.abs(counts / draws - pairs).max() < 4 * 0.5 / np.sqrt(draws)


def test_a_list_holds_still_for_a_seed_and_epsilon_zero_is_the_ranking() -> None:
    for policy in POLICIES:
        one, two = draw(policy, 6, 12), draw(policy, 6, 12)
        assert all((a == b).all() for a, b in zip(one, two, strict=True))
    ranked = epsilon_list(SCORES, 6, epsilon=0.0, seed=1)
    assert ranked.order.tolist() == [1, 4, 0, 3, 5, 2]
    assert (ranked.propensity == 1.0).all()
    assert not ranked.explored.any()


def test_a_low_temperature_stays_exact_after_the_weights_vanish() -> None:
    scores = np.array([0.0, 5_000.0, 4_999.0, 1.0])
    found = softmax_list(scores, 4, temperature=1.0, seed=5)
    assert np.isfinite(found.propensity).all()
    assert found.propensity[3] == 1.0
    assert found.propensity[2] in (
        pytest.approx(1 / (1 + np.exp(-1.0))),
        pytest.approx(1 / (1 + np.exp(1.0))),
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: softmax_list(SCORES, 3, temperature=0.0, seed=0), "temperature is 0.0"),
        (lambda: softmax_list(SCORES, 0, temperature=1.0, seed=0), "k is 0"),
        (lambda: softmax_list(SCORES * np.nan, 1, temperature=1.0, seed=0), "finite"),
        (lambda: epsilon_list(SCORES, 3, epsilon=1.5, seed=0), "epsilon is 1.5"),
        (lambda: epsilon_list(SCORES, 3, epsilon=0.5, keep_top=-1, seed=0), "keep_top is -1"),
        (lambda: sampled_list(SCORES, SAMPLES[:, :3], 3, seed=0), "samples have shape"),
        (lambda: sampled_list(SCORES, SAMPLES, 3, floor=-0.1, seed=0), "floor is -0.1"),
    ],
)
def test_options_out_of_range_are_refused(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]
