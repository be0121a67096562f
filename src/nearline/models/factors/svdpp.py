"""SVD++: biased factorisation that represents a user also by the set of rated items."""

from typing import ClassVar

import numpy as np
from msgspec import Struct

from nearline.common.progress import Progress
from nearline.data.dataset import Dataset, Histories
from nearline.errors import InvalidInput
from nearline.kernels.svdpp import Parameters, Rates, descend, implicit_sums
from nearline.models.base import Arrays, Range, Space
from nearline.models.factors.factor_model import FactorModel, Users, solve_users, targets_of
from nearline.models.settings import require

# Standard deviation of the initial factors.
SPREAD = 0.05


class SvdppConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `Svdpp`.

    Attributes
    ----------
    factors : int
        Number of factors.
    epochs : int
        Number of passes over the ratings.
    step : float
        Initial learning rate; the default is for ratings on a scale of about five points. For a
        scale that is s times longer, divide it by the square of s.
    decay : float
        Factor by which the learning rate is multiplied after each pass.
    l2 : float
        Penalty on the factors of users and items, per rating.
    bias_l2 : float
        Penalty on the biases, per rating.
    implicit_l2 : float
        Penalty on the implicit factors, per rating.
    """

    factors: int = 40
    epochs: int = 40
    step: float = 0.012
    decay: float = 0.97
    l2: float = 0.09
    bias_l2: float = 0.02
    implicit_l2: float = 0.01

    def __post_init__(self) -> None:
        require(self, "factors", 1, 1_024)
        require(self, "epochs", 1, 10_000)
        require(self, "step", 0, 1e3, above=True)
        require(self, "decay", 0, 1, above=True)
        require(self, "l2", 0, 1e9, above=True)
        require(self, "bias_l2", 0, 1e9, above=True)
        require(self, "implicit_l2", 0, 1e9)


class Svdpp(FactorModel):
    """Matrix factorisation with implicit feedback inside the user's factors.

        r^_ui = mean + b_u + b_i + y_i . (p_u + |N(u)|^-1/2 sum over j in N(u): z_j)

    where N(u) are the items that u rated, whatever the rating: the choice of which items to rate is
    informative too. The model is trained by stochastic gradient descent. Only the factors of items
    and z are kept; (p_u, b_u) of any user is a ridge regression on the user's ratings given them,
    with the penalties of the descent.

    Y. Koren, "Factorization meets the neighborhood: a multifaceted collaborative filtering model",
    KDD 2008, section 4.

    Use it if users choose which items to rate, where it is slightly more accurate than `als`. Do
    not use it if all users rate the same items, or if new items must be added without training.

    Notes
    -----
    A pass costs O(ratings f) on one thread; a fold-in O(ratings f^2 + f^3).
    """

    name: ClassVar[str] = "svdpp"
    config_type: ClassVar[type[Struct]] = SvdppConfig
    space: ClassVar[Space] = {
        "factors": Range(8, 100, log=True),
        "epochs": Range(10, 80),
        "step": Range(0.002, 0.02, log=True),
        "l2": Range(0.01, 0.3, log=True),
        "implicit_l2": Range(0.001, 0.1, log=True),
    }

    def __init__(self, config: Struct | None = None) -> None:
        super().__init__(config)
        self._implicit = self.item_factors

    def _learn(self, rated: Dataset, seed: int, progress: Progress) -> None:
        """Learn all parameters; raise InvalidInput if the learning rate makes them diverge."""
        config, rng = self.config, np.random.default_rng(seed)
        # Ratings of a user are shuffled; otherwise, each pass would end with the newest ones.
        targets = targets_of(rated.histories, self.mean, np.zeros(rated.n_items))
        shuffle = rng.random(rated.n_interactions)
        order = np.lexsort((shuffle, rated.user_of_each()))
        targets = targets._replace(columns=targets.columns[order], values=targets.values[order])
        learned = Parameters(
            user_biases=np.zeros(rated.n_users),
            item_biases=np.zeros(rated.n_items),
            users=rng.normal(0.0, SPREAD, (rated.n_users, config.factors)),
            items=rng.normal(0.0, SPREAD, (rated.n_items, config.factors)),
            implicit=np.zeros((rated.n_items, config.factors)),
        )
        # Otherwise, items without ratings would keep their random initial factors.
        learned.items[np.bincount(targets.columns, minlength=rated.n_items) == 0] = 0.0
        for epoch in range(config.epochs):
            progress(epoch, config.epochs, "epoch")
            step = config.step * config.decay**epoch
            rates = Rates(step, config.l2, config.bias_l2, config.implicit_l2)
            descend(targets, rng.permutation(rated.n_users), learned, rates)
        if not np.isfinite(learned.items).all():
            raise InvalidInput(
                f"gradient descent diverged with step={config.step:g}; use a smaller one",
                field="step",
            )
        self.item_factors, self.item_biases = learned.items, learned.item_biases
        self._implicit = learned.implicit
        progress(config.epochs, config.epochs, "done")

    def arrays(self) -> Arrays:
        """Return the parameters of `FactorModel` and the implicit factors."""
        return {**super().arrays(), "implicit": self._implicit}

    def _load(self, arrays: Arrays) -> None:
        super()._load(arrays)
        self._implicit = arrays["implicit"]

    def _fold_in(self, histories: Histories) -> Users:
        sums = implicit_sums(histories.indptr, histories.items, self._implicit)
        targets = targets_of(histories, self.mean, self.item_biases)
        rater = np.repeat(np.arange(len(histories)), np.diff(histories.indptr))
        explained = np.einsum("nf,nf->n", sums[rater], self.item_factors[histories.items])
        found = solve_users(
            targets._replace(values=targets.values - explained),
            self.item_factors,
            l2=self.config.l2,
            bias_l2=self.config.bias_l2,
            scales=np.maximum(np.diff(histories.indptr), 1).astype(np.float64),
        )
        return Users(found.factors + sums, found.biases)
