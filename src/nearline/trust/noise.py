"""Noise of differential privacy, drawn exactly.

Samples of floating-point numbers have gaps that can give away the value below the noise (Mironov,
"On significance of the least significant bits for differential privacy", CCS 2012). So the noise is
the *discrete Laplace distribution*, drawn with integers alone by the algorithm of Canonne, Kamath
and Steinke, "The discrete Gaussian for differential privacy", NeurIPS 2020, from the random
generator of the operating system.
"""

from collections.abc import Callable
from fractions import Fraction
from secrets import randbelow

Below = Callable[[int], int]


def discrete_laplace(scale: Fraction, below: Below = randbelow) -> int:
    """Return a sample x, with a probability proportional to exp(-abs(x) / scale).

    Added to a count that a person changes by at most d, a `scale` of d / epsilon makes the sum
    epsilon-differentially private.

    Parameters
    ----------
    scale : Fraction
        Larger than 0.
    below : callable
        Returns a uniform integer from 0 up to, without, a positive one.
    """
    t, s = scale.numerator, scale.denominator
    while True:
        rest = below(t)
        if not _happens(rest, t, below):
            continue
        whole = 0
        while _happens(1, 1, below):
            whole += 1
        size = (rest + t * whole) // s
        negative = below(2)
        if size or not negative:  # there is one zero only
            return -size if negative else size


def _happens(numerator: int, denominator: int, below: Below) -> bool:
    """Return true with the probability exp(-numerator / denominator), of a share up to 1."""
    tries = 1
    while below(denominator * tries) < numerator:
        tries += 1
    return tries % 2 == 1
