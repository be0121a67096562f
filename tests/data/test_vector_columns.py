"""Vector columns of a catalogue: lengths, missing vectors, and the bound on their number."""

import logging

import numpy as np
import pytest

from nearline.data import vector_columns as module
from nearline.data.vector_columns import MAX_COLUMNS, vector_columns
from nearline.schema import Item


def item(**vectors: list[float]) -> Item:
    return Item(item_id="i", timestamp=0.0, vectors=vectors)


def test_vectors_are_stacked_and_those_of_an_unusual_length_are_missing() -> None:
    found = vector_columns([item(a=[1, 2]), None, item(b=[5]), item(a=[3, 4], b=[6]), item(a=[9])])
    assert {name: rows.tolist() for name, rows in found.items()} == {
        "a": [[1, 2], [0, 0], [0, 0], [3, 4], [0, 0]],
        "b": [[0], [0], [5], [6], [0]],
    }
    assert all(rows.dtype == np.float32 for rows in found.values())


def test_the_columns_of_the_most_items_are_used(caplog: pytest.LogCaptureFixture) -> None:
    names = [f"v{number:02}" for number in range(40)]
    entries = [item(**{name: [1.0] for name in names[: 10 + n]}) for n in range(31)]
    with caplog.at_level(logging.WARNING):
        assert list(vector_columns(entries)) == names[:MAX_COLUMNS]
    assert "24 of 40 vector columns are not used, such as 'v16'" in caplog.text


def test_a_large_and_nearly_empty_column_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SMALL_BYTES", 4 * 65 * 3)
    entries = [item(large=[1.0] * 4, small=[1.0] * 3), *[item()] * 64]
    assert list(vector_columns(entries)) == ["small"]
    assert list(vector_columns(entries[:64])) == ["large", "small"]
