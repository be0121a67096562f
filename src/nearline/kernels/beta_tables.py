"""Draws of many Beta posteriors from tables of quantiles, which are computed once and kept.

A draw of a Beta distribution takes some 50 ns, so those of a list of 200 candidates take longer
than all else that makes the list. A draw of one of `QUANTILES` equally likely quantiles takes a
few. The distribution function of these is nowhere further than 0.002 from that of the posterior.
"""

import math
from threading import Lock

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.arrays import grown
from nearline.kernels.splitmix import next_state, other_state, random_bits

Doubles = NDArray[np.float64]
Longs = NDArray[np.int64]
Table = NDArray[np.float32]

QUANTILES = 512
# Points of the integral of a density, between those at which it is exp(-20) of its largest value.
_POINTS, _DEPTH = 512, 20.0
# Rows of a table that grows beyond this number are forgotten: some 40 MB.
MOST_ROWS = 20_000


class BetaTables:
    """Tables of Beta distributions that belong to slots, such as the numbers of items.

    Safe for use by several threads. Equal parameters give equal draws on every machine.

    Attributes
    ----------
    alpha, beta : float64 [n]
        Parameters by slot, positive.
    """

    def __init__(self, alpha: Doubles, beta: Doubles) -> None:
        self._lock = Lock()
        self.alpha, self.beta = alpha, beta
        self._table: Table = np.empty((0, QUANTILES), dtype=np.float32)
        self._row_of = np.full(len(alpha), -1, dtype=np.int64)
        self._used = 0

    def draw(self, slots: Longs, factors: Doubles, m: int, seed: int) -> Doubles:
        """Return m samples of some distributions, multiplied by factors: float64 [m, n].

        Parameters
        ----------
        slots : int64 [n]
            Slots of the distributions.
        factors : float64 [n]
            Factor of each distribution's samples.
        m : int
            Number of samples.
        seed : int
            Seed of the draws, from 0 to 2^64 - 1. They don't depend on the places that the same
            seed draws in `nearline.kernels.exploration`.
        """
        with self._lock:  # rows are never changed once they are written, so drawing needs no lock
            rows = self._row_of[slots]
            if rows.min(initial=0) < 0:
                rows = self._compute(slots)
            table = self._table
        return np.asarray(_drawn(table, rows, factors, m, np.uint64(seed)))

    def _compute(self, slots: Longs) -> Longs:
        if self._used + len(slots) > MOST_ROWS:
            self._row_of[:] = -1
            self._table, self._used = self._table[:0].copy(), 0
        missing = np.unique(slots[self._row_of[slots] < 0])
        begin, end = self._used, self._used + len(missing)
        self._table = grown(self._table, end)
        _fill(self.alpha[missing], self.beta[missing], self._table[begin:end])
        self._row_of[missing] = np.arange(begin, end)
        self._used = end
        return np.asarray(self._row_of[slots])


def beta_quantiles(alpha: Doubles, beta: Doubles) -> Table:
    """Return the quantiles at (i + 1/2) / QUANTILES of n Beta distributions.

    Parameters
    ----------
    alpha, beta : float64 [n]
        Parameters, positive.

    Returns
    -------
    float32 [n, QUANTILES]
    """
    found = np.empty((len(alpha), QUANTILES), dtype=np.float32)
    _fill(alpha, beta, found)
    return found


@njit(nogil=True, cache=True)
def _log_density(alpha: float, beta: float, y: float) -> float:
    """Return the logarithm of the density of the logit y of the variable, up to a constant.

    Unlike that of the variable itself, it is bounded and log-concave for all parameters.
    """
    return alpha * y - (alpha + beta) * (max(y, 0.0) + math.log1p(math.exp(-abs(y))))


@njit(nogil=True, cache=True)
def _edge(alpha: float, beta: float, mode: float, step: float) -> float:
    """Return a point on the side of `step` at which the density is exp(-20) of the largest."""
    least = _log_density(alpha, beta, mode) - _DEPTH
    while _log_density(alpha, beta, mode + step) > least:
        step *= 2.0
    inner, outer = 0.0, step
    for _ in range(12):
        middle = (inner + outer) / 2.0
        if _log_density(alpha, beta, mode + middle) > least:
            inner = middle
        else:
            outer = middle
    return mode + outer


@njit(nogil=True, cache=True)
def _fill(alphas: Doubles, betas: Doubles, out: Table) -> None:
    below = np.empty(_POINTS + 1)
    for at in range(len(alphas)):
        alpha, beta = alphas[at], betas[at]
        mode = math.log(alpha / beta)
        deviation = math.sqrt(1.0 / alpha + 1.0 / beta)
        low = _edge(alpha, beta, mode, -deviation)
        width = (_edge(alpha, beta, mode, deviation) - low) / _POINTS
        largest = _log_density(alpha, beta, mode)
        total, before = 0.0, math.exp(_log_density(alpha, beta, low) - largest)
        below[0] = 0.0
        for point in range(1, _POINTS + 1):
            here = math.exp(_log_density(alpha, beta, low + point * width) - largest)
            total += (before + here) / 2.0
            below[point] = total
            before = here
        point = 1
        for number in range(QUANTILES):
            wanted = (number + 0.5) / QUANTILES * total
            while below[point] < wanted:
                point += 1
            share = (wanted - below[point - 1]) / (below[point] - below[point - 1])
            logit = low + (point - 1 + share) * width
            out[at, number] = 1.0 / (1.0 + math.exp(-logit))


@njit(nogil=True, cache=True)
def _drawn(table: Table, rows: Longs, factors: Doubles, m: int, seed: np.uint64) -> Doubles:
    """Draw from rows of a table, four draws for each number of the generator."""
    found = np.empty((m, len(rows)))
    state, bits, left = other_state(seed), np.uint64(0), 0
    for at in range(len(rows)):
        row, factor = table[rows[at]], factors[at]
        for sample in range(m):
            if not left:
                state = next_state(state)
                bits, left = random_bits(state), 4
            found[sample, at] = factor * row[bits & np.uint64(QUANTILES - 1)]
            bits >>= np.uint64(16)
            left -= 1
    return found
