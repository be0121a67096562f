"""Catalogues with columns of all types."""

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from nearline.data import read_items
from nearline.errors import InvalidInput
from nearline.schema import Item

NOW = 1_700_000_000.0


def read(columns: dict[str, str] | None = None, **cells: Any) -> list[Item]:
    rows = len(next(iter(cells.values())))
    ids = {} if "item_id" in cells else {"item_id": [f"i{row}" for row in range(rows)]}
    items, _ = read_items(pa.table(ids | cells), columns, now=NOW)
    return items


def test_ids_alone() -> None:
    assert read(item_id=[3, 1]) == [
        Item(item_id="3", timestamp=NOW),
        Item(item_id="1", timestamp=NOW),
    ]


def test_named_columns() -> None:
    (item,) = read(
        title=["Lamp"],
        description=["bright"],
        text=["and warm"],
        genres=["Light| Home |"],
        tags=[["Light", None, "new"]],
        timestamp=["1970-01-02T00:00:00Z"],
        available=[False],
    )
    assert item == Item(
        item_id="i0",
        timestamp=86_400.0,
        title="Lamp",
        text="bright and warm",
        categories=["Light", "Home", "new"],
        available=False,
    )


def test_name_is_a_title_unless_there_is_one() -> None:
    assert read(Name=["Lamp"])[0].title == "Lamp"
    (item,) = read(name=["L1"], title=["Lamp"])
    assert (item.title, item.text) == ("Lamp", "L1")


def test_mapped_columns() -> None:
    (item,) = read({"title": "head", "categories": "shelf"}, head=["Lamp"], shelf=[7])
    assert (item.title, item.categories) == ("Lamp", ["7"])


def test_numbers_become_attributes() -> None:
    items = read(
        price=[1.5, math.nan],
        stock=[3, None],
        new=[True, False],
        year=["1995", ""],
        since=pa.array([datetime(1970, 1, 2, tzinfo=UTC), None]),
        sizes=[["S", "M"], []],
    )
    assert items[0].attributes == {
        **{"price": 1.5, "stock": 3, "new": True, "year": 1995.0},
        **{"since": 86_400.0, "sizes": ["S", "M"]},
    }
    assert items[1].attributes == {"new": False, "sizes": []}


@pytest.mark.parametrize(
    "cells",
    [
        pa.array([[1.0, 2.0], [0.0, 0.0], None]),
        pa.array([[1, 2], [0, 0], None]),
        pa.array([[1.0, 2.0], [0.0, 0.0], None], pa.list_(pa.float32(), 2)),
    ],
)
def test_lists_of_numbers_become_vectors(cells: Any) -> None:
    items = read(look=cells)
    assert [item.vectors for item in items] == [{"look": [1.0, 2.0]}, {}, {}]


def test_vectors_of_pandas_and_polars() -> None:
    matrix = np.array([[1.0, 2.0], [3.0, 4.0]])
    for frame in (
        pd.DataFrame({"item_id": ["a", "b"], "look": list(matrix)}),
        pl.DataFrame({"item_id": ["a", "b"], "look": matrix}),
    ):
        items, _ = read_items(frame, now=NOW)
        assert [item.vectors["look"] for item in items] == [[1.0, 2.0], [3.0, 4.0]]


def test_recurring_text_becomes_labels_and_other_text_the_text() -> None:
    items = read(
        brand=["Acme", "Acme", "Best", "Best"],
        note=["very nice", "very old", "very nice", "odd"],
        text=["lamp", "pot", "pan", ""],
    )
    assert [item.categories for item in items] == [
        *(["brand=Acme"], ["brand=Acme"], ["brand=Best"], ["brand=Best"])
    ]
    assert [item.text for item in items] == [
        *("very nice lamp", "very old pot", "very nice pan", "odd")
    ]


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("item_id,title,price,category\n007,Lamp,2.5,a|b\n7,,,\n")
    items, report = read_items(path, now=NOW)
    assert items == [
        Item(
            item_id="007",
            timestamp=NOW,
            title="Lamp",
            categories=["a", "b"],
            attributes={"price": 2.5},
        ),
        Item(item_id="7", timestamp=NOW),
    ]
    assert report.rows_dropped == 0


def test_bad_rows_are_reported() -> None:
    table = pa.table(
        {
            "item_id": ["a", None, "b\0", "a", "c"],
            "text": ["old", "x", "x", "new", "x" * 100_001],
            "look": [[1.0], [1.0], [1.0], [1.0], [1.0]],
        }
    )
    items, report = read_items(table, now=NOW)
    assert items == [
        Item(item_id="a", timestamp=NOW, text="new", vectors={"look": [1.0]}),
        Item(item_id="c", timestamp=NOW, vectors={"look": [1.0]}),
    ]
    assert report.rows_in == 5
    assert [(entry.reason, entry.rows) for entry in report.dropped] == [
        ("item_id is missing", 1),
        ("item_id is invalid", 1),
        ("item_id occurs again in a later row, which replaces this one", 1),
    ]
    assert report.dropped[0].example == "row 1: item_id=None, text='x', vectors={'look': [1.0]}"
    assert [(cell.reason, cell.rows) for cell in report.cells] == [
        ("text is invalid; the item is kept without it", 1)
    ]


def test_a_vector_with_gaps_is_dropped_and_its_item_kept() -> None:
    items, report = read_items(
        pa.table({"item_id": ["a", "b"], "look": [[1.0, None], [1.0, 2.0]]}), now=NOW
    )
    assert [item.vectors for item in items] == [{}, {"look": [1.0, 2.0]}]
    assert report.cells[0].reason == "vectors.look is invalid; the item is kept without it"


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ({"item_id": ["", ""]}, "no usable item is left: 2 rows read"),
        ({"item_id": [["a"]]}, "item_id is of type list"),
        ({"ItemId": ["a"]}, r"columns=\{'item_id': 'ItemId'\}"),
    ],
)
def test_catalogues_that_cannot_be_read_are_refused(cells: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        read_items(pa.table(cells), now=NOW)


@pytest.mark.parametrize(
    ("name", "cells", "why"),
    [
        ("timestamp", ["soon", "later"], "no timestamp can be read"),
        ("available", ["perhaps", "perhaps"], "does not say whether an item is available"),
        ("title", [["x"], ["y"]], "cannot be read as title"),
        ("text", [{"x": 1}, {"x": 2}], "cannot be read as text"),
        ("categories", [1.5, 2.5], "1.5"),
        ("odd", [{"x": 1}, {"x": 2}], "'odd' is of type struct"),
        ("raw", [b"\xff", b"y"], "'raw' is of type binary"),
        ("links", pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64())), "of type map"),
        ("nested", [[[1.0]], [[2.0]]], "'nested' is of type list"),
    ],
)
def test_a_column_that_cannot_be_read_is_left_out_and_named(
    name: str, cells: Any, why: str
) -> None:
    items, report = read_items(pa.table({"item_id": ["a", "b"], name: cells}), now=NOW)
    assert items == [Item(item_id="a", timestamp=NOW), Item(item_id="b", timestamp=NOW)]
    assert list(report.left_out) == [name]
    assert why in report.left_out[name]
    assert report.columns == {"item_id": "item_id", name: "left out"}
    assert f"column {name!r} left out: " in str(report)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("title", "x" * 100_001, "title is invalid; the item is kept without it"),
        ("text", "x" * 100_001, "text is invalid; the item is kept without it"),
        ("timestamp", 4e12, "timestamp is invalid; the item is kept without it"),
        ("timestamp", -1.0, "timestamp is invalid; the item is kept without it"),
        ("price", math.inf, "attributes.price is invalid; the item is kept without it"),
        ("price", 1e30, "attributes.price is invalid; the item is kept without it"),
        ("sizes", ["s"] * 1_001, "attributes.sizes is invalid; the item is kept without it"),
        ("look", [math.nan, 1.0], "vectors.look is invalid; the item is kept without it"),
        ("genres", ["g" * 600], "categories is invalid; the item is kept without it"),
    ],
)
def test_an_invalid_cell_is_left_out_and_its_row_kept(field: str, value: Any, reason: str) -> None:
    items, report = read_items(pa.table({"item_id": ["a"], field: [value]}), now=NOW)
    assert items == [Item(item_id="a", timestamp=NOW)]
    assert (report.rows_kept, report.rows_dropped) == (1, 0)
    assert [(cell.reason, cell.rows) for cell in report.cells] == [(reason, 1)]
    assert report.cells[0].example.startswith("row 0: ")


def test_labels_beside_a_long_one_are_kept() -> None:
    assert read(genres=[["Drama", "g" * 600, "War"]])[0].categories == ["Drama", "War"]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["$12.50", "$1,299.00"], [12.5, 1299.0]),
        (["12.50 EUR", "3 EUR"], [12.5, 3.0]),
        (["\u20ac7", "\u20ac8"], [7.0, 8.0]),
        (["40%", "5 %"], [40.0, 5.0]),
        (["-1,000", "+2"], [-1000.0, 2.0]),
        (["1", "2", "3", "free"], [1.0, 2.0, 3.0, None]),
        (["1", "N/A", "3", "4"], [1.0, None, 3.0, 4.0]),
        (["1e3", ".5"], [1000.0, 0.5]),
    ],
)
def test_numbers_in_text(cells: list[str], expected: list[float | None]) -> None:
    items = read(price=cells)
    assert [item.attributes.get("price") for item in items] == expected


@pytest.mark.parametrize("cells", [["S", "M"], ["38", "XL"], ["1,5", "2,5"], ["1-2", "3-4"]])
def test_text_that_is_not_a_number_remains_text(cells: list[str]) -> None:
    assert [item.text for item in read(size=cells)] == cells


def test_a_list_of_items_is_accepted() -> None:
    given = [Item(item_id="a", timestamp=NOW, title="Lamp"), Item(item_id="b", timestamp=NOW)]
    items, report = read_items(given, now=NOW)
    assert items == given
    assert report.rows_kept == 2
    with pytest.raises(InvalidInput, match="entry 1 of items is str"):
        read_items([given[0], "b"], now=NOW)


def test_the_mapping_of_interactions_applies_to_existing_columns_of_the_catalogue() -> None:
    shared = {"user_id": "who", "item_id": "what", "timestamp": "when", "title": "head"}
    table = pa.table({"what": ["a"], "head": ["Lamp"], "when": [4e12]})
    items, _ = read_items(table, shared=shared, now=NOW)
    assert items == [
        Item(item_id="a", timestamp=NOW, title="Lamp", attributes={"when": 4e12}),
    ]
    items, _ = read_items(pa.table({"item_id": ["a"]}), shared={"item_id": "what"}, now=NOW)
    assert items == [Item(item_id="a", timestamp=NOW)]
