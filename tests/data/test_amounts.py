"""Amounts with currencies, thousands separators and decimal marks."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearline.data import clean, read_interactions
from nearline.data.amounts import read_amounts
from nearline.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("$12.50", 12.5),
        ("12,50 €", 12.5),
        ("1,234.50", 1234.5),
        ("1.234,50", 1234.5),
        ("1 234,50 zł", 1234.5),
        ("1'234.50", 1234.5),
        ("1,234,567", 1_234_567.0),
        ("USD 7", 7.0),
        ("7 EUR", 7.0),
        ("US$3.20", 3.2),
        ("-$5", -5.0),
        ("$-5", -5.0),
        ("(3.00)", -3.0),
        ("0,125", 0.125),
        (" 4 ", 4.0),
        ("1e3", 1000.0),
    ],
)
def test_one_amount(text: str, number: float) -> None:
    assert read_amounts([text]) == {text: number}


@pytest.mark.parametrize(
    "text", ["1,234", "much", "12 pcs", "1,23,4", "$", "12.5.1", "1.2,3.4", "5 of 7"]
)
def test_ambiguous_and_invalid_amounts_are_left_out(text: str) -> None:
    assert read_amounts([text]) == {}


def test_other_texts_determine_the_decimal_mark() -> None:
    assert read_amounts(["1,234", "12,50"]) == {"1,234": 1.234, "12,50": 12.5}
    assert read_amounts(["1,234", "1,234.5"]) == {"1,234": 1234.0, "1,234.5": 1234.5}
    assert read_amounts(["1.234", "12,5"]) == {"1.234": 1234.0, "12,5": 12.5}


@given(cents=st.integers(-(10**11), 10**11), sign=st.sampled_from(["", "$", "€ ", "GBP "]))
def test_every_amount_with_cents(cents: int, sign: str) -> None:
    text = sign + f"{cents / 100:,.2f}"
    assert read_amounts([text])[text] == cents / 100


def test_json_and_frames_may_mix_numbers_and_text(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"user_id": "a", "item_id": "x", "value": 1}\n'
        '{"user_id": "b", "item_id": "y", "value": "$2.50"}\n'
        '{"user_id": "c", "item_id": "z", "value": true}\n'
    )
    frame = pd.DataFrame(
        {"user_id": ["a", "b", "c"], "item_id": ["x", "y", "z"], "value": [1, "$2.50", "dear"]}
    )
    for source in (path, frame):
        kept, report = clean(read_interactions(source), now=1e9)
        assert kept["value"].to_pylist() == [1.0, 2.5, None]
        assert [fault.rows for fault in report.fields] == [1]


def test_ids_that_mix_numbers_and_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"user_id": 1, "item_id": "x"}\n{"user_id": "1", "item_id": "y"}\n')
    with pytest.raises(InvalidInput, match="'user_id' mixes types"):
        read_interactions(path)


def test_a_column_without_a_number_is_left_out_and_its_rows_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("user_id,item_id,value\nann,tea,50%\nben,tea,12%\n")
    kept, report = clean(read_interactions(path), now=1e9)
    assert kept["value"].to_pylist() == [None, None]
    (fault,) = report.fields
    assert (fault.reason, fault.rows) == ("value is not a finite number", 2)
    assert fault.example == "line 2: value='50%'"


def test_an_invalid_value_is_left_out_and_its_row_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("user_id,item_id,value\nann,tea,$12.50\nann,mug,cheap\nben,tea,\n")
    kept, report = clean(read_interactions(path), now=1e9)
    assert kept["value"].to_pylist() == [12.5, None, None]
    (fault,) = report.fields
    assert (fault.reason, fault.rows) == ("value is not a finite number", 1)
    assert fault.example == "line 3: value='cheap'"
