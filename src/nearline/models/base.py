"""The verbs that every model has, and the registry that finds model classes."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nearline.data.dataset import Dataset, FloatArray, Histories, IntArray
from nearline.errors import NotTrained
from nearline.progress import Progress, no_progress

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


class Model(ABC):
    """A recommender over dense indices: arrays in, arrays out.

    A subclass declares `name` and `config_type` (a frozen msgspec Struct that refuses unknown
    fields), lives in a module of its own in `nearline.models` (`discover` finds it there) and sets
    `fitted_on` in `fit`.

    Attributes
    ----------
    config : Struct
        Settings; after a fit with validation data, those that were chosen.
    fitted_on : Histories or None
        What the users of the last `fit` did; None after `restore`: snapshots hold no users.
    """

    name: ClassVar[str]
    config_type: ClassVar[type[Struct]]

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
    @abstractmethod
    def restore(cls, config: Struct, arrays: dict[str, NDArray[Any]]) -> Self:
        """Rebuild a fitted model from `arrays` (which may be memory-mapped and read-only)."""
