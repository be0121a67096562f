"""Catalogues of every kind of column."""

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


def test_other_text_is_labels_where_it_repeats_and_words_where_not() -> None:
    items = read(
        brand=["Acme", "Acme", "Best", "Best"],
        note=["very nice", "very old", "very nice", "odd"],
        text=["lamp", "pot", "pan", ""],
    )
    assert [item.categories for item in items] == [["Acme"], ["Acme"], ["Best"], ["Best"]]
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
    assert items == [Item(item_id="a", timestamp=NOW, text="new", vectors={"look": [1.0]})]
    assert report.rows_in == 5
    assert [(entry.reason, entry.rows) for entry in report.dropped] == [
        ("item_id was refused", 2),
        ("item_id repeats; the last row holds", 1),
        ("text was refused", 1),
    ]
    assert report.dropped[0].example.startswith("row 1: item_id is NoneType")


def test_a_vector_with_gaps_is_refused() -> None:
    items, report = read_items(
        pa.table({"item_id": ["a", "b"], "look": [[1.0, None], [1.0, 2.0]]}), now=NOW
    )
    assert [item.item_id for item in items] == ["b"]
    assert report.dropped[0].reason == "vectors.look was refused"


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ({"item_id": ["", ""]}, "no usable item is left: 2 rows read"),
        ({"item_id": ["a"], "timestamp": ["soon"]}, "no timestamp can be read"),
        ({"item_id": ["a"], "available": ["perhaps"]}, "cannot be the available of items"),
        ({"item_id": ["a"], "title": [["x"]]}, "cannot be the title of items"),
        ({"item_id": ["a"], "odd": pa.array([[("x", 1)]], pa.map_("string", "int8"))}, "'odd' is"),
        ({"ItemId": ["a"]}, r"columns=\{'item_id': 'ItemId'\}"),
    ],
)
def test_bad_catalogues(cells: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        read_items(pa.table(cells), now=NOW)
