"""Posterior distributions from which Thompson sampling draws.

- `beta_samples`: rates of success of arms, each with a Beta posterior;
- `LinearPosterior`: weights of a linear model of the reward (Agrawal and Goyal, ICML 2013).
"""

import math

import numpy as np
from numpy.typing import NDArray

from nearline.kernels.distributions import beta_cdf

Doubles = NDArray[np.float64]

# Points of the quadrature of `best_arm_probabilities`.
_POINTS = 4096


def beta_samples(
    successes: Doubles,
    failures: Doubles,
    m: int,
    rng: np.random.Generator,
    *,
    prior: tuple[float, float] = (1.0, 1.0),
) -> Doubles:
    """Draw samples of the rates of success of n arms.

    Parameters
    ----------
    successes, failures : float64 [n]
        Counts of each arm, at least 0; decayed counts need not be whole.
    m : int
        Number of samples.
    rng : Generator
        Source of randomness.
    prior : (float, float)
        Parameters of the Beta prior that all arms share: successes and failures before the first.

    Returns
    -------
    float64 [m, n]
    """
    _check_counts(successes, failures, prior)
    return rng.beta(successes + prior[0], failures + prior[1], size=(m, len(successes)))


def best_arm_probabilities(
    successes: Doubles, failures: Doubles, *, prior: tuple[float, float] = (1.0, 1.0)
) -> Doubles:
    """Compute the posterior probability of each arm to have the highest rate: float64 [n].

    The integral of an arm's density times the distribution functions of all others is evaluated
    on a grid of quantiles; the error is below 0.001. The result sums to 1.

    Notes
    -----
    The parameters are those of `beta_samples`. Takes some milliseconds for ten arms.
    """
    _check_counts(successes, failures, prior)
    alpha, beta = successes + prior[0], failures + prior[1]
    mean = alpha / (alpha + beta)
    deviation = np.sqrt(mean * (1.0 - mean) / (alpha + beta + 1.0))
    # Dense wherever a posterior is narrow: normal quantiles of every arm, and an even grid.
    steps = np.linspace(-8.0, 8.0, max(_POINTS // len(mean), 129))
    around = (mean[:, None] + deviation[:, None] * steps).ravel()
    edges = np.unique(np.concatenate([around, np.linspace(0.0, 1.0, 257)]).clip(0.0, 1.0))
    cumulative = beta_cdf(alpha[:, None], beta[:, None], edges)
    mass = np.diff(cumulative, axis=1)
    middle = np.maximum((cumulative[:, 1:] + cumulative[:, :-1]) / 2.0, 1e-300)
    logs = np.log(middle)
    best = (mass * np.exp(logs.sum(axis=0) - logs)).sum(axis=1)
    return np.asarray(best / best.sum())


class LinearPosterior:
    """Normal posterior of the weights of a linear model of the reward.

    Its precision is `prior * I + sum of x x^T` and its mean the ridge regression of the rewards.

    Parameters
    ----------
    d : int
        Number of features.
    prior : float
        Precision of the prior, positive.
    """

    def __init__(self, d: int, *, prior: float = 1.0) -> None:
        if d < 1 or not (prior > 0.0 and math.isfinite(prior)):
            raise ValueError(f"d is {d} and prior {prior}; both must be positive")
        self.prior = prior
        self.precision = np.eye(d) * prior
        self.moment = np.zeros(d)
        self._solved: tuple[Doubles, Doubles] | None = None

    def update(self, features: Doubles, rewards: Doubles) -> None:
        """Learn from n observations: features float64 [n, d] and rewards float64 [n]."""
        self.add(features.T @ features, features.T @ rewards)

    def add(self, squares: Doubles, moment: Doubles) -> None:
        """Learn from observations by their sums of x x^T, [d, d], and of x times reward, [d]."""
        self.precision += squares
        self.moment += moment
        self._solved = None

    def decay(self, factor: float) -> None:
        """Multiply the weight of all observations so far by a factor between 0 and 1."""
        eye = np.eye(len(self.moment)) * self.prior
        self.precision = (self.precision - eye) * factor + eye
        self.moment *= factor
        self._solved = None

    @property
    def mean(self) -> Doubles:
        """Mean of the weights: float64 [d]."""
        return self._solutions()[0]

    def _solutions(self) -> tuple[Doubles, Doubles]:
        """Return the mean, and a square root of the covariance, which are kept until an update."""
        if self._solved is None:
            mean = np.asarray(np.linalg.solve(self.precision, self.moment))
            # If L L^T is the precision, L^-T z has its inverse as the covariance.
            lower = np.linalg.cholesky(self.precision)
            self._solved = mean, np.linalg.solve(lower.T, np.eye(len(mean)))
        return self._solved

    def samples(self, m: int, rng: np.random.Generator, *, scale: float = 1.0) -> Doubles:
        """Draw m weight vectors: float64 [m, d].

        Parameters
        ----------
        m : int
            Number of samples.
        rng : Generator
            Source of randomness.
        scale : float
            Standard deviation of the reward's noise: larger values explore more.

        Notes
        -----
        `samples(...) @ features.T` are samples for `nearline.kernels.exploration.sampled_list`.
        Takes O(m d^2) time, and the first time after an update O(d^3) more.
        """
        mean, root = self._solutions()
        return np.asarray(mean + scale * (rng.standard_normal((m, len(mean))) @ root.T))


def _check_counts(successes: Doubles, failures: Doubles, prior: tuple[float, float]) -> None:
    if len(successes) != len(failures) or not len(successes):
        raise ValueError("successes and failures must have the same length, at least 1")
    if not min(successes.min(), failures.min()) >= 0.0 or not min(prior) > 0.0:
        raise ValueError("counts must be at least 0 and the parameters of the prior positive")
