"""Datasets from tables and logs: order, weights, texts, and equality of both."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.data import (
    Dataset,
    dataset_from_log,
    histories_for,
    make_dataset,
    read_interactions,
    to_events,
)
from nearline.log import SQLiteLog
from nearline.schema import Item, ItemDeleted

WEIGHTS = {"view": 1.0, "buy": 3.0, "dislike": -1.0}
TABLE = read_interactions(
    pa.table(
        {
            "user_id": ["v", "u", "v", "u", "v"],
            "item_id": ["c", "a", "b", "a", "a"],
            "timestamp": [30.0, 20.0, 10.0, 20.0, 30.0],
            "event": ["view", "buy", "view", "dislike", "view"],
            "value": [None, 4.0, None, 5.0, None],
        }
    )
)


def item(item_id: str, **fields: Any) -> Item:
    return Item(item_id=item_id, timestamp=0.0, **fields)


def test_order_of_indices_and_rows() -> None:
    data = make_dataset(TABLE, [item("z"), item("b", text="words")], WEIGHTS.__getitem__)
    assert data.user_ids == ["v", "u"]
    assert data.item_ids == ["c", "a", "b", "z"]
    assert data.histories.indptr.tolist() == [0, 3, 5]
    # v: b at 10, then c and a, both at 30, in the order of the table.
    assert data.histories.items.tolist() == [2, 0, 1, 1, 1]
    assert data.histories.times.tolist() == [10, 30, 30, 20, 20]
    assert data.histories.weights.tolist() == [1, 1, 1, 3, -1]
    assert np.isnan(data.values[:3]).all()
    assert data.values[3:].tolist() == [4, 5]
    assert data.texts == ["", "", "words", ""]
    assert data.categories is None
    assert data.vectors == {}


def test_types_are_those_that_models_expect() -> None:
    data = make_dataset(TABLE)
    kinds = (data.histories.indptr, data.histories.items, data.histories.weights)
    assert [array.dtype.name for array in kinds] == ["int64", "int32", "float32"]
    assert data.histories.times.dtype == np.float64
    assert data.values.dtype == np.float32
    assert data.texts is None


def test_texts_labels_and_vectors() -> None:
    catalogue = [
        item("a", title="old"),
        item("a", title="Lamp", text="bright", categories=["home"], vectors={"look": [1.0, 2.0]}),
        item("b", vectors={"look": [1.0, 2.0, 3.0], "sound": [5.0]}),
        item("c", vectors={"look": [3.0, 4.0]}),
    ]
    data = make_dataset(TABLE, catalogue)
    assert data.item_ids == ["c", "a", "b"]
    assert data.texts == ["", "Lamp bright home", ""]
    assert data.categories == [[], ["home"], []]
    # The vector of b has another length than most, so it counts as missing.
    assert data.vectors["look"].tolist() == [[3, 4], [1, 2], [0, 0]]
    assert data.vectors["sound"].tolist() == [[0], [0], [5]]


def test_no_interactions() -> None:
    data = make_dataset(TABLE.slice(0, 0), [item("a", text="x")])
    assert (data.n_users, data.item_ids, data.texts) == (0, ["a"], ["x"])


def test_histories_with_given_indices() -> None:
    found = histories_for(["a", "b"], TABLE, ["nobody", "v", "u", "v"], weight=WEIGHTS.__getitem__)
    assert [found.row(row).tolist() for row in range(4)] == [[], [1, 0], [0], [1, 0]]
    # The dislike replaces the purchase of u before it.
    assert found.weights.tolist() == [1, 1, -1, 1, 1]
    assert found.times.tolist() == [10, 30, 20, 10, 30]


def test_histories_without_users_or_interactions() -> None:
    assert len(histories_for(["a"], TABLE, [])) == 0
    found = histories_for([], TABLE, ["u"])
    assert found.indptr.tolist() == [0, 0]


@pytest.fixture
def log() -> Iterator[SQLiteLog]:
    opened = SQLiteLog(None)
    yield opened
    opened.close()


def same(one: Dataset, other: Dataset) -> None:
    assert one.user_ids == other.user_ids
    assert one.item_ids == other.item_ids
    assert one.texts == other.texts
    assert one.categories == other.categories
    assert one.vectors.keys() == other.vectors.keys()
    for name, matrix in one.vectors.items():
        np.testing.assert_array_equal(matrix, other.vectors[name])
    np.testing.assert_array_equal(one.values, other.values)
    for field in ("indptr", "items", "weights", "times"):
        left, right = getattr(one.histories, field), getattr(other.histories, field)
        np.testing.assert_array_equal(left, right)
        assert left.dtype == right.dtype


def test_the_log_gives_the_same_as_the_table(log: SQLiteLog) -> None:
    catalogue = [item("a", title="Lamp", vectors={"look": [1.0]}), item("z", categories=["x"])]
    records: list[Any] = [catalogue[0], *next(to_events(TABLE)), catalogue[1]]
    log.append(records).result(120)
    built = dataset_from_log(log, log.end, WEIGHTS.__getitem__)
    same(built, make_dataset(TABLE, catalogue, WEIGHTS.__getitem__))


def test_the_log_up_to_an_offset(log: SQLiteLog) -> None:
    log.append([*next(to_events(TABLE))]).result(120)
    same(dataset_from_log(log, 2), make_dataset(TABLE.slice(0, 2)))
    assert dataset_from_log(log, 0).n_items == 0


def test_deleted_and_changed_items_and_erased_users(log: SQLiteLog) -> None:
    log.append([item("a", text="old"), item("b", text="gone"), item("y", text="never")]).result(120)
    log.append([*next(to_events(TABLE))]).result(120)
    log.append(
        [
            ItemDeleted(item_id="b", timestamp=1.0),
            ItemDeleted(item_id="y", timestamp=1.0),
            item("a", text="new"),
        ]
    ).result(120)
    log.erase("u").result(120)
    data = dataset_from_log(log, log.end)
    assert data.user_ids == ["v"]
    assert data.item_ids == ["c", "b", "a"]  # b keeps its interaction, y had none
    assert data.texts == ["", "", "new"]


Rows = st.lists(
    st.tuples(st.sampled_from("uvw"), st.sampled_from("abcd"), st.integers(0, 4)), max_size=15
)


@given(rows=Rows)
@settings(max_examples=40, deadline=None)
def test_table_and_log_always_agree(rows: list[tuple[str, str, int]]) -> None:
    users, items, times = (list(column) for column in zip(*rows, strict=True)) if rows else [[]] * 3
    table = read_interactions(
        pa.table(
            {
                "user_id": pa.array(users, pa.string()),
                "item_id": pa.array(items, pa.string()),
                "timestamp": pa.array(times, pa.float64()),
            }
        )
    )
    data = make_dataset(table)
    for number, user in enumerate(data.user_ids):
        mine = sorted((row for row in rows if row[0] == user), key=lambda row: row[2])
        assert [data.item_ids[i] for i in data.histories.row(number)] == [row[1] for row in mine]
    with closing(SQLiteLog(None)) as log:
        for events in to_events(table):
            log.append(events).result(120)
        same(dataset_from_log(log, log.end), data)
    asked = histories_for(data.item_ids, table, data.user_ids)
    np.testing.assert_array_equal(asked.items, data.histories.items)
    np.testing.assert_array_equal(asked.indptr, data.histories.indptr)
