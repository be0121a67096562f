"""Methods of the recommender that release statistics with differential privacy."""

from fractions import Fraction
from heapq import nsmallest
from typing import Any

from msgspec import Struct

from nearline.engine.base import Engine
from nearline.errors import BudgetSpent, InvalidInput
from nearline.log import SQLiteLog
from nearline.recommend.bounded_counts import bounded_counts
from nearline.schema import make_options
from nearline.schema.statistics import USERS, NoisyCount, Statistics, StatisticsRequest
from nearline.schema.statistics import check_statistics as check
from nearline.trust.ledger import UNITS, Spent
from nearline.trust.noise import discrete_laplace


class PrivacyBudget(Struct, frozen=True, kw_only=True):
    """The privacy budget of a store.

    Attributes
    ----------
    total, spent, left : float
        In units of epsilon. `total` is the setting `privacy_budget`.
    releases : list of Spent
        What was spent, the oldest first.
    """

    total: float
    spent: float
    left: float
    releases: list[Spent]


class StatisticsMethods(Engine):
    """Release counts of users with noise, within a budget."""

    def statistics(self, of: str, epsilon: float, **options: Any) -> Statistics:
        """Return numbers of users with noise that hides whether any one user is in the store.

        The release is epsilon-differentially private: whatever somebody concludes from it, the
        probability would be at most exp(epsilon) times as high without all data of a user. The
        epsilons of all releases of a store add up, and `Config.privacy_budget` bounds the sum.

        Parameters
        ----------
        of : str
            What is counted: users of each of the "items" or "categories" of the catalogue, or all
            "users" with a history.
        epsilon : float
            Part of the budget to spend, 0.0001 to 20, rounded up to a millionth.
        **options
            Other fields of `nearline.schema.statistics.StatisticsRequest`, such as `per_user`.

        Raises
        ------
        BudgetSpent
            What is left of the budget is less than `epsilon`.
        """
        return self.release(make_options(StatisticsRequest, of=of, epsilon=epsilon, **options))

    def release(self, request: StatisticsRequest) -> Statistics:
        """Answer a request: spend its epsilon, and then return the statistics."""
        check(request)
        if not isinstance(self._current.open().log, SQLiteLog):
            raise InvalidInput(
                "statistics need a store in a folder, open for writing: copies and servers that "
                "share a log would each have a budget of their own"
            )
        if not self.config.privacy_budget:
            raise BudgetSpent(
                "privacy_budget is 0; set it to the sum of the epsilons of all statistics that the "
                "store will ever release"
            )
        cost = -int(-Fraction(str(request.epsilon)) * UNITS // 1)
        per_user = 1 if request.of == USERS else request.per_user
        left = self._ledger.spend(
            request.of, per_user, cost, self._budget_units(), now=self._clock()
        )
        names, counts = bounded_counts(request.of, per_user, self._view())
        scale = Fraction(per_user * UNITS, cost)
        noisy = [
            (-max(count + discrete_laplace(scale), 0), name)
            for name, count in zip(names, counts.tolist(), strict=True)
        ]
        return Statistics(
            of=request.of,
            epsilon=cost / UNITS,
            per_user=per_user,
            noise=float(scale),
            left=left / UNITS,
            counts=[
                NoisyCount(name=name, users=-users) for users, name in nsmallest(request.k, noisy)
            ],
        )

    def privacy_budget(self) -> PrivacyBudget:
        """Return the privacy budget, and what was spent of it."""
        total, spent = self._budget_units(), self._ledger.spent()
        return PrivacyBudget(
            total=total / UNITS,
            spent=spent / UNITS,
            left=max(total - spent, 0) / UNITS,
            releases=self._ledger.entries(),
        )

    def _budget_units(self) -> int:
        return int(Fraction(str(self.config.privacy_budget)) * UNITS)
