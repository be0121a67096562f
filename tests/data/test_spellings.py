"""Spellings of missing values and times in real files."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from nearline.data import clean, read_interactions, read_items, read_table
from nearline.data.columns import MISSING, MISSING_IDS, to_seconds


@pytest.mark.parametrize("text", MISSING_IDS)
def test_a_missing_id_is_dropped(text: str) -> None:
    table = pa.table({"user_id": [text, "ann"], "item_id": ["a", "b"]})
    kept, report = clean(read_interactions(table), now=1e9)
    assert kept["user_id"].to_pylist() == ["ann"]
    assert f"user_id={text!r}" in report.dropped[0].example


@pytest.mark.parametrize("text", [" ", "\t", "NULL ", " nan", "—  "])
def test_surrounding_spaces_are_ignored(text: str) -> None:
    table = pa.table({"user_id": [text, " ann "], "item_id": ["a", "b"]})
    kept, _ = clean(read_interactions(table), now=1e9)
    assert kept["user_id"].to_pylist() == [" ann "]


@pytest.mark.parametrize(
    "text", ["NA", "0", "unknown user", "Nunan", "N", "?", "no", "Null Island"]
)
def test_possible_ids_are_kept(text: str) -> None:
    table = pa.table({"user_id": [text], "item_id": ["a"]})
    assert read_interactions(table)["user_id"].to_pylist() == [text]


def test_spellings_can_be_added() -> None:
    table = pa.table({"user_id": ["?", "ann"], "item_id": ["a", "b"], "value": ["1", "?"]})
    kept, report = clean(read_interactions(table, missing=["?"]), now=1e9)
    assert kept.select(["user_id", "value"]).to_pylist() == [{"user_id": "ann", "value": None}]
    assert report.fields == ()


@pytest.mark.parametrize("text", MISSING)
def test_a_column_with_missing_numbers_remains_numeric(text: str) -> None:
    items, _ = read_items(pa.table({"item_id": ["a", "b"], "price": ["2.5", text]}), now=1e9)
    assert [item.attributes for item in items] == [{"price": 2.5}, {}]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20210131", datetime(2021, 1, 31)),
        ("19900101", datetime(1990, 1, 1)),
        ("20991231", datetime(2099, 12, 31)),
        ("20200229", datetime(2020, 2, 29)),
        ("2019-10-01 00:00:00 UTC", datetime(2019, 10, 1)),
        ("2021-01-02 8:05", datetime(2021, 1, 2, 8, 5)),
        ("2021-01-02T8:05:09", datetime(2021, 1, 2, 8, 5, 9)),
        ("2021-01-02 08:05 UTC", datetime(2021, 1, 2, 8, 5)),
        ("1569888000", datetime(2019, 10, 1)),
    ],
)
def test_times_are_read(text: str, expected: datetime) -> None:
    seconds = to_seconds(pa.chunked_array([[text]]), "timestamp").to_pylist()
    assert seconds == [expected.replace(tzinfo=UTC).timestamp()]


def test_a_long_separator_is_read(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("user_id::item_id\n1::10\n")
    assert read_table(path, separator="::").to_pylist() == [{"user_id": "1", "item_id": "10"}]


def test_json_lines_can_have_the_extension_json(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text('{"user_id": "a"}\n{"user_id": "b"}\n')
    assert read_table(path).column_names == ["user_id"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("['Drama', 'War']", ["Drama", "War"]),
        ('["Drama", "War"]', ["Drama", "War"]),
        (" ['Drama'] ", ["Drama"]),
        ("[]", []),
        ("Drama|War", ["Drama", "War"]),
        ("Drama", ["Drama"]),
        ("[Drama", ["[Drama"]),
        ("[1, 2]", ["1", "2"]),
    ],
)
def test_labels_of_one_cell(text: str, expected: list[str]) -> None:
    items, _ = read_items(pa.table({"item_id": ["a"], "genres": [text]}), now=1e9)
    assert items[0].categories == expected


def test_a_column_without_a_name_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "goods.csv"
    path.write_text(",item_id,title\n0,a,Tea\n")
    assert read_table(path).to_pylist() == [{"item_id": "a", "title": "Tea"}]
