"""Bayesian probabilistic matrix factorisation by Gibbs sampling."""

from typing import Any, ClassVar, NamedTuple

import numpy as np
from msgspec import Struct
from threadpoolctl import threadpool_limits

from nearline.common.progress import Progress
from nearline.common.scipy import scipy_module
from nearline.data.dataset import Dataset, Histories
from nearline.kernels.blas import COMPILED
from nearline.kernels.ridge import Doubles, Targets, solve_rows
from nearline.models.base import Arrays, Range, Space
from nearline.models.factors.factor_model import FactorModel, Users, targets_of
from nearline.models.rating_model import ratings_by_item
from nearline.models.settings import require

# Standard deviation of the initial factors.
SPREAD = 0.1
# Weight of the prior with mean 0, as a number of rows (beta_0 of the paper).
PRIOR_ROWS = 2.0


class BpmfConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `Bpmf`.

    Attributes
    ----------
    factors : int
        Number of factors; a large number takes time but does not overfit.
    burn_in : int
        Number of initial samples that are discarded.
    draws : int
        Number of samples that are kept, over which predictions are averaged.
    """

    factors: int = 12
    burn_in: int = 20
    draws: int = 60

    def __post_init__(self) -> None:
        require(self, "factors", 1, 1_024)
        require(self, "burn_in", 0, 100_000)
        require(self, "draws", 1, 10_000)


class Gaussian(NamedTuple):
    """Normal distribution of the factors of users or items.

    Attributes
    ----------
    mean : float64 [f]
        Mean.
    precision : float64 [f, f]
        Precision matrix, the inverse of the covariance.
    """

    mean: Doubles
    precision: Doubles


class Bpmf(FactorModel):
    """Matrix factorisation averaged over the posterior, instead of one penalised optimum.

        r_ui ~ N(mean + x_u . y_i, 1/alpha)
        x_u ~ N(m_X, Lambda_X^-1),   y_i ~ N(m_Y, Lambda_Y^-1)

    with Normal-Wishart priors over (m, Lambda) and a flat prior over log alpha. Gibbs sampling
    draws each in turn given all others. The prediction is the mean over the kept samples, in each
    of which a user's factors are the mean of their conditional distribution given the items of that
    sample. The non-zero means take the role of biases.

    R. Salakhutdinov, A. Mnih, "Bayesian probabilistic matrix factorization using Markov chain Monte
    Carlo", ICML 2008, section 3. S. Rendle, L. Zhang, Y. Koren, "On the difficulty of evaluating
    baselines", 2019, show that it outperforms most later models without any tuning.

    Use it if the accuracy of ratings matters: nothing needs tuning, and it does not overfit. Do not
    use it if a fold-in must take microseconds, since it needs one solve per sample; use `als`.

    Notes
    -----
    A sample costs O(ratings f^2 + (users + items) f^3); a fold-in costs that for its own ratings,
    times `draws`. Memory is 4 bytes per factor, item and sample. Scoring is one inner product of
    length f * draws.
    """

    name: ClassVar[str] = "bpmf"
    config_type: ClassVar[type[Struct]] = BpmfConfig
    space: ClassVar[Space] = {"factors": Range(4, 40, log=True)}

    def __init__(self, config: Struct | None = None) -> None:
        super().__init__(config)
        f = self.config.factors
        # Sampled distributions of users, float64: [draws, f], [draws, f, f] and [draws].
        self._means = np.zeros((0, f))
        self._precisions = np.zeros((0, f, f))
        self._noise_precisions = np.zeros(0)

    def _learn(self, rated: Dataset, seed: int, progress: Progress) -> None:
        self.item_biases = np.zeros(rated.n_items)
        # Loaded first, so that the limit applies to it.
        scipy_module(COMPILED, "the model bpmf")
        # With several threads of BLAS, the last bits would depend on their number.
        with threadpool_limits(1, user_api="blas"):
            self._run(rated, np.random.default_rng(seed), progress)

    def arrays(self) -> Arrays:
        """Return the sampled item factors, and the distribution of users in each sample."""
        return {
            **super().arrays(),
            "user_means": self._means,
            "user_precisions": self._precisions,
            "noise_precisions": self._noise_precisions,
        }

    def _load(self, arrays: Arrays) -> None:
        super()._load(arrays)
        self._means = arrays["user_means"]
        self._precisions = arrays["user_precisions"]
        self._noise_precisions = arrays["noise_precisions"]

    def _run(self, data: Dataset, rng: np.random.Generator, progress: Progress) -> None:
        f, burn_in = self.config.factors, self.config.burn_in
        steps = burn_in + self.config.draws
        of_users = targets_of(data.histories, self.mean, self.item_biases)
        of_items, order = ratings_by_item(data.histories, data.n_items)
        of_items = of_items._replace(values=of_users.values[order])
        rater = data.user_of_each()
        users = rng.normal(0.0, SPREAD, (data.n_users, f))
        items = rng.normal(0.0, SPREAD, (data.n_items, f))
        kept: list[Any] = []
        for step in range(steps):
            progress(step, steps, "draw")
            errors = of_users.values - np.einsum("nf,nf->n", users[rater], items[of_users.columns])
            alpha = _draw_precision(errors, rng)
            about_users = _draw_gaussian(users, rng)
            users = _draw_factors(of_users, items, about_users, alpha, rng)
            items = _draw_factors(of_items, users, _draw_gaussian(items, rng), alpha, rng)
            if step >= burn_in:
                kept.append((items.astype(np.float32), *about_users, alpha))
        progress(steps, steps, "done")
        draws, means, precisions, alphas = zip(*kept, strict=True)
        self.item_factors = np.concatenate(draws, axis=1)
        self._means, self._precisions = np.stack(means), np.stack(precisions)
        self._noise_precisions = np.array(alphas)

    def _fold_in(self, histories: Histories) -> Users:
        """Compute the factors of users for each sample.

        The factors of all samples are concatenated and divided by the number of samples, so that
        their inner product with those of an item is a mean.
        """
        scipy_module(COMPILED, "the model bpmf")
        targets = targets_of(histories, self.mean, self.item_biases)
        draws, f = self._means.shape
        factors = np.empty((len(histories), draws * f))
        for draw in range(draws):
            own = slice(draw * f, (draw + 1) * f)
            items = np.ascontiguousarray(self.item_factors[:, own], dtype=np.float64)
            precision = self._precisions[draw] / self._noise_precisions[draw]
            shift = precision @ self._means[draw]
            factors[:, own] = solve_rows(targets, items, precision, shift=shift)
        return Users(factors / draws, np.zeros(len(histories)))


def _draw_factors(
    targets: Targets,
    others: Doubles,
    prior: Gaussian,
    alpha: float,
    rng: np.random.Generator,
) -> Doubles:
    """Sample the factors of each row, given the factors of the columns: equations 11 to 13.

    Parameters
    ----------
    targets : Targets
        Ratings of n rows.
    others : float64 [m, f]
        Factors of the columns.
    prior : Gaussian
        Distribution of the factors of the rows.
    alpha : float
        Precision of the ratings, by which the equations are divided.
    rng : Generator
        Source of randomness.

    Returns
    -------
    float64 [n, f]
        Sampled factors.
    """
    precision = prior.precision / alpha
    noise = rng.standard_normal((len(targets.indptr) - 1, others.shape[1])) / np.sqrt(alpha)
    return solve_rows(targets, others, precision, shift=precision @ prior.mean, noise=noise)


def _draw_gaussian(factors: Doubles, rng: np.random.Generator) -> Gaussian:
    """Sample the distribution of factors [n, f]: equation 14 with W_0 = I and nu_0 = f."""
    n, f = factors.shape
    mean = factors.mean(axis=0)
    centred = factors - mean
    pull = n * PRIOR_ROWS / (n + PRIOR_ROWS)
    scatter = np.eye(f) + centred.T @ centred + pull * np.outer(mean, mean)
    scale = np.linalg.inv(scatter)
    precision = draw_wishart(f + n, (scale + scale.T) / 2, rng)
    lower = np.linalg.cholesky((n + PRIOR_ROWS) * precision)
    about = n * mean / (n + PRIOR_ROWS)
    return Gaussian(about + np.linalg.solve(lower.T, rng.standard_normal(f)), precision)


def draw_wishart(freedom: int, scale: Doubles, rng: np.random.Generator) -> Doubles:
    """Sample the Wishart distribution, float64 [f, f], by Bartlett's decomposition.

    W. Smith, R. Hocking, "Wishart variate generator", Applied Statistics 21, 1972, algorithm AS 53.
    """
    f = len(scale)
    root = np.zeros((f, f))
    root[np.tril_indices(f, -1)] = rng.normal(size=f * (f - 1) // 2)
    root[np.diag_indices(f)] = [float(rng.chisquare(freedom - i)) ** 0.5 for i in range(f)]
    root = np.linalg.cholesky(scale) @ root
    drawn: Doubles = root @ root.T
    return drawn


def _draw_precision(errors: Doubles, rng: np.random.Generator) -> float:
    """Sample alpha, given the errors of the predictions; it is finite even if all are 0."""
    total = float(errors @ errors) + 1e-6 * len(errors)
    return float(rng.gamma(len(errors) / 2, 2 / total))
