"""The interface of every model; `capabilities` has what only some can do."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Self

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nearline.common.progress import Progress, no_progress
from nearline.data.dataset import Dataset, FloatArray, Histories, IntArray
from nearline.errors import Damaged, InvalidInput, NotTrained

Mask = NDArray[np.bool_]


class Ranking(NamedTuple):
    """Top-k lists.

    Attributes
    ----------
    items : int32 [n, k]
        Item indices, best first; -1 where a row has fewer than k items.
    scores : float32 [n, k]
        Scores beside them; 0 where the item is -1.
    """

    items: IntArray
    scores: FloatArray


class ModelPart(NamedTuple):
    """One summand of a score: history position, relation name, amount."""

    source: int
    relation: str
    amount: float


class Range(NamedTuple):
    """What a search may set a number to: from `low` to `high`, whole numbers if both are.

    `log` searches evenly over the logarithm.
    """

    low: float
    high: float
    log: bool = False


# Dotted name of a setting to what a search may set it to: a range, or one of several values.
Space = Mapping[str, Range | tuple[Any, ...]]


class Model(ABC):
    """A recommender over dense indices: arrays in, arrays out.

    Weights of histories that are not finite are refused (InvalidInput), in a fit and in a question,
    by every model that reads them.

    A subclass declares `name` and `config_type` (a frozen msgspec Struct that refuses unknown
    fields), lives in a module of its own in `nearline.models` (`discover` finds it there) and sets
    `fitted_on` in `fit`.

    Attributes
    ----------
    space : dict
        Settings that a search over hyper-parameters may vary, and in what bounds.
    config : Struct
        Settings; after a fit with validation data, those that were chosen.
    fitted_on : Histories or None
        What the users of the last `fit` did; None after `restore`: snapshots hold no users.
    """

    name: ClassVar[str]
    config_type: ClassVar[type[Struct]]
    # True for models of ratings: weights of histories are ratings to them (`Dataset.rated`).
    needs_ratings: ClassVar[bool] = False
    # True for models whose `fit` chooses settings when it is given validation data.
    tunes_itself: ClassVar[bool] = False
    space: ClassVar[Space] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        """Have msgspec look at the settings now: two threads that made it do so would crash it."""
        super().__init_subclass__(**options)
        if "config_type" in vars(cls):
            msgspec.json.Decoder(cls.config_type)

    def __init__(self, config: Struct | None = None) -> None:
        self.config: Any = config if config is not None else self.config_type()
        self.fitted_on: Histories | None = None

    @abstractmethod
    def fit(
        self,
        data: Dataset,
        *,
        validation: Histories | None = None,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Self:
        """Learn from `data`.

        `validation` (one row a user of `data`) chooses hyper-parameters and is never trained on;
        without it the configuration is used as it stands.
        """

    def refit(self, data: Dataset, *, seed: int = 0, progress: Progress = no_progress) -> Self:
        """Fit a model with the settings that this one has come to on other data."""
        return type(self)(self.config).fit(data, seed=seed, progress=progress)

    def recommend(
        self,
        users: IntArray,
        k: int,
        *,
        histories: Histories | None = None,
        exclude_seen: bool = True,
        allowed: Mask | None = None,
    ) -> Ranking:
        """Top-k items for users of the fitted data, by index, one row each.

        `histories`, one row for each of `users`, replaces what they did in that data; then any
        user will do. Other arguments are as in `recommend_from`.

        Raises
        ------
        NotTrained
            There are no histories: the model was not fitted in this process and none are given.
        """
        if histories is None:
            if self.fitted_on is None:
                raise NotTrained("this model knows no users; give their histories, or fit it")
            histories = self.fitted_on.select(np.asarray(users, dtype=np.int64))
        return self.recommend_from(histories, k, exclude_seen=exclude_seen, allowed=allowed)

    @property
    def n_items(self) -> int:
        """Number of items that the model knows: indices 0 to n_items - 1."""
        return int(self.score_many(Histories.from_rows([[]])).shape[1])

    def score(self, history: Histories, items: IntArray) -> FloatArray:
        """Scores of some items for one history, float32 [len(items)]; 0 for unknown items."""
        scores = self.score_many(history)[0]
        known = (items >= 0) & (items < len(scores))
        return np.where(known, scores[np.where(known, items, 0)], np.float32(0.0))

    @abstractmethod
    def score_many(self, histories: Histories) -> FloatArray:
        """Scores [n_users, n_items] for these histories: for tests and small catalogues."""

    @abstractmethod
    def recommend_from(
        self,
        histories: Histories,
        k: int,
        *,
        exclude_seen: bool = True,
        allowed: Mask | None = None,
    ) -> Ranking:
        """Top-k items for each history; only items where `allowed` [n_items] is true."""

    @abstractmethod
    def similar(self, items: IntArray, k: int) -> Ranking:
        """Top-k neighbours of each item, itself left out."""

    @abstractmethod
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything learned, for a snapshot."""

    @classmethod
    def restore(cls, config: Struct, arrays: dict[str, NDArray[Any]]) -> Self:
        """Rebuild a fitted model from `arrays`, which may be memory-mapped and read-only.

        Raises
        ------
        Damaged
            An array is missing, or is not what the settings ask for.
        """
        model = cls(config)
        try:
            model._load(arrays)
        except KeyError as error:
            raise Damaged(f"the array {error} of {cls.name} is missing; fit again") from None
        return model

    @abstractmethod
    def _load(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Take what `arrays` made; a missing array is a KeyError."""


def check_k(k: int) -> None:
    """Refuse a length of a list below 1.

    Raises
    ------
    InvalidInput
        k is below 1.
    """
    if k < 1:
        raise InvalidInput(f"k is {k}; it must be at least 1", field="k")


def check_weights(histories: Histories) -> None:
    """Refuse weights of events that are not finite.

    Raises
    ------
    InvalidInput
        A weight is not finite.
    """
    finite = np.isfinite(histories.weights)
    if not finite.all():
        wrong = int(np.flatnonzero(~finite)[0])
        raise InvalidInput(
            f"event {wrong} has the weight {histories.weights[wrong]}; weights must be finite: "
            "drop or impute such events first",
            field="weights",
        )


class RatingModel(Model):
    """A model of ratings on a scale, which can say what a user would give an item.

    `fit` learns from ``data.rated()``; the weights of histories are ratings.
    """

    needs_ratings: ClassVar[bool] = True

    @abstractmethod
    def predict(self, users: IntArray, items: IntArray) -> FloatArray:
        """Ratings for pairs of users and items of the fitted data, float32 [n].

        Clipped to the scale: the least and largest rating that was fitted on. A user or item
        without ratings gets what is known of the other, or the mean.
        """
