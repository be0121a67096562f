"""Models of the comparison of all model types, and its scenarios of cold users and rare items."""

from dataclasses import replace
from typing import Any

import numpy as np

from nearline.data.dataset import Dataset
from nearline.data.splits import Split
from nearline.evaluation.comparison import Contestant, Scenario
from nearline.models.base import Model
from nearline.models.registry import make_model

# Early stopping evaluates a sample of users, since evaluating all would take longer than training.
SAMPLED_VALIDATION: dict[str, Any] = {"training": {"validation_users": 2_000}}

# Name in the results, name of the model, its settings, and whether it may use the vectors of a
# language model.
LINEUP: tuple[tuple[str, str, dict[str, Any], bool], ...] = (
    ("popularity", "popularity", {}, False),
    ("user kNN", "user_knn", {}, False),
    ("item kNN", "item_knn", {}, False),
    ("SVD", "svd", {"centre": "none", "factors": 64}, False),
    ("ALS", "implicit_als", {}, False),
    ("content", "content", {}, False),
    ("NCF", "ncf", SAMPLED_VALIDATION, False),
    ("two towers", "two_tower", SAMPLED_VALIDATION, True),
    ("GRU", "gru4rec", SAMPLED_VALIDATION, True),
    ("CNN", "nextitnet", SAMPLED_VALIDATION, True),
    ("transformer", "sasrec", SAMPLED_VALIDATION, True),
    ("item graph", "item_graph", {}, False),
    ("item graph, language", "item_graph", {}, True),
)
BLEND = "full blend"
COLD_USERS, COLD_ITEMS = "cold users", "cold items"
# Number of known events of a cold user, and maximum number of training events of a rare item.
KNOWN, RARE = 3, 3


def contestants(blend: Model) -> list[Contestant]:
    """Return an unfitted model of each type in `LINEUP`, followed by `blend`."""
    singles = [
        Contestant(name, make_model(model, settings), vectors)
        for name, model, settings, vectors in LINEUP
    ]
    return [*singles, Contestant(BLEND, blend)]


def sample_test_users(split: Split, most: int, seed: int) -> Split:
    """Return the split with a test part of `most` random users and an unchanged training part.

    If no interaction has a rating, all ratings are set to 1, since the model SVD needs ratings.
    """
    users = np.flatnonzero(np.diff(split.test.indptr))
    drawn = np.zeros(len(split.test), dtype=np.bool_)
    drawn[np.random.default_rng(seed).permutation(users)[:most]] = True
    test = split.test.take(np.repeat(drawn, np.diff(split.test.indptr)))
    return Split(_rated(split.train), test)


def cold_scenarios(split: Split) -> dict[str, Scenario]:
    """Return the scenarios of cold users and rare items by name.

    For cold users, all histories are reduced to their last three events; items of earlier events
    may be recommended. For rare items, only held-out items with at most three training events
    count. A scenario without a held-out item is left out.
    """
    data = split.train
    sizes = np.diff(data.histories.indptr)
    from_end = np.repeat(data.histories.indptr[1:], sizes) - np.arange(data.n_interactions)
    last = data.histories.take(from_end <= KNOWN)
    counts = np.bincount(data.histories.items, minlength=data.n_items)
    known = split.test.items >= 0
    rare = known & (counts[np.where(known, split.test.items, 0)] <= RARE)
    scenarios = {
        COLD_USERS: Scenario(last, split.test),
        COLD_ITEMS: Scenario(data.histories, split.test.take(rare)),
    }
    return {name: one for name, one in scenarios.items() if len(one.test.items)}


def _rated(data: Dataset) -> Dataset:
    if np.isfinite(data.values).any():
        return data
    return replace(data, values=np.ones_like(data.values))
