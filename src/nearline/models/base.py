"""The interface of every model; `capabilities` has what only some models can do."""

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
# Named arrays, as a snapshot stores them.
Arrays = dict[str, NDArray[Any]]


class Ranking(NamedTuple):
    """Top-k lists.

    Attributes
    ----------
    items : int32 [n, k]
        Item indices, best first; -1 where a row has fewer than k items.
    scores : float32 [n, k]
        Scores of the items; 0 where the item is -1.
    """

    items: IntArray
    scores: FloatArray


class ModelPart(NamedTuple):
    """One term of a score.

    Attributes
    ----------
    source : int
        Position of an event in the history; -1 for a term that belongs to no event.
    relation : str
        Name of the relation or model that the term comes from.
    amount : float
        Value of the term.
    """

    source: int
    relation: str
    amount: float


class Range(NamedTuple):
    """Search range of a numeric setting; integers only if both bounds are integers.

    Attributes
    ----------
    low, high : float
        Bounds, both included.
    log : bool
        Whether to search uniformly on a logarithmic scale.
    """

    low: float
    high: float
    log: bool = False


# Search space: dotted name of each setting, with its range or a tuple of its possible values.
Space = Mapping[str, Range | tuple[Any, ...]]


class Model(ABC):
    """A recommender over dense indices of users and items: arrays in, arrays out.

    A subclass defines `name` and `config_type` (a frozen msgspec Struct that rejects unknown
    fields), lives in a module of `nearline.models`, where `discover` finds it, and sets `fitted_on`
    in `fit`.

    Attributes
    ----------
    space : dict
        Settings that a hyper-parameter search may vary, and their ranges.
    config : Struct
        Settings; after a fit with validation data, the chosen ones.
    fitted_on : Histories or None
        Histories of the users of the last `fit`. None after `restore`, as snapshots contain no
        users.

    Notes
    -----
    Every model that reads the weights of histories raises InvalidInput for weights that are not
    finite, both in `fit` and when it scores.
    """

    name: ClassVar[str]
    config_type: ClassVar[type[Struct]]
    # True for models of ratings: weights of histories are ratings to them (`Dataset.rated`).
    needs_ratings: ClassVar[bool] = False
    # True for models whose `fit` chooses settings if it is given validation data.
    tunes_itself: ClassVar[bool] = False
    space: ClassVar[Space] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        """Let msgspec inspect the settings now: first use from two threads would crash it."""
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
        """Train the model.

        Parameters
        ----------
        data : Dataset
            Training data.
        validation : Histories or None
            Held-out events, one row per user of `data`. They are used to choose hyper-parameters
            and never trained on; None keeps the configuration.
        seed : int
            Seed of all random numbers.
        progress : callable
            Progress callback.

        Returns
        -------
        Model
            The model itself.
        """

    def refit(self, data: Dataset, *, seed: int = 0, progress: Progress = no_progress) -> Self:
        """Train a new model with the settings of this one."""
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
        """Recommend k items to users of the training data.

        Parameters
        ----------
        users : int32 [n]
            Indices of users.
        k : int
            Length of the lists.
        histories : Histories or None
            One row for each of `users`, to use instead of the histories in the training data. With
            it, `users` may be any indices.
        exclude_seen, allowed
            As in `recommend_from`.

        Raises
        ------
        NotTrained
            No histories are given, and the model was not trained in this process.
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
        """Score some items for one history: float32 [len(items)]; 0 for unknown items."""
        scores = self.score_many(history)[0]
        known = (items >= 0) & (items < len(scores))
        return np.where(known, scores[np.where(known, items, 0)], np.float32(0.0))

    @abstractmethod
    def score_many(self, histories: Histories) -> FloatArray:
        """Score all items for each history: float32 [n_users, n_items].

        Intended for tests, evaluation and small catalogues.
        """

    @abstractmethod
    def recommend_from(
        self,
        histories: Histories,
        k: int,
        *,
        exclude_seen: bool = True,
        allowed: Mask | None = None,
    ) -> Ranking:
        """Recommend k items for each history.

        Parameters
        ----------
        histories : Histories
            Events of the users, one row each.
        k : int
            Length of the lists, at least 1.
        exclude_seen : bool
            Whether to exclude the items of a history from its list.
        allowed : bool [n_items] or None
            Only items with True are listed; None allows all.
        """

    @abstractmethod
    def similar(self, items: IntArray, k: int) -> Ranking:
        """Find the k nearest neighbours of each item, not including the item itself."""

    @abstractmethod
    def arrays(self) -> Arrays:
        """Return all learned parameters, for a snapshot."""

    @classmethod
    def restore(cls, config: Struct, arrays: Arrays) -> Self:
        """Rebuild a trained model from its `arrays`, which may be memory-mapped and read-only.

        Raises
        ------
        Damaged
            An array is missing or does not match the settings.
        """
        model = cls(config)
        try:
            model._load(arrays)
        except KeyError as error:
            raise Damaged(f"the array {error} of {cls.name} is missing; fit again") from None
        return model

    @abstractmethod
    def _load(self, arrays: Arrays) -> None:
        """Set the parameters from `arrays`; raise KeyError if one is missing."""


def check_k(k: int) -> None:
    """Raise InvalidInput if the length of a list is below 1."""
    if k < 1:
        raise InvalidInput(f"k is {k}; it must be at least 1", field="k")


def check_single(history: Histories) -> None:
    """Raise InvalidInput unless there is exactly one history to explain."""
    if len(history) != 1:
        raise InvalidInput(f"history has {len(history)} rows; explain takes one")


def check_indices(indices: IntArray, n: int, what: str) -> None:
    """Raise InvalidInput if an index of `what` is not in ``range(n)``."""
    wrong = (indices < 0) | (indices >= n)
    if wrong.any():
        raise InvalidInput(
            f"{what} holds the index {indices[wrong][0]}; known are 0 to {n - 1}", field=what
        )


def check_validation(validation: Histories, data: Dataset) -> None:
    """Raise InvalidInput unless `validation` has one row for each user of `data`."""
    if len(validation) != data.n_users:
        raise InvalidInput(
            f"validation has {len(validation)} rows; give one for each of the "
            f"{data.n_users} users of data"
        )


def check_weights(histories: Histories) -> None:
    """Raise InvalidInput if the weight of an event is not finite."""
    finite = np.isfinite(histories.weights)
    if not finite.all():
        wrong = int(np.flatnonzero(~finite)[0])
        raise InvalidInput(
            f"event {wrong} has the weight {histories.weights[wrong]}; weights must be finite: "
            "drop or impute such events first",
            field="weights",
        )
