"""What only some models can do: protocols, each of which a caller checks with `isinstance`.

`Model` has what every model can do. A model gains a capability by having its methods.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from nearline.data.dataset import FloatArray, Histories, IntArray
from nearline.models.base import Mask, Model, ModelPart, Ranking


@runtime_checkable
class AcceptsItems(Protocol):
    """Takes new items, and new text or vectors of known ones, without a fit."""

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
            Indices; one not below `n_items` makes the catalogue grow.
        texts : sequence of str
            Text of each item, "" for none.
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
        """Undo what was learned from users; `histories` holds all of their events."""
        ...

    def rebuild_counts(self, histories: Histories, n_items: int) -> None:
        """Replace what events taught by a count of `histories`; settings stay."""
        ...

    def preallocate(self, events: int) -> None:
        """Allocate the memory that this many events need, so that it does not grow meanwhile."""
        ...

    @property
    def pair_window(self) -> int:
        """Number of events around a new one that `observe` needs."""
        ...


@runtime_checkable
class SearchesText(Protocol):
    """Finds items by their text."""

    def search_text(self, text: str, k: int, *, allowed: Mask | None = None) -> Ranking:
        """Items whose text is most similar to `text`: one row of at most k, scores above 0 to 1.

        `allowed` is as in `Model.recommend_from`.
        """
        ...


@runtime_checkable
class PredictsRatings(Protocol):
    """Predicts the rating that a user would give an item."""

    def predict(self, users: IntArray, items: IntArray) -> FloatArray:
        """Ratings for pairs of users and items of the fitted data, float32 [n]."""
        ...


@runtime_checkable
class Explains(Protocol):
    """Splits a score into parts."""

    def explain(self, history: Histories, item: int) -> list[ModelPart]:
        """Parts of the score of `item` for one history; they sum to it.

        The `source` of a part is a position in the history, or -1 for a part without one.
        """
        ...


def explain(model: Model, history: Histories, item: int) -> list[ModelPart]:
    """Explain a score by `Explains`; for other models, by one part with the model's name."""
    if isinstance(model, Explains):
        return model.explain(history, item)
    score = float(model.score(history, np.array([item], dtype=np.int32))[0])
    return [ModelPart(-1, model.name, score)] if score else []
