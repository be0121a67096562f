"""Answers while the catalogue grows."""

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

import nearline as nl
from nearline.recommend.batch import _columns
from nearline.recommend.lists import Lists
from nearline.recommend.similar import similar
from nearline.schema import SimilarOptions


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


def test_an_item_that_arrives_while_similar_ones_are_sought_is_in_the_next_list() -> None:
    """The model can know more items when it is asked than when they were counted."""
    engine = nl.Recommender()
    for item in ("green tea", "black tea"):
        engine.put_item(item, text=item)
    view = engine._view()

    class Growing:
        n_items = view.model.n_items

        def similar(self, *of: Any) -> Any:
            engine.put_item("white tea", text="white tea")
            return view.model.similar(*of)

    growing: Any = Growing()
    found = similar("green tea", SimilarOptions(), msgspec.structs.replace(view, model=growing))
    assert [line.item_id for line in found] == ["black tea"]
    assert {line.item_id for line in engine.similar("green tea")} == {"black tea", "white tea"}


def _lists(items: list[list[int]]) -> Lists:
    indices: NDArray[np.int32] = np.array(items, dtype=np.int32)
    return Lists(indices, np.ones(indices.shape), np.zeros(indices.shape, dtype=np.int8))
