"""Alternating least squares for implicit feedback."""

from typing import Any, ClassVar, Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nearline.common.progress import Progress, no_progress
from nearline.data.dataset import Dataset, FloatArray, Histories, IntArray
from nearline.errors import Damaged, InvalidInput, NotTrained
from nearline.kernels.als import improve_rows, solve_rows, squared_loss
from nearline.kernels.blas import one_blas_thread
from nearline.kernels.edges import Rows
from nearline.kernels.topn import Seen, by_norm, top_products
from nearline.kernels.whitening import Factors, gram, multiply, whitening
from nearline.models.array_checks import check_array
from nearline.models.base import (
    Mask,
    Model,
    ModelPart,
    Range,
    Ranking,
    Space,
    check_k,
    check_single,
)
from nearline.models.factors.implicit_als_config import ImplicitAlsConfig
from nearline.models.factors.pair_weights import item_by_user, pair_rows, row_range

Doubles = NDArray[np.float64]

# Number of users that are folded in at a time.
BLOCK = 8192
# Maximum number of conjugate gradient steps of a fold-in, which ends when it has converged.
FOLD_IN_STEPS = 50
# Maximum confidence. The condition number of a system is at most this plus one, and single
# precision has 7 digits.
MOST_CONFIDENCE = 1e7


class ImplicitAls(Model):
    """Matrix factorisation of preferences, weighted by confidence.

    With r_ui the sum of the event weights of user and item, the preference p = 1 if r > 0 and else
    0, and the confidence c = 1 + alpha |r| (1 for a pair without events), it minimises over *all*
    pairs

        sum_ui c_ui (p_ui - x_u . y_i)^2 + l2 (sum_u |x_u|^2 + sum_i |y_i|^2);    score = x_u . y_i

    Y. Hu, Y. Koren, C. Volinsky, "Collaborative filtering for implicit feedback datasets",
    ICDM 2008, sections 4 and 5; conjugate gradients: G. Takács, I. Pilászy, D. Tikk, "Applications
    of the conjugate gradient method for implicit feedback collaborative filtering", RecSys 2011.

    Use it for clicks, views and purchases of many users, with catalogues of any size. It needs no
    ratings and no negative samples; a negative weight means that the user rejected the item. Do not
    use it if the order of events matters, or for new items, which have no factors until `update`.

    A sweep takes O((cg_steps + 1) interactions factors + (users + items) factors^2) time. All users
    are folded in from their histories, so a new event counts at once. A user without known items
    gets an empty list.

    Attributes
    ----------
    item_factors : float32 [n_items, factors]
        Factors y_i; zero for an item without events.
    user_factors : float32 [n_users, factors] or None
        Factors x_u after the last sweep; None after `restore`, since snapshots contain no users.
    """

    name: ClassVar[str] = "implicit_als"
    config_type: ClassVar[type[Struct]] = ImplicitAlsConfig
    space: ClassVar[Space] = {
        "factors": Range(16, 256, log=True),
        "regularization": Range(0.001, 100.0, log=True),
        "alpha": Range(0.1, 100.0, log=True),
        "iterations": Range(5, 30),
    }

    def __init__(self, config: Struct | None = None) -> None:
        super().__init__(config)
        self.user_factors: FloatArray | None = None
        f = self.config.factors
        self._set(np.zeros((0, f), dtype=np.float32), np.zeros((f, f)))

    def fit(
        self,
        data: Dataset,
        *,
        validation: Histories | None = None,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Self:
        """Learn the factors by alternating least squares; `validation` is not used.

        Training needs memory for a copy of the interactions and the factors of users and items.

        Raises
        ------
        InvalidInput
            A weight is not finite, or too large for single precision.
        """
        del validation
        f = self.config.factors
        by_user = self._pairs(data.histories, data.n_items)
        by_item = item_by_user(by_user, data.n_items).to_rows()
        start = np.random.default_rng(seed).standard_normal((data.n_items, f), dtype=np.float32)
        start /= np.float32(np.sqrt(f))
        users, items = Factors(np.zeros((data.n_users, f), dtype=np.float32)), Factors(start)
        # With several threads of BLAS, the last bits would depend on their number.
        with one_blas_thread():
            for sweep in range(self.config.iterations):
                progress(sweep, self.config.iterations, "sweep")
                self._half_sweep(by_user, items, users)
                self._half_sweep(by_item, users, items)
        self.user_factors = users.true_values()
        self._set(items.true_values(), gram(self.user_factors))
        self.fitted_on = data.histories
        progress(self.config.iterations, self.config.iterations, "done")
        return self

    def loss(self) -> float:
        """Return the loss that `fit` minimises on the training data, divided by the sum of c_ui.

        Raises
        ------
        NotTrained
            The model was not trained in this process.
        """
        if self.fitted_on is None or self.user_factors is None:
            raise NotTrained("this model knows no users; fit it")
        rows, x, y = self._pairs(self.fitted_on, self.n_items), self.user_factors, self.item_factors
        inner = gram(y)
        total: float = squared_loss(rows, x, y, alpha=self.config.alpha)
        total += float(np.sum(self._user_gram * inner))
        total += self.config.regularization * float(np.trace(self._user_gram) + np.trace(inner))
        extra = self.config.alpha * float(np.abs(rows.weights).sum(dtype=np.float64))
        return float(total / (len(x) * len(y) + extra))

    @property
    def n_items(self) -> int:
        """Number of items that the model can score."""
        return len(self.item_factors)

    def score_many(self, histories: Histories) -> FloatArray:
        """Return the scores of all items: float32 [n_users, n_items], 0 without known events."""
        scores: FloatArray = self._fold_in(histories) @ self.item_factors.T
        return scores

    def score(self, history: Histories, items: IntArray) -> FloatArray:
        """Return the scores of m items for one history: float32 [m], 0 for unknown items."""
        known = (items >= 0) & (items < self.n_items)
        scores = np.zeros(len(items), dtype=np.float32)
        scores[known] = self.item_factors[items[known]] @ self._fold_in(history)[0]
        return scores

    def recommend_from(
        self,
        histories: Histories,
        k: int,
        *,
        exclude_seen: bool = True,
        allowed: Mask | None = None,
    ) -> Ranking:
        """Return the `k` best items for each history; see `Model.recommend_from`.

        A user takes one fold-in, and then at most O(n_items factors) time.
        """
        check_k(k)
        items = np.full((len(histories), k), -1, dtype=np.int32)
        scores = np.zeros((len(histories), k), dtype=np.float32)
        for first in range(0, len(histories), BLOCK):
            last = min(first + BLOCK, len(histories))
            some = row_range(histories, first, last)
            users = self._fold_in(some)
            # All scores of a user without known items are 0, so the list is empty.
            known = np.flatnonzero(users.any(axis=1))
            if len(known) < len(users):
                users, some = users[known], some.select(known)
            seen = Seen(some.indptr, some.items) if exclude_seen else None
            best = top_products(users, self._catalogue, k, seen=seen, allowed=allowed)
            items[first + known], scores[first + known] = best
        return Ranking(items, scores)

    def similar(self, items: IntArray, k: int) -> Ranking:
        """Return the `k` items whose factors have the largest cosine; only cosines above 0."""
        check_k(k)
        norms = np.linalg.norm(self.item_factors, axis=1, keepdims=True)
        units = (self.item_factors / np.where(norms > 0, norms, 1)).astype(np.float32)
        known = (items >= 0) & (items < self.n_items)
        asked = np.zeros((len(items), units.shape[1]), dtype=np.float32)
        asked[known] = units[items[known]]
        own = Seen(np.arange(len(items) + 1), np.asarray(items, dtype=np.int32))
        return Ranking(*top_products(asked, by_norm(units), k, seen=own, above=0.0))

    def explain(self, history: Histories, item: int) -> list[ModelPart]:
        """Return a part of the score of `item` for each liked event (Hu et al., section 5).

        The factors of a user are linear in the preferences: with A the matrix of the user's normal
        equations, an item h of the history adds ``c_uh y_item A^-1 y_h``, which is distributed over
        its events in proportion to their weights.
        """
        check_single(history)
        if not 0 <= item < self.n_items:
            return []
        rows = self._pairs(history, self.n_items)
        white = self._white[rows.items].astype(np.float64)
        extra = self.config.alpha * np.abs(rows.weights.astype(np.float64))
        left = np.eye(white.shape[1]) + white.T @ (extra[:, None] * white)
        shares = white @ np.linalg.solve(left, self._white[item].astype(np.float64))
        amount = dict(zip(rows.items.tolist(), (1 + extra) * shares, strict=True))
        total = dict(zip(rows.items.tolist(), rows.weights.tolist(), strict=True))
        return [
            ModelPart(at, self.name, float(amount[key] * weight / total[key]))
            for at, (key, weight) in enumerate(
                zip(history.items.tolist(), history.weights.tolist(), strict=True)
            )
            if total.get(key, 0.0) > 0 and weight
        ]

    def update(self, items: IntArray, histories: Histories) -> None:
        """Compute the factors of some items again, with fixed factors of users.

        Parameters
        ----------
        items : int32 [m]
            Indices of the items. New indices extend the catalogue; indices that are skipped become
            items without events.
        histories : Histories
            Complete histories of all users with an event of any of the items. Their factors are
            folded in from the items that the model knew before. All other users are treated as if
            they had no such event.

        Raises
        ------
        InvalidInput
            An index is negative, or a weight is not finite or too large.

        Notes
        -----
        The time is that of a fold-in for each history and a solve for each item, plus
        O(n_items factors^2).
        """
        items = np.asarray(items, dtype=np.int32)
        if len(items) == 0:
            return
        if items.min() < 0:
            raise InvalidInput(f"items holds {items.min()}; indices start at 0", field="items")
        n = max(self.n_items, int(items.max()) + 1)
        lower, inverse = self._whitening(self._user_gram)
        users = Factors(self._fold_in(histories))
        users.change_basis(lower.T, inverse.T)
        solved = np.zeros((len(items), self.config.factors), dtype=np.float32)
        improve_rows(
            item_by_user(self._pairs(histories, n), n).take(items).to_rows(),
            users.values,
            solved,
            alpha=self.config.alpha,
            steps=FOLD_IN_STEPS,
        )
        factors = np.zeros((n, self.config.factors), dtype=np.float32)
        factors[: self.n_items] = self.item_factors
        factors[items] = solved @ inverse
        self._set(factors, self._user_gram)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return item factors, float32 [n_items, f], and the users' Gram matrix, float64 [f, f]."""
        return {"item_factors": self.item_factors, "user_gram": self._user_gram}

    def _load(self, arrays: dict[str, NDArray[Any]]) -> None:
        for name, dtype in (("item_factors", "float32"), ("user_gram", "float64")):
            check_array(arrays, name, dtype, None, None)
            if not np.isfinite(arrays[name]).all():
                raise Damaged(f"the array {name!r} of {self.name} is not finite; fit again")
            if arrays[name].shape[1:] != (self.config.factors,):
                raise Damaged(
                    f"the array {name!r} of {self.name} has the shape {arrays[name].shape}, not "
                    f"one for {self.config.factors} factors; fit again"
                )
        self._set(arrays["item_factors"], arrays["user_gram"])

    def _set(self, item_factors: FloatArray, user_gram: Doubles) -> None:
        """Set the factors, and compute the whitened and the sorted factors from them."""
        self.item_factors, self._user_gram = item_factors, user_gram
        with one_blas_thread():
            _, self._inverse = self._whitening(gram(item_factors))
        self._white: FloatArray = np.empty_like(item_factors)
        multiply(item_factors, self._inverse.T.astype(np.float32), self._white)
        self._catalogue = by_norm(item_factors)

    def _pairs(self, histories: Histories, n_items: int) -> Rows:
        """Sum the weights of each user and item; raise InvalidInput if they are too large."""
        rows = pair_rows(histories, n_items)
        largest = float(np.abs(rows.weights).max(initial=0.0))
        if self.config.alpha * largest > MOST_CONFIDENCE:
            raise InvalidInput(
                f"a user and an item have the weight {largest:g}; times alpha={self.config.alpha:g}"
                f" it must be at most {MOST_CONFIDENCE:g}: use a smaller alpha, or logarithms",
                field="weights",
            )
        return rows

    def _whitening(self, inner: Doubles) -> tuple[Doubles, Doubles]:
        try:
            return whitening(inner, self.config.regularization)
        except np.linalg.LinAlgError:
            raise InvalidInput(
                f"the factors have no solution at regularization={self.config.regularization:g}; "
                "raise it",
                field="regularization",
            ) from None

    def _half_sweep(self, rows: Rows, fixed: Factors, moving: Factors) -> None:
        """Compute the factors `moving` of the rows, with fixed factors of the columns."""
        lower, inverse = self._whitening(fixed.gram())
        fixed.change_basis(lower.T, inverse.T)
        moving.change_basis(inverse, lower)
        alpha = self.config.alpha
        if self.config.solver == "cholesky":
            solve_rows(rows, fixed.values, moving.values, alpha=alpha)
        else:
            steps = self.config.cg_steps
            improve_rows(rows, fixed.values, moving.values, alpha=alpha, steps=steps)

    def _fold_in(self, histories: Histories) -> FloatArray:
        """Compute the factors of users from their histories: float32 [n_users, f]."""
        white = np.zeros((len(histories), self.config.factors), dtype=np.float32)
        rows = self._pairs(histories, self.n_items)
        improve_rows(rows, self._white, white, alpha=self.config.alpha, steps=FOLD_IN_STEPS)
        # Double precision, so that a user has the same factors alone and in a batch.
        return (white @ self._inverse).astype(np.float32)
