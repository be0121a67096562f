"""Similarity of sets: common parts of item-based and user-based nearest neighbours of events."""

from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nearline.data.dataset import Dataset, Histories
from nearline.kernels.sets import Sets
from nearline.models.base import Range, Space
from nearline.models.item_weights import liked_once
from nearline.models.settings import require, require_one_of

Doubles = NDArray[np.float64]

MEASURES = ("cosine", "tfidf", "bm25")
MEASURE_SPACE: Space = {
    "measure": MEASURES,
    "neighbours": Range(10, 1_000, log=True),
    "shrinkage": Range(0.0, 200.0),
}


class MeasureConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of both nearest-neighbour models, which are described in the subclasses."""

    measure: str = "cosine"
    neighbours: int | None = 100
    threshold: float = 0.0
    shrinkage: float = 0.0
    k1: float = 1.2
    b: float = 0.75

    def __post_init__(self) -> None:
        require_one_of(self, "measure", MEASURES)
        if self.neighbours is not None:
            require(self, "neighbours", 1, 100_000)
        for field in ("threshold", "shrinkage", "k1"):
            require(self, field, 0, 1e9)
        require(self, "b", 0, 1)


class Measure(NamedTuple):
    """Similarity measure of sets of features, with learned weights of the features.

    For sets r and t with n features in common,
    ``s(r, t) = n / (n + shrinkage) * scale_r * scale_t * sum of weights of common features``.

    Attributes
    ----------
    config : MeasureConfig
        Settings, which include the name of the measure.
    weights : float64 [n_features] or None
        Squared weight of each feature; None for weights of 1.
    mean_size : float
        Mean number of features of a set.
    """

    config: MeasureConfig
    weights: Doubles | None
    mean_size: float

    def scales(self, sets: Sets) -> Doubles:
        """Compute the scale of each of n sets: float64 [n], 0 if all its features have weight 0."""
        sizes = np.diff(sets.indptr).astype(np.float64)
        if self.config.measure == "bm25":
            k1, b = self.config.k1, self.config.b
            relative = sizes / self.mean_size if self.mean_size > 0 else sizes
            saturated: Doubles = (k1 + 1) / (k1 * (1 - b + b * relative) + 1)
            return saturated
        squares: Doubles = sizes
        if self.weights is not None:
            owner = np.repeat(np.arange(len(sizes)), np.diff(sets.indptr))
            squares = np.bincount(owner, self.weights[sets.items], minlength=len(sizes)).astype(
                np.float64
            )
        scales: Doubles = np.zeros(len(sizes))
        np.divide(1.0, np.sqrt(squares), out=scales, where=squares > 0)
        return scales


def fit_measure(config: MeasureConfig, sets: Sets, lists: Sets) -> Measure:
    """Compute the weights of features for a measure.

    A feature that df of N sets contain has the weight ``idf = max(0, ln(N / (1 + df)))`` (K. Spärck
    Jones, "A statistical interpretation of term specificity", J. Documentation 28(1), 1972). In
    BM25, a feature of a set of m features has the weight
    ``idf * (k1 + 1) / (k1 (1 - b + b m / mean m) + 1)`` (S. Robertson, H. Zaragoza, "The
    probabilistic relevance framework: BM25 and beyond", 2009).

    Parameters
    ----------
    config : MeasureConfig
        Settings, which include the name of the measure.
    sets, lists : Sets
        Features of each set, and the transpose: the sets that contain each feature.
    """
    n = len(sets.indptr) - 1
    mean_size = len(sets.items) / n if n else 0.0
    if config.measure == "cosine":
        return Measure(config, None, mean_size)
    # The logarithm of the quotient: a difference of logarithms may be just above 0 where it is 0.
    idf = np.log(max(n, 1) / (1.0 + np.diff(lists.indptr)))
    return Measure(config, np.maximum(idf, 0.0) ** 2, mean_size)


def liked_sets(histories: Histories, n_items: int) -> tuple[Sets, NDArray[np.bool_]]:
    """Return the set of liked items of each history, and whether each event is one: bool [n]."""
    kept = (liked_once(histories) > 0) & (histories.items < n_items)
    before = np.concatenate(([0], np.cumsum(kept)))
    return Sets(before[histories.indptr].astype(np.int64), histories.items[kept]), kept


def fitted_sets(data: Dataset) -> Sets:
    """Return the set of liked items of each user.

    Raises
    ------
    InvalidInput
        The weight of an event is not finite.
    """
    return liked_sets(data.histories, data.n_items)[0]
