"""Optional capabilities of models, as protocols that callers check with `isinstance`.

`Model` defines the methods of all models. A model has a capability if it has the methods of the
protocol.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nearline.data.attributes import Attributes
from nearline.data.dataset import FloatArray, Histories, IntArray
from nearline.errors import InvalidInput
from nearline.kernels.diversity import Sparse
from nearline.models.base import Mask, Model, ModelPart, Ranking


@runtime_checkable
class AcceptsItems(Protocol):
    """Protocol of models to which items, texts and vectors can be added without training."""

    def put_items(
        self,
        items: Sequence[int],
        texts: Sequence[str],
        vectors: Mapping[str, FloatArray] | None = None,
    ) -> None:
        """Add items, or change the texts or vectors of items that the model knows.

        Parameters
        ----------
        items : sequence of int
            Indices of the items; an index of `n_items` or more extends the catalogue.
        texts : sequence of str
            Text of each item; "" for none.
        vectors : dict of str to float32 [len(items), d] or None
            Vectors of the items by column name.
        """
        ...


@runtime_checkable
class LearnsOnline(AcceptsItems, Protocol):
    """Protocol of models that are updated with new events without training."""

    def observe(self, before: Histories, events: Histories) -> None:
        """Update the model with new events of some users.

        Parameters
        ----------
        before : Histories
            All events of these users before the new ones, one row each.
        events : Histories
            New events of the same users, in order of arrival.
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
        """Replace all counts of events by those of `histories`; the settings are kept."""
        ...

    def preallocate(self, events: int) -> None:
        """Allocate memory for `events` more events in advance."""
        ...

    @property
    def learned_bytes(self) -> int:
        """Bytes used by what was learned since the model was fitted, restored or compacted."""
        ...

    @property
    def wants_compaction(self) -> bool:
        """Whether what was learned takes so much memory that `compact` is worth its time."""
        ...

    def compact(self) -> None:
        """Store what was learned as after a fit, which takes less memory; no score changes."""
        ...


class SparseScores(NamedTuple):
    """Scores of some items for one history; all other items have the score 0.

    Attributes
    ----------
    items : int32 [n]
        Different items, in any order.
    scores : float32 [n]
        Score of each.
    """

    items: IntArray
    scores: FloatArray


@runtime_checkable
class ScoresSparsely(Protocol):
    """Protocol of models that score only the neighbours of the items of a history."""

    @property
    def n_items(self) -> int:
        """Number of items that the model can score."""
        ...

    def score_many(self, histories: Histories) -> FloatArray:
        """Return the scores of all items; see `Model.score_many`."""
        ...

    def score_sparse(self, history: Histories) -> SparseScores:
        """Return the scores other than 0 for one history."""
        ...


@runtime_checkable
class UsesAttributes(Protocol):
    """Protocol of models that use attributes of users, as `Histories.features`."""

    def user_features(self, users: Sequence[Attributes]) -> FloatArray | None:
        """Return the features of users with these attributes; None if the model uses none."""
        ...


@runtime_checkable
class LearnsUsers(UsesAttributes, Protocol):
    """Protocol of models that learn, without training, what users with attributes take."""

    def learn_users(self, before: Histories, after: Histories) -> None:
        """Replace what was learned from some users.

        Parameters
        ----------
        before, after : Histories
            All events of these users that count, with their features, before and after a change of
            either.
        """
        ...

    def recount_users(self, histories: Histories) -> None:
        """Replace what was learned from all users, given their events that count and features."""
        ...


@runtime_checkable
class SearchesText(Protocol):
    """Protocol of models that can search items by their texts."""

    def search_text(self, text: str, k: int, *, allowed: Mask | None = None) -> Ranking:
        """Return the items whose texts are most similar to `text`.

        The result has one row of at most `k` items, with scores above 0 and up to 1. `allowed` is
        described in `Model.recommend_from`.
        """
        ...


@runtime_checkable
class DescribesItems(Protocol):
    """Protocol of models that know how similar the contents of items are to each other."""

    def describe(self, items: IntArray) -> Sparse:
        """Return features of items: one row each, of at most unit length.

        The dot product of two rows is the similarity of their items.
        """
        ...


@runtime_checkable
class RelatesItems(Protocol):
    """Protocol of models whose similarity of items consists of relations with names."""

    @property
    def relations(self) -> tuple[str, ...]:
        """Names of the relations."""
        ...

    def related(self, items: IntArray, k: int, relations: Sequence[str]) -> Ranking:
        """Return the `k` most similar items for each of some items, by some relations only."""
        ...


@runtime_checkable
class AdaptsWeights(Protocol):
    """Protocol of models whose score is a weighted sum of relations, with weights that can change.

    Attributes
    ----------
    factors : mapping of str to float
        Factors by which the weights of relations are multiplied; 1 for those that are not named.
        ``KIND/NAME`` is that for a kind of user; see `nearline.schema.segments`.
    """

    factors: Mapping[str, float]

    def set_factors(self, factors: Mapping[str, float]) -> None:
        """Replace the factors; the next score uses them. The mapping must not be modified."""
        ...

    def factors_for(self, history: Histories) -> Mapping[str, float]:
        """Return the factor of each relation for one history."""
        ...

    def trained_weights(self) -> dict[str, float]:
        """Return the weight of each relation, without factors."""
        ...

    def relation_parts(self, history: Histories, items: IntArray) -> NDArray[np.float64]:
        """Return what each relation adds to the scores of n items: float64 [n, R].

        The sum of a row, each part times the factor of its relation, is the score of an item for a
        user in a session. The order of the relations is that of `trained_weights`.
        """
        ...


@runtime_checkable
class PredictsRatings(Protocol):
    """Protocol of models that predict the rating of an item by a user."""

    def predict(self, users: IntArray, items: IntArray) -> FloatArray:
        """Predict the ratings of n pairs of users and items of the training data: float32 [n]."""
        ...


@runtime_checkable
class Explains(Protocol):
    """Protocol of models that can split a score into parts."""

    def explain(self, history: Histories, item: int) -> list[ModelPart]:
        """Return parts of the score of `item` for one history, whose sum is the score."""
        ...


def predict(model: Model, users: IntArray, items: IntArray) -> FloatArray:
    """Predict the ratings of n pairs of users and items of the training data: float32 [n].

    Raises
    ------
    InvalidInput
        The model does not predict ratings.
    """
    if not isinstance(model, PredictsRatings):
        raise InvalidInput(f"model {model.name!r} predicts no ratings")
    return model.predict(users, items)


def related(model: Model, items: IntArray, k: int, relations: Sequence[str]) -> Ranking:
    """Return the `k` most similar items for each of some items, by some relations only.

    Parameters
    ----------
    relations : sequence of str
        Names of relations of the model, or of one of its parts. A name that ends with a colon
        stands for all relations that begin with it.

    Raises
    ------
    InvalidInput
        Neither the model nor one of its parts has relations.
    """
    for part in _parts(model):
        if isinstance(part, RelatesItems):
            return part.related(items, k, relations)
    raise InvalidInput(
        f"relation: the active model, {model.name}, has no relations between items; omit it, or "
        "train item_graph",
        field="relation",
    )


def _parts(model: Model) -> Iterator[Model]:
    """Yield a model, and the models of which it consists."""
    yield model
    for part in getattr(model, "parts", ()):
        if isinstance(part, Model):
            yield from _parts(part)


def explain(model: Model, history: Histories, item: int) -> list[ModelPart]:
    """Return parts of the score of `item` for one history.

    If the model is not `Explains`, the score is one part with the name of the model. The result is
    empty if the score is 0.
    """
    if isinstance(model, Explains):
        return model.explain(history, item)
    score = float(model.score(history, np.array([item], dtype=np.int32))[0])
    return [ModelPart(-1, model.name, score)] if score else []
