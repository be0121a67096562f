"""Optional capabilities of models: protocols that a caller checks with `isinstance`.

`Model` defines what every model can do. A model has a capability if it has its methods.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from nearline.data.dataset import FloatArray, Histories, IntArray
from nearline.errors import InvalidInput
from nearline.models.base import Mask, Model, ModelPart, Ranking


@runtime_checkable
class AcceptsItems(Protocol):
    """Accepts new items, and new text or vectors of known ones, without training."""

    def put_items(
        self,
        items: Sequence[int],
        texts: Sequence[str],
        vectors: Mapping[str, FloatArray] | None = None,
    ) -> None:
        """Add items, or change the text or vectors of known ones.

        Parameters
        ----------
        items : sequence of int
            Indices; an index of `n_items` or more extends the catalogue.
        texts : sequence of str
            Text of each item; "" for none.
        vectors : dict of str to float32 [len(items), d] or None
            Vectors by column name.
        """
        ...


@runtime_checkable
class LearnsOnline(AcceptsItems, Protocol):
    """Learns from events while it serves."""

    def observe(self, before: Histories, events: Histories) -> None:
        """Learn from new events.

        Parameters
        ----------
        before : Histories
            All events of these users before the new ones, one row each.
        events : Histories
            Their new events, in order of arrival.
        """
        ...

    def forget(self, histories: Histories) -> None:
        """Remove everything that was learned from the events of some users.

        Parameters
        ----------
        histories : Histories
            All events of these users, one row each.
        """
        ...

    def rebuild_counts(self, histories: Histories, n_items: int) -> None:
        """Replace everything learned from events by counts of `histories`; keep the settings."""
        ...

    def preallocate(self, events: int) -> None:
        """Allocate the memory for this many more events in advance."""
        ...

    @property
    def pair_window(self) -> int:
        """Number of events around a new one that `observe` needs."""
        ...


@runtime_checkable
class SearchesText(Protocol):
    """Finds items by their text."""

    def search_text(self, text: str, k: int, *, allowed: Mask | None = None) -> Ranking:
        """Find the items whose text is most similar to `text`.

        Returns one row of at most k items with scores above 0 and up to 1. `allowed` is as in
        `Model.recommend_from`.
        """
        ...


@runtime_checkable
class PredictsRatings(Protocol):
    """Predicts the rating that a user would give an item."""

    def predict(self, users: IntArray, items: IntArray) -> FloatArray:
        """Predict ratings of pairs of users and items of the training data: float32 [n]."""
        ...


@runtime_checkable
class Explains(Protocol):
    """Splits a score into parts."""

    def explain(self, history: Histories, item: int) -> list[ModelPart]:
        """Split the score of `item` for one history into parts that sum to it."""
        ...


def predict(model: Model, users: IntArray, items: IntArray) -> FloatArray:
    """Predict ratings with a model that has the capability `PredictsRatings`.

    Raises
    ------
    InvalidInput
        The model does not predict ratings.
    """
    if not isinstance(model, PredictsRatings):
        raise InvalidInput(f"model {model.name!r} predicts no ratings")
    return model.predict(users, items)


def explain(model: Model, history: Histories, item: int) -> list[ModelPart]:
    """Explain a score with `Explains`, or by a single part that is named after the model."""
    if isinstance(model, Explains):
        return model.explain(history, item)
    score = float(model.score(history, np.array([item], dtype=np.int32))[0])
    return [ModelPart(-1, model.name, score)] if score else []
