"""Interface of all models. Methods that only some models have are in `capabilities`."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Self

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nearline.common.progress import Progress, no_progress
from nearline.data.dataset import Dataset, FloatArray, Histories, IntArray
from nearline.errors import Damaged, InvalidInput, NearlineError, NotTrained

Mask = NDArray[np.bool_]
# Arrays of a snapshot by name.
Arrays = dict[str, NDArray[Any]]


class Ranking(NamedTuple):
    """Lists of the k best items for n users.

    Attributes
    ----------
    items : int32 [n, k]
        Item indices, best first; shorter lists are padded with -1.
    scores : float32 [n, k]
        Scores of the items; 0 for padding.
    """

    items: IntArray
    scores: FloatArray


class ModelPart(NamedTuple):
    """One term of a score.

    Attributes
    ----------
    source : int
        Position of an event in the history; -1 for a term that does not belong to an event.
    relation : str
        Name of the relation or model that contributes the term.
    amount : float
        Value of the term.
    """

    source: int
    relation: str
    amount: float


class Range(NamedTuple):
    """Search range of a numeric setting; if both bounds are integers, it contains only integers.

    Attributes
    ----------
    low, high : float
        Bounds, which belong to the range.
    log : bool
        Whether the search is uniform on a logarithmic scale.
    """

    low: float
    high: float
    log: bool = False


# Search space: dotted name of each setting, with its range or a tuple of its possible values.
Space = Mapping[str, Range | tuple[Any, ...]]


class Model(ABC):
    """Abstract base class of models, which rank items for histories of users.

    Users and items are numbered from 0. A subclass is defined in a module of `nearline.models`,
    where `discover` finds it. It defines `name` and `config_type` (a frozen msgspec Struct that
    rejects unknown fields), and its method `fit` sets `fitted_on`.

    Attributes
    ----------
    space : dict
        Settings that a hyper-parameter search may change, with their ranges.
    config : Struct
        Settings of the model; after a fit with validation data, the settings that were chosen.
    fitted_on : Histories or None
        Histories of the users of the last `fit`. None after `restore`, as snapshots contain no
        users.

    Notes
    -----
    Models that use the weights of histories raise InvalidInput for weights that are not finite, in
    `fit` and in scoring.
    """

    name: ClassVar[str]
    config_type: ClassVar[type[Struct]]
    # Whether the weights of histories must be ratings (see `Dataset.rated`).
    needs_ratings: ClassVar[bool] = False
    # Whether `fit` chooses settings if there is validation data.
    tunes_itself: ClassVar[bool] = False
    space: ClassVar[Space] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        """Prepare msgspec for the settings, since their first use in two threads would crash it."""
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
            Held-out events, one row per user of `data`, by which settings are chosen. The model is
            never trained on them. None keeps the settings.
        seed : int
            Seed of all random numbers.
        progress : callable
            Progress callback.

        Returns
        -------
        Model
            This model.
        """

    def refit(self, data: Dataset, *, seed: int = 0, progress: Progress = no_progress) -> Self:
        """Train a new model with the settings of this one, and return it."""
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
        """Return the `k` best items for users of the training data.

        Parameters
        ----------
        users : int32 [n]
            Indices of the users.
        k : int
            Length of the lists.
        histories : Histories or None
            Histories to use instead of those in the training data, one row for each of `users`,
            which can then be any indices.
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
        """Number of items that the model can score; their indices are below it."""
        return int(self.score_many(Histories.from_rows([[]])).shape[1])

    def score(self, history: Histories, items: IntArray) -> FloatArray:
        """Return the scores of m items for one history: float32 [m], 0 for unknown items."""
        scores = self.score_many(history)[0]
        known = (items >= 0) & (items < len(scores))
        found = np.zeros(len(items), dtype=np.float32)
        found[known] = scores[items[known]]
        return found

    @abstractmethod
    def score_many(self, histories: Histories) -> FloatArray:
        """Return the scores of all items for each history: float32 [n_users, n_items].

        The method is intended for tests, evaluation and small catalogues.
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
        """Return the `k` best items for each history.

        Parameters
        ----------
        histories : Histories
            Events of the users, one row each.
        k : int
            Length of the lists, at least 1.
        exclude_seen : bool
            Whether to exclude the items of a history from its list.
        allowed : bool [n_items] or None
            Only items for which this is true are returned; None allows all.
        """

    @abstractmethod
    def similar(self, items: IntArray, k: int) -> Ranking:
        """Return the `k` most similar items for each of some items, without the item itself."""

    @abstractmethod
    def arrays(self) -> Arrays:
        """Return all learned parameters as arrays by name, for a snapshot."""

    @classmethod
    def restore(cls, config: Struct, arrays: Arrays) -> Self:
        """Create a trained model from its settings and the result of the method `arrays`.

        The arrays may be memory-mapped and read-only.

        Raises
        ------
        Damaged
            An array is missing or does not match the settings.
        """
        model = cls(config)
        try:
            model._load(arrays)
        except NearlineError:
            raise
        except KeyError as error:
            raise Damaged(f"the array {error} of {cls.name} is missing; fit again") from None
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
            raise Damaged(f"the arrays of {cls.name} do not fit together ({error})") from error
        return model

    @abstractmethod
    def _load(self, arrays: Arrays) -> None:
        """Set the learned parameters from `arrays`; raise KeyError if an array is missing."""


def check_k(k: int) -> None:
    """Raise InvalidInput if `k`, the length of a list, is less than 1."""
    if k < 1:
        raise InvalidInput(f"k is {k}; it must be at least 1", field="k")


def check_single(history: Histories) -> None:
    """Raise InvalidInput unless `history` has exactly one row."""
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
