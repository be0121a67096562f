"""Two-tower model: the score is the cosine of the outputs of a user and an item network."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nearline.common.progress import Progress, no_progress
from nearline.data.attributes import Attributes, table_of_users
from nearline.data.dataset import Dataset, FloatArray, Histories
from nearline.data.users import UserEncoder
from nearline.errors import InvalidInput
from nearline.models.base import Range, Space
from nearline.models.sequence.sequence_model import SequenceConfig, SequenceModel, SequenceObjective
from nearline.models.settings import require

USERS = "users/"


class TwoTowerConfig(SequenceConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `TwoTower` in addition to those of `SequenceConfig`.

    Attributes
    ----------
    hidden : int
        Number of hidden units of the perceptron in the user tower.
    history_dropout : float
        Probability of dropping a whole history in a step, if users have features.
    """

    hidden: int = 256
    longest: int = 100
    dropout: float = 0.2
    history_dropout: float = 0.5
    objective: SequenceObjective = SequenceObjective(unit=True, temperature=0.1, in_batch=1024)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "hidden", 1, 8_192)
        require(self, "history_dropout", 0, 1)


class TwoTower(SequenceModel):
    """User tower over liked items and user features; item tower over ID and item features.

    X. Yi, J. Yang, L. Hong, D. Z. Cheng, L. Heldt, A. Kumthekar, Z. Zhao, L. Wei, E. Chi,
    "Sampling-bias-corrected neural modeling for large corpus item recommendations", RecSys 2019:
    unit vectors, a temperature, and softmax over the items of the batch with logQ correction;
    additional sampled negatives as in J. Yang et al., "Mixed negative sampling for learning
    two-tower neural networks in recommendations", WWW 2020 companion; user features as in
    P. Covington, J. Adams, E. Sargin, "Deep neural networks for YouTube recommendations", RecSys
    2016, section 3.3.

    If the training data has `user_features`, the user tower reads them. They are passed with the
    histories (`Histories.features`): `recommend` looks up those of users of the training data; for
    other users the caller passes the result of `user_encoder`. Without features, scores depend only
    on the history.

    Attributes
    ----------
    user_encoder : UserEncoder or None
        Encoder of the features of new users; None if the training data had none.
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
        """Train both towers; see `SequenceModel.fit`.

        With user features, the model also learns from the first event of each user.

        Raises
        ------
        MissingExtra
            PyTorch or the packages for exporting its networks are not installed.
        InvalidInput
            A weight, vector or feature is not finite, the loss diverged, or the checkpoint belongs
            to another training run.
        """
        features = data.user_features
        self._n_features = 0 if features is None else features.shape[1]
        self._user_features(data)
        self.user_encoder = data.user_encoder
        super().fit(data, validation=validation, seed=seed, progress=progress)
        self.fitted_on = replace(data.histories, features=features)
        return self

    def score_many(self, histories: Histories) -> FloatArray:
        """Return the scores of all items, float32 [n_users, n_items], by events and user features.

        For a user without a known liked event, scores are based on ``histories.features``, or on
        popularity if these are all 0 or missing.
        """
        table = self._table[: self.n_items]
        return self._scores(histories, self._encode, table, *self._features_of(histories))

    def user_vectors(self, histories: Histories) -> FloatArray:
        """Return vectors of users: float32 [n_users, width], zero without events and features."""
        return self._vectors(histories, *self._features_of(histories))

    def user_features(self, users: Sequence[Attributes]) -> FloatArray | None:
        """Return the features of users with these attributes; None if it was fitted without."""
        encoder = self.user_encoder
        if encoder is None:
            return None
        numbers = {column.name: column.labels is None for column in encoder.columns}
        features = encoder.encode(table_of_users(users, numbers))
        features[[not user for user in users]] = 0.0
        return features

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of a sequence model and the encoder of user features."""
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

    def _user_features(self, data: Dataset) -> FloatArray | None:
        features = data.user_features
        if features is None or not self._n_features:
            return None
        self._check(features, data.n_users)
        return features

    def _features_of(self, histories: Histories) -> tuple[FloatArray, ...]:
        """Return the inputs of the network for user features, zeros if these are missing."""
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
                "this model was fitted without user features; leave them out, or fit it on "
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
