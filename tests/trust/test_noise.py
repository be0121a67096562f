"""The noise of released statistics has exactly the distribution that the proof of privacy needs."""

import math
import random
from collections import Counter
from fractions import Fraction

import pytest

from nearline.trust.noise import discrete_laplace

SCALES = [Fraction(1), Fraction(1, 3), Fraction(3, 2), Fraction(5)]


class _NeedsMore(Exception):
    """The sampler asks for another integer below this number."""

    def __init__(self, below: int) -> None:
        self.below = below


def chance(scale: Fraction, x: int) -> float:
    """Probability of a sample, written down from the definition of the distribution."""
    ratio = math.exp(-1 / scale)
    return (1 - ratio) / (1 + ratio) * ratio ** abs(x)


def explored(scale: Fraction, least: Fraction) -> tuple[dict[int, Fraction], Fraction]:
    """Probability of each sample over all random integers, without paths rarer than `least`."""
    found: dict[int, Fraction] = {}
    left = Fraction(0)
    open_paths: list[tuple[tuple[int, ...], Fraction]] = [((), Fraction(1))]
    while open_paths:
        path, probability = open_paths.pop()
        if probability < least:
            left += probability
            continue
        rest = list(reversed(path))

        def below(n: int, rest: list[int] = rest) -> int:
            if not rest:
                raise _NeedsMore(n)
            return rest.pop()

        try:
            sample = discrete_laplace(scale, below)
        except _NeedsMore as asked:
            n = asked.below
            open_paths += [((*path, value), probability / n) for value in range(n)]
        else:
            found[sample] = found.get(sample, Fraction(0)) + probability
    return found, left


@pytest.mark.parametrize("scale", [Fraction(1), Fraction(1, 2)])
def test_probabilities_are_exact(scale: Fraction) -> None:
    found, left = explored(scale, Fraction(1, 100_000))
    assert sum(found.values()) + left == 1
    assert left < 0.15
    for x in range(-2, 3):
        assert 0 <= chance(scale, x) - found[x] <= left


@pytest.mark.parametrize("scale", SCALES)
def test_frequencies(scale: Fraction) -> None:
    n, rng = 20_000, random.Random(1)
    counts = Counter(discrete_laplace(scale, rng.randrange) for _ in range(n))
    for x in range(-12, 13):
        expected = n * chance(scale, x)
        assert abs(counts[x] - expected) <= 5 * math.sqrt(expected) + 1


def test_neighbouring_counts_are_hard_to_tell_apart() -> None:
    """The definition of privacy: no outcome is e^epsilon times as likely with a person."""
    epsilon = Fraction(1, 2)
    for outcome in range(-20, 20):
        ratio = chance(1 / epsilon, outcome - 5) / chance(1 / epsilon, outcome - 4)
        assert math.exp(-epsilon) - 1e-12 <= ratio <= math.exp(epsilon) + 1e-12


def test_the_system_is_the_source_of_randomness() -> None:
    assert len({discrete_laplace(Fraction(1_000_000)) for _ in range(50)}) > 45
