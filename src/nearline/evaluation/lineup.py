"""Classical, neural and large models side by side, and what they are asked about the cold."""

from dataclasses import replace
from typing import Any

import numpy as np

from nearline.data.dataset import Dataset
from nearline.data.splits import Split
from nearline.evaluation.comparison import Contestant, Question
from nearline.models.base import Model
from nearline.models.registry import make_model

# Networks stop early by lists of so many users: of all, that would take longer than the training.
JUDGED: dict[str, Any] = {"training": {"validation_users": 2_000}}

# Name in the table, model, settings, whether it sees the vectors of a language model.
LINEUP: tuple[tuple[str, str, dict[str, Any], bool], ...] = (
    ("popularity", "popularity", {}, False),
    ("user kNN", "user_knn", {}, False),
    ("item kNN", "item_knn", {}, False),
    ("SVD", "svd", {"centre": "none", "factors": 64}, False),
    ("ALS", "implicit_als", {}, False),
    ("content", "content", {}, False),
    ("NCF", "ncf", JUDGED, False),
    ("two towers", "two_tower", JUDGED, True),
    ("GRU", "gru4rec", JUDGED, True),
    ("CNN", "nextitnet", JUDGED, True),
    ("transformer", "sasrec", JUDGED, True),
    ("item graph", "item_graph", {}, False),
    ("item graph, language", "item_graph", {}, True),
)
BLEND = "full blend"
COLD_USERS, COLD_ITEMS = "cold users", "cold items"
# Events that are known of a cold user, and most that an item had in training.
KNOWN, RARE = 3, 3


def contestants(blend: Model) -> list[Contestant]:
    """Every kind of model, not fitted, and the blend."""
    singles = [
        Contestant(name, make_model(model, settings), vectors)
        for name, model, settings, vectors in LINEUP
    ]
    return [*singles, Contestant(BLEND, blend)]


def sample_test_users(split: Split, most: int, seed: int) -> Split:
    """Ask about `most` of the users at most, drawn at random; all are trained on.

    Where no interaction has a rating, each counts as a rating of 1: so SVD can take part.
    """
    users = np.flatnonzero(np.diff(split.test.indptr))
    drawn = np.zeros(len(split.test), dtype=np.bool_)
    drawn[np.random.default_rng(seed).permutation(users)[:most]] = True
    test = split.test.take(np.repeat(drawn, np.diff(split.test.indptr)))
    return Split(_rated(split.train), test)


def cold_questions(split: Split) -> dict[str, Question]:
    """Ask again: as if the last three events of each user were known, and for rare items alone.

    An item is rare that has at most three events in training; a question nobody can be asked is
    left out. Items that a user had before the three may stand in the list, as with a new user.
    """
    data = split.train
    sizes = np.diff(data.histories.indptr)
    from_end = np.repeat(data.histories.indptr[1:], sizes) - np.arange(data.n_interactions)
    last = data.histories.take(from_end <= KNOWN)
    counts = np.bincount(data.histories.items, minlength=data.n_items)
    known = split.test.items >= 0
    rare = known & (counts[np.where(known, split.test.items, 0)] <= RARE)
    asked = {
        COLD_USERS: Question(last, split.test),
        COLD_ITEMS: Question(data.histories, split.test.take(rare)),
    }
    return {name: one for name, one in asked.items() if len(one.test.items)}


def _rated(data: Dataset) -> Dataset:
    if np.isfinite(data.values).any():
        return data
    return replace(data, values=np.ones_like(data.values))
