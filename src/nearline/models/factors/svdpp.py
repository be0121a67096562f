"""SVD++: biased factorisation whose users are also the items that they rated at all."""

from typing import ClassVar, Self

import numpy as np
from msgspec import Struct

from nearline.common.progress import Progress, no_progress
from nearline.data.dataset import Dataset, Histories
from nearline.errors import InvalidInput
from nearline.kernels.svdpp import Parameters, Rates, descend, implicit_sums
from nearline.models.base import Range, Space
from nearline.models.factors.factor_model import Arrays, FactorModel, Users, solve_users, targets_of
from nearline.models.settings import require

# Spread of the factors that descent starts from.
SPREAD = 0.05


class SvdppConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `Svdpp`.

    Attributes
    ----------
    factors : int
        Length of the factors.
    epochs : int
        Passes over the ratings.
    step : float
        Length of the first steps, for ratings on a scale of some five points; divide it by the
        square of a longer scale.
    decay : float
        What the step is multiplied by after each pass.
    l2 : float
        Penalty on the factors of users and items, a rating.
    bias_l2 : float
        Penalty on the biases, a rating.
    implicit_l2 : float
        Penalty on the implicit factors, a rating.
    """

    factors: int = 40
    epochs: int = 40
    step: float = 0.012
    decay: float = 0.97
    l2: float = 0.09
    bias_l2: float = 0.02
    implicit_l2: float = 0.01

    def __post_init__(self) -> None:
        require(self, "factors", 1)
        require(self, "epochs", 1)
        require(self, "step", 0, above=True)
        require(self, "decay", 0, 1, above=True)
        require(self, "l2", 0, above=True)
        require(self, "bias_l2", 0, above=True)
        require(self, "implicit_l2", 0)


class Svdpp(FactorModel):
    """Matrix factorisation with implicit feedback inside the user's factors.

        r^_ui = mean + b_u + b_i + y_i . (p_u + |N(u)|^-1/2 sum over j in N(u): z_j)

    where N(u) is what u rated, whatever the rating: that somebody chose to rate an item says what
    they like, too. Learned by stochastic gradient descent; the factors of items and z are kept, and
    any user's (p_u, b_u), of the fit or not, is one ridge regression on the user's ratings given
    them, with the penalties of the descent.

    Y. Koren, "Factorization meets the neighborhood: a multifaceted collaborative filtering model",
    KDD 2008, section 4.

    Use it for ratings that people chose to give, where it beats `als` by a little. Do not use it
    where everybody rates the same items, or ratings come in one by one from new items: an item's z
    needs descent.

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

    def fit(
        self,
        data: Dataset,
        *,
        validation: Histories | None = None,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Self:
        """Descend; `validation` is not used: search the declared space for settings.

        Raises
        ------
        InvalidInput
            The data has no rating, or the steps are so long that descent runs away.
        """
        del validation
        rated = data.rated()
        self._learn_scale(rated)
        config, rng = self.config, np.random.default_rng(seed)
        # Ratings of a user in random order: by time, a pass would end with the newest ones.
        targets = targets_of(rated.histories, self.mean, np.zeros(data.n_items))
        shuffle = rng.random(rated.n_interactions)
        order = np.lexsort((shuffle, rated.user_of_each()))
        targets = targets._replace(columns=targets.columns[order], values=targets.values[order])
        learned = Parameters(
            user_biases=np.zeros(data.n_users),
            item_biases=np.zeros(data.n_items),
            users=rng.normal(0.0, SPREAD, (data.n_users, config.factors)),
            items=rng.normal(0.0, SPREAD, (data.n_items, config.factors)),
            implicit=np.zeros((data.n_items, config.factors)),
        )
        # Items that nobody rated keep no trace of the random start.
        learned.items[np.bincount(targets.columns, minlength=data.n_items) == 0] = 0.0
        for epoch in range(config.epochs):
            progress(epoch, config.epochs, "epoch")
            step = config.step * config.decay**epoch
            rates = Rates(step, config.l2, config.bias_l2, config.implicit_l2)
            descend(targets, rng.permutation(data.n_users), learned, rates)
        if not np.isfinite(learned.items).all():
            raise InvalidInput(
                f"descent ran away with step={config.step:g}; take a shorter one", field="step"
            )
        self.item_factors, self.item_biases = learned.items, learned.item_biases
        self._implicit = learned.implicit
        progress(config.epochs, config.epochs, "done")
        return self

    def arrays(self) -> Arrays:
        """Return the item side and the implicit factors."""
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
