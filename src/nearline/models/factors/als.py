"""Alternating least squares for ratings, with biases."""

from typing import ClassVar

import numpy as np
from msgspec import Struct

from nearline.common.progress import Progress
from nearline.data.dataset import Dataset, FloatArray, Histories, IntArray
from nearline.errors import InvalidInput, NotTrained
from nearline.kernels.ridge import Doubles, Targets
from nearline.models.base import ModelPart, Range, Space, check_indices, check_single
from nearline.models.factors.factor_model import (
    FactorModel,
    Users,
    penalties,
    solve_users,
    targets_of,
    with_ones,
)
from nearline.models.rating_model import ratings_by_item
from nearline.models.settings import require

# Standard deviation of the initial item factors: small, so that the biases converge first.
SPREAD = 0.1


class AlsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `Als`.

    Attributes
    ----------
    factors : int
        Number of factors.
    sweeps : int
        Number of sweeps, each of which solves for the factors of all users and then of all items.
    l2 : float
        Penalty on the factors. Above 0.
    bias_l2 : float
        Penalty on the biases. Above 0.
    weighting : float
        Power w: both penalties are multiplied by the number of ratings of the user or item to this
        power. 1 is the weighted-lambda regularisation of Zhou et al., 0 the plain penalty.
    """

    factors: int = 32
    sweeps: int = 15
    l2: float = 1.4
    bias_l2: float = 1.0
    weighting: float = 0.5

    def __post_init__(self) -> None:
        require(self, "factors", 1, 1_024)
        require(self, "sweeps", 1, 10_000)
        require(self, "l2", 0, 1e9, above=True)
        require(self, "bias_l2", 0, 1e9, above=True)
        require(self, "weighting", 0, 1)


class Als(FactorModel):
    """Biased matrix factorisation of ratings by alternating ridge regressions.

        minimise  sum over ratings (r_ui - mean - b_u - b_i - x_u . y_i)^2
                  + sum over users n_u^w (l2 |x_u|^2 + bias_l2 b_u^2) + the same over items

    With one side fixed, each row (x_u, b_u) of the other is one closed-form solve. w = 1 is ALS-WR:
    Y. Zhou, D. Wilkinson, R. Schreiber, R. Pan, "Large-scale parallel collaborative filtering for
    the Netflix prize", AAIM 2008, section 3.1; biases as in Y. Koren, R. Bell, C. Volinsky, "Matrix
    factorization techniques for recommender systems", IEEE Computer 42(8), 2009.

    Use it for ratings on a scale: it is fast, has few settings, and a new user or item costs one
    solve. Do not use it for clicks and purchases, whose absence is informative too, nor if the
    choice of which items to rate is informative (use `svdpp`).

    Notes
    -----
    A sweep costs O(ratings f^2 + (users + items) f^3); memory is 8 bytes per factor and 12 per
    rating.
    """

    name: ClassVar[str] = "als"
    config_type: ClassVar[type[Struct]] = AlsConfig
    space: ClassVar[Space] = {
        "factors": Range(4, 128, log=True),
        "l2": Range(0.02, 20.0, log=True),
        "bias_l2": Range(0.02, 20.0, log=True),
        "weighting": Range(0.0, 1.0),
    }

    def _learn(self, rated: Dataset, seed: int, progress: Progress) -> None:
        rng = np.random.default_rng(seed)
        self.item_biases = np.zeros(rated.n_items)
        self.item_factors = rng.normal(0.0, SPREAD, (rated.n_items, self.config.factors))
        by_item, _ = ratings_by_item(rated.histories, rated.n_items)
        for sweep in range(self.config.sweeps):
            progress(sweep, self.config.sweeps, "sweep")
            users = self._fold_in(rated.histories)
            solved = self._solve_items(by_item, users)
            self.item_factors, self.item_biases = solved.factors, solved.biases
        progress(self.config.sweeps, self.config.sweeps, "done")

    def add_item(self, users: IntArray, ratings: FloatArray) -> int:
        """Add an item that users of the training data have rated, and return its index.

        Parameters
        ----------
        users : int32 [n]
            Users who rated the item.
        ratings : float32 [n]
            Their ratings.

        Raises
        ------
        NotTrained
            The model was not trained in this process, so it knows no users.
        InvalidInput
            A user is unknown, or a rating is not finite.
        """
        if self.fitted_on is None:
            raise NotTrained("this model knows no users; fit it before items are added")
        check_indices(users, len(self.fitted_on), "users")
        if len(users) != len(ratings) or not np.isfinite(ratings).all():
            raise InvalidInput(
                f"{len(users)} users need {len(users)} finite ratings; got {ratings!r}",
                field="ratings",
            )
        raters = self.user_factors(self.fitted_on.select(users))
        columns = np.arange(len(users), dtype=np.int32)
        indptr = np.array([0, len(users)], dtype=np.int64)
        solved = self._solve_items(Targets(indptr, columns, ratings.astype(np.float64)), raters)
        self.item_factors = np.concatenate((self.item_factors, solved.factors))
        self.item_biases = np.concatenate((self.item_biases, solved.biases))
        return self.n_items - 1

    def explain(self, history: Histories, item: int) -> list[ModelPart]:
        """Return parts of the score of `item`: the mean, the bias of the item, one for each rating.

        The user's factors are linear in the ratings (as shown for implicit feedback by Hu, Koren,
        Volinsky, ICDM 2008, section 5): with A the matrix of the user's normal equations, rating h
        adds ``(y_item, 1) A^-1 (y_h, 1) (r_h - mean - b_h)``.
        """
        check_single(history)
        if not 0 <= item < self.n_items:
            return []
        parts = [
            ModelPart(-1, "mean", self.mean),
            ModelPart(-1, "item_bias", float(self.item_biases[item])),
        ]
        known = np.flatnonzero((history.items >= 0) & (history.items < self.n_items))
        if len(known) == 0:
            return parts
        items = history.items[known]
        extended = with_ones(self.item_factors)
        rows = extended[items]
        left = rows.T @ rows + len(known) ** self.config.weighting * penalties(
            self.config.factors, self.config.l2, self.config.bias_l2
        )
        shares = rows @ np.linalg.solve(left, extended[item])
        amounts = shares * (history.weights[known] - self.mean - self.item_biases[items])
        parts += [
            ModelPart(int(at), self.name, float(amount))
            for at, amount in zip(known, amounts, strict=True)
        ]
        return parts

    def _fold_in(self, histories: Histories) -> Users:
        return self._solve(targets_of(histories, self.mean, self.item_biases), self.item_factors)

    def _solve_items(self, ratings: Targets, raters: Users) -> Users:
        values = ratings.values - self.mean - raters.biases[ratings.columns]
        return self._solve(ratings._replace(values=values), raters.factors)

    def _solve(self, targets: Targets, factors: Doubles) -> Users:
        """Compute the factors and biases of one side from the factors of the other."""
        # The solution of a row without ratings is zero for any penalty above 0.
        sizes = np.maximum(np.diff(targets.indptr), 1).astype(np.float64)
        return solve_users(
            targets,
            factors,
            l2=self.config.l2,
            bias_l2=self.config.bias_l2,
            scales=sizes**self.config.weighting,
        )
