"""Batches while the catalogue grows."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

import nearline as nl
from nearline.recommend.batch import _columns
from nearline.recommend.lists import Lists


def test_items_that_arrive_during_a_batch_have_ids() -> None:
    """The lists of a block may contain items that are newer than the start of the batch."""
    engine = nl.Recommender()
    engine.observe("ann", "tea")

    def blocks() -> Iterator[Lists]:
        yield _lists([[0, -1]])
        engine.observe("bob", "mug")
        yield _lists([[1, 0]])

    found = _columns(["ann", "bob"], blocks(), engine._view())
    assert found["user_id"].to_pylist() == ["ann", "bob", "bob"]
    assert found["item_id"].to_pylist() == ["tea", "mug", "tea"]
    assert found["rank"].to_pylist() == [1, 1, 2]


def _lists(items: list[list[int]]) -> Lists:
    indices: NDArray[np.int32] = np.array(items, dtype=np.int32)
    return Lists(indices, np.ones(indices.shape), np.zeros(indices.shape, dtype=np.int8))
