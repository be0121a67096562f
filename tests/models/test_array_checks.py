"""Snapshots whose arrays do not fit together are refused, and are not read by compiled loops."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.models.synthetic import dataset

from nearline.errors import Damaged
from nearline.models.base import Model
from nearline.models.registry import make_model

ROWS = [[(user + step) % 8 for step in range(5)] for user in range(8)]
Change = Callable[[Any], Any]
BEYOND: Change = lambda array: array + np.asarray(10**6, array.dtype)  # noqa: E731
NEGATIVE: Change = lambda array: -1 - array  # noqa: E731
SHORTER: Change = lambda array: array[:-1]  # noqa: E731
BACKWARDS: Change = lambda array: np.ascontiguousarray(array[::-1])  # noqa: E731
DEEPER: Change = lambda array: array[:, None]  # noqa: E731
HALVES: Change = lambda array: array.astype(np.float16)  # noqa: E731
CHANGES: list[tuple[str, str, Change]] = [
    ("item_graph", "items", BEYOND),
    ("item_graph", "items", NEGATIVE),
    ("item_graph", "items", SHORTER),
    ("item_graph", "n_items", BEYOND),
    ("item_graph", "popularity", SHORTER),
    ("item_graph", "transitions/indptr", BACKWARDS),
    ("item_graph", "transitions/counts/items", BEYOND),
    ("item_graph", "transitions/counts/indptr", BEYOND),
    ("item_graph", "coengagement/counts/units", SHORTER),
    ("item_graph", "coengagement/values", HALVES),
    ("item_knn", "items", BEYOND),
    ("item_knn", "indptr", BACKWARDS),
    ("item_knn", "weights", HALVES),
    ("user_knn", "items", NEGATIVE),
    ("user_knn", "n_items", BEYOND),
    ("user_knn", "indptr", SHORTER),
    ("bpr", "draws", BEYOND),
    ("bpr", "biases", DEEPER),
    ("implicit_als", "item_factors", HALVES),
    ("ease", "weights", SHORTER),
    ("popularity", "scores", DEEPER),
]


@pytest.fixture(scope="module")
def trained() -> dict[str, Model]:
    return {
        name: make_model(name, {}).fit(dataset(ROWS, 8, [f"word{n % 3} text" for n in range(8)]))
        for name, _, _ in CHANGES
    }


@pytest.mark.parametrize(("name", "array", "change"), CHANGES)
def test_arrays_that_do_not_fit_together_are_refused(
    trained: dict[str, Model], name: str, array: str, change: Change
) -> None:
    model = trained[name]
    arrays = model.arrays()
    type(model).restore(model.config, arrays)  # the others are intact
    if (name, array) == ("user_knn", "n_items"):
        change = lambda _: np.array([1], dtype=np.int64)  # noqa: E731
    with pytest.raises(Damaged, match=r"fit again|do not fit together"):
        type(model).restore(model.config, arrays | {array: change(arrays[array])})
