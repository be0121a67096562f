"""Two towers: one makes a vector of a user, one of an item, and a score is their cosine."""

from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nearline.common.progress import Progress, no_progress
from nearline.data.dataset import Dataset, FloatArray, Histories
from nearline.data.users import UserEncoder
from nearline.errors import InvalidInput
from nearline.models.base import Range, Space
from nearline.models.sequence.sequence_model import SequenceConfig, SequenceModel, SequenceObjective
from nearline.models.settings import require

USERS = "users/"


class TwoTowerConfig(SequenceConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `TwoTower` beside those of `SequenceConfig`.

    Attributes
    ----------
    hidden : int
        Units of the perceptron of the user tower.
    history_dropout : float
        Share of histories left out of a step, where users have features.
    """

    hidden: int = 256
    longest: int = 100
    dropout: float = 0.2
    history_dropout: float = 0.5
    objective: SequenceObjective = SequenceObjective(unit=True, temperature=0.1, in_batch=1024)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "hidden", 1)
        require(self, "history_dropout", 0, 1)


class TwoTower(SequenceModel):
    """A tower knows users by what they liked and by features, the other items by id and features.

    X. Yi, J. Yang, L. Hong, D. Z. Cheng, L. Heldt, A. Kumthekar, Z. Zhao, L. Wei, E. Chi,
    "Sampling-bias-corrected neural modeling for large corpus item recommendations", RecSys 2019:
    unit vectors, a temperature, and softmax over the items of the batch with logQ correction;
    beside them drawn items: J. Yang et al., "Mixed negative sampling for learning two-tower neural
    networks in recommendations", WWW 2020 companion. Features of users as in P. Covington,
    J. Adams, E. Sargin, "Deep neural networks for YouTube recommendations", RecSys 2016, section
    3.3.

    Where the data has `user_features`, the user tower reads them. They travel with the histories
    (`Histories.features`): `recommend` looks up those of the users of the fit, and a caller gives
    those of other users, as `user_encoder` makes them. Without them scores go by history alone.

    Attributes
    ----------
    user_encoder : UserEncoder or None
        Makes the features of a new user; None where the data of the fit had none.
    """

    name: ClassVar[str] = "two_tower"
    config_type: ClassVar[type[Struct]] = TwoTowerConfig
    space: ClassVar[Space] = {
        "dropout": Range(0.0, 0.6),
        "objective.temperature": Range(0.03, 0.3, log=True),
        "objective.id_dropout": Range(0.0, 0.8),
        "objective.power": Range(0.0, 1.0),
        "training.rate": Range(0.0003, 0.003, log=True),
        "training.weight_decay": Range(0.001, 1.0, log=True),
    }

    def __init__(self, config: Struct | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self.user_encoder: UserEncoder | None = None
        self._n_features = 0

    def fit(
        self,
        data: Dataset,
        *,
        validation: Histories | None = None,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Self:
        """Train both towers, as all sequence models are.

        With features of users, first events are learned too, and so are users of a single one.

        Raises
        ------
        MissingExtra
            PyTorch or the packages that export its networks are not installed.
        InvalidInput
            A weight, vector or feature is not finite, the loss grew beyond all bounds, or the
            checkpoint is of another fit.
        """
        features = data.user_features
        self._n_features = 0 if features is None else features.shape[1]
        self._told(data)
        self.user_encoder = data.user_encoder
        super().fit(data, validation=validation, seed=seed, progress=progress)
        self.fitted_on = replace(data.histories, features=features)
        return self

    def score_many(self, histories: Histories) -> FloatArray:
        """Scores, float32 [n_users, n_items], by events and ``histories.features``.

        A user without a known liked event gets scores by the features alone, or by popularity where
        these are all 0 or not given.
        """
        table = self._table[: self.n_items]
        return self._scores(histories, self._encode, table, *self._asked(histories))

    def user_vectors(self, histories: Histories) -> FloatArray:
        """Vectors of users, float32 [n_users, width]; zero where nothing is known of one."""
        return self._vectors(histories, *self._asked(histories))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Graph and tables, as of all sequence models, and how features of users are made."""
        found = super().arrays()
        if self._n_features:
            found["n_user_features"] = np.array([self._n_features], dtype=np.int64)
        if self.user_encoder is not None:
            encoder = self.user_encoder.arrays()
            found |= {f"{USERS}{name}": array for name, array in encoder.items()}
        return found

    def _load(self, arrays: dict[str, NDArray[Any]]) -> None:
        super()._load(arrays)
        self._n_features = int(arrays["n_user_features"][0]) if "n_user_features" in arrays else 0
        own = {k.removeprefix(USERS): a for k, a in arrays.items() if k.startswith(USERS)}
        self.user_encoder = UserEncoder.restore(own) if own else None

    def _network(self) -> Any:
        from nearline.neural.pooled import Pooled

        config = self.config
        return Pooled(
            config.width,
            hidden=config.hidden,
            dropout=config.dropout,
            features=self._n_features,
            history_dropout=config.history_dropout,
        )

    def _told(self, data: Dataset) -> FloatArray | None:
        features = data.user_features
        if features is None or not self._n_features:
            return None
        self._check(features, data.n_users)
        return features

    def _asked(self, histories: Histories) -> tuple[FloatArray, ...]:
        """Features as the network takes them: zeros where none are given, nothing without any."""
        features = histories.features
        if features is not None:
            self._check(features, len(histories))
            return (features.astype(np.float32, copy=False),)
        if self._n_features:
            return (np.zeros((len(histories), self._n_features), dtype=np.float32),)
        return ()

    def _check(self, features: FloatArray, n_users: int) -> None:
        if not self._n_features:
            raise InvalidInput(
                "this model was fitted without features of users; leave them out, or fit it on "
                "make_dataset(..., users=...)",
                field="features",
            )
        if features.shape != (n_users, self._n_features):
            raise InvalidInput(
                f"features has the shape {features.shape}; it must be "
                f"{(n_users, self._n_features)}: a row of user_encoder for each user",
                field="features",
            )
        wrong = np.flatnonzero(~np.isfinite(features).all(axis=1))
        if len(wrong):
            raise InvalidInput(
                f"features of user {wrong[0]} are not finite; impute them first", field="features"
            )
