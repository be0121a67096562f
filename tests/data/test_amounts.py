"""Amounts as shops write them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearline.data import clean, read_interactions
from nearline.data.amounts import read_amounts


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
def test_what_is_open_or_no_amount_is_left_out(text: str) -> None:
    assert read_amounts([text]) == {}


def test_the_others_tell_the_decimal_mark() -> None:
    assert read_amounts(["1,234", "12,50"]) == {"1,234": 1.234, "12,50": 12.5}
    assert read_amounts(["1,234", "1,234.5"]) == {"1,234": 1234.0, "1,234.5": 1234.5}
    assert read_amounts(["1.234", "12,5"]) == {"1.234": 1234.0, "12,5": 12.5}


@given(cents=st.integers(-(10**11), 10**11), sign=st.sampled_from(["", "$", "€ ", "GBP "]))
def test_every_amount_with_cents(cents: int, sign: str) -> None:
    text = sign + f"{cents / 100:,.2f}"
    assert read_amounts([text])[text] == cents / 100


def test_a_bad_value_costs_the_value(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("user_id,item_id,value\nann,tea,$12.50\nann,mug,cheap\nben,tea,\n")
    kept, report = clean(read_interactions(path), now=1e9)
    assert kept["value"].to_pylist() == [12.5, None, None]
    (fault,) = report.fields
    assert (fault.reason, fault.rows) == ("value is not a finite number", 1)
    assert fault.example == "line 3: value='cheap'"
