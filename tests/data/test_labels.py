"""Conversion of cells of all types to lists of labels."""

from typing import Any

import pyarrow as pa
import pytest

from nearline.data import read_items
from nearline.data.labels import labels_in, separator_of, split


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Drama", ["Drama"]),
        ("Drama, Romance", ["Drama", "Romance"]),
        ("Drama;Romance; ", ["Drama", "Romance"]),
        ("Drama|Romance|Drama", ["Drama", "Romance"]),
        ("['Drama', \"Rock 'n' Roll\"]", ["Drama", "Rock 'n' Roll"]),
        ('["Food, Drinks", "War"]', ["Food, Drinks", "War"]),
        ('[{"id": 28, "name": "Action"}, {"id": 12, "name": "War"}]', ["Action", "War"]),
        ("{'label': 'Noir'}", ["Noir"]),
        ("Clothing > Shirts", ["Clothing", "Shirts"]),
        ('[["Film", "Drama"], ["Film", "War"]]', ["Film", "Drama", "War"]),
        ("[unfinished", ["[unfinished"]),
        ("('Drama', 'War')", ["Drama", "War"]),
        ("{'War', 'Drama'}", ["Drama", "War"]),
        ("[Drama, War]", ["Drama", "War"]),
        ('{"Action": 120, "Puzzle": 8, "Chess": 0}', ["Action", "Puzzle"]),
        ("(Drama)", ["(Drama)"]),
        ("[]", []),
        ("Unknown", []),
    ],
)
def test_labels_in_text(value: str, expected: list[str]) -> None:
    assert labels_in(value, separator_of([value], named=True)) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["Drama", None, "Drama"], ["Drama"]),
        ([["Film", "Drama"], ["War"]], ["Film", "Drama", "War"]),
        ([{"id": 1, "name": "Drama"}], ["Drama"]),
        ({"slug": "noir", "name": "Noir"}, ["Noir"]),
        ([{"key": "noir"}], ["noir"]),
        ([{"id": 3}], []),
        ({"vegan": True, "alcohol": False, "id": 3}, ["vegan"]),
        (["Food, Drinks"], ["Food, Drinks"]),
        ([1, 2], ["1", "2"]),
        (("a", ("b",)), ["a", "b"]),
    ],
)
def test_labels_in_lists_and_objects(value: Any, expected: list[str]) -> None:
    assert labels_in(value, None) == expected


@pytest.mark.parametrize(
    ("cells", "separator"),
    [
        (["a, b", "b, c", "a, c", "a, b, c"], ","),
        (["a;b", "b;a", "a;b", "b;a"], ";"),
        (["a|b", "c"], "|"),
        (["Crosby, Stills", "Acme", "Acme", "Acme"], None),
        (["Lamp, bright and warm", "Pot, of clay", "Pan, of iron"], None),
        (["a", "b"], None),
        ([None, ""], None),
        (["['a, b']", "['c, d']"], None),
    ],
)
def test_separators_of_columns_that_are_not_named_as_labels(
    cells: list[str], separator: str | None
) -> None:
    assert separator_of(cells, named=False) == separator


def test_a_column_has_one_separator() -> None:
    cells = ["Food, Drinks|Home", "Food, Drinks"]
    separator = separator_of(cells, named=True)
    assert [split(cell, separator) for cell in cells] == [
        ["Food, Drinks", "Home"],
        ["Food, Drinks"],
    ]


def test_labels_are_prefixed_with_the_column_unless_it_is_named_as_labels() -> None:
    table = pa.table(
        {
            "item_id": ["1", "2", "3", "4"],
            "vegan": ["yes", "no", "no", "yes"],
            "alcohol": ["no", "yes", "no", "yes"],
            "tags": ["new", "old", "new", "old"],
            "maker": [{"name": "A"}, {"name": "A"}, {"name": "B"}, None],
        }
    )
    items, report = read_items(table, now=1e9)
    assert [item.categories for item in items] == [
        ["vegan=yes", "alcohol=no", "new", "maker=A"],
        ["vegan=no", "alcohol=yes", "old", "maker=A"],
        ["vegan=no", "alcohol=no", "new", "maker=B"],
        ["vegan=yes", "alcohol=yes", "old"],
    ]
    assert report.columns["vegan"] == "labels vegan=..."
    # By their names, expressions find the columns.
    assert [item.attributes["vegan"] for item in items] == ["yes", "no", "no", "yes"]
    assert [item.attributes.get("maker") for item in items] == ["A", "A", "B", None]
    assert not any("tags" in item.attributes for item in items)
