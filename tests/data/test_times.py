"""Numeric and textual formats of times in files."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.data import clean, read_interactions
from nearline.data.columns import read_times
from nearline.errors import InvalidInput

JANUARY = datetime(2021, 1, 31, tzinfo=UTC).timestamp()


def seconds(cells: Any, **options: Any) -> list[float]:
    found: list[float] = read_times(pa.chunked_array([pa.array(cells)]), "timestamp", **options)[
        0
    ].to_pylist()
    return found


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize(
    ("number", "expected", "how"),
    [
        (20210131, JANUARY, "yyyymmdd"),
        (20210131100300, JANUARY + 36_180, "yyyymmddhhmmss"),
        (202101311003, JANUARY + 36_180, "yyyymmddhhmm"),
        (202101, JANUARY - 30 * 86_400, "yyyymm"),
        (2014, datetime(2014, 1, 1, tzinfo=UTC).timestamp(), "years"),
        (44227, JANUARY, "spreadsheet"),
        (44227.5, JANUARY + 43_200, "spreadsheet"),
        (1612051200, JANUARY, "Unix seconds"),
        (1612051200.25, JANUARY + 0.25, "Unix seconds"),
        (1612051200_000, JANUARY, "milliseconds"),
        (1612051200_000_000, JANUARY, "microseconds"),
        (1612051200_000_000_000, JANUARY, "nanoseconds"),
        (3, 3.0, "positions"),
    ],
)
def test_one_number(number: float, expected: float, how: str, as_text: bool) -> None:
    cells = [str(number) if as_text else number]
    found, description = read_times(pa.chunked_array([pa.array(cells)]), "timestamp")
    assert found.to_pylist() == [expected]
    assert how in description


Moments = st.datetimes(datetime(1990, 1, 2), datetime(2026, 1, 1)).map(
    lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
)
FORMS: dict[str, Callable[[datetime], Any]] = {
    "s": lambda moment: int(moment.timestamp()),
    "ms": lambda moment: int(moment.timestamp()) * 1_000,
    "us": lambda moment: int(moment.timestamp()) * 1_000_000,
    "ns": lambda moment: int(moment.timestamp()) * 1_000_000_000,
    "yyyymmddhhmmss": lambda moment: int(moment.strftime("%Y%m%d%H%M%S")),
    "serial": lambda moment: (moment - datetime(1899, 12, 30, tzinfo=UTC)) / timedelta(days=1),
    "iso": lambda moment: moment.isoformat(),
    "utc": lambda moment: moment.strftime("%Y-%m-%d %H:%M:%S UTC"),
    "short": lambda moment: f"{moment:%Y-%m-%d} {moment.hour}:{moment:%M:%S}",
    "us date": lambda moment: f"{moment:%m/%d/%Y %I:%M:%S %p}",
    "dots": lambda moment: f"{moment.day}.{moment.month}.{moment.year} {moment:%H:%M:%S}",
    "slashes": lambda moment: f"{moment.day}/{moment.month}/{moment.year} {moment:%H:%M:%S}",
    "named": lambda moment: moment.strftime("%b %d, %Y %H:%M:%S"),
    "mail": lambda moment: moment.strftime("%a, %d %b %Y %H:%M:%S +0000"),
}


@pytest.mark.parametrize("form", FORMS)
@given(moments=st.lists(Moments, min_size=1, max_size=6))
@settings(max_examples=25, deadline=None)
def test_equal_times_in_all_units_are_equal(form: str, moments: list[datetime]) -> None:
    first = {"us date": False, "slashes": True}.get(form)
    found = seconds([FORMS[form](moment) for moment in moments], day_first=first)
    assert found == pytest.approx([moment.timestamp() for moment in moments], abs=0.001)


@given(days=st.lists(st.dates(date(1990, 1, 1), date(2099, 12, 31)), min_size=1, max_size=6))
@settings(max_examples=50, deadline=None)
def test_dates_as_numbers(days: list[date]) -> None:
    expected = [datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() for day in days]
    assert seconds([int(day.strftime("%Y%m%d")) for day in days]) == expected


@pytest.mark.parametrize(
    "cells",
    [
        [1.6e9, 1.6e12],
        [1_600_000_000, 20210131],
        [5, 6, 1_600_000_000],
        [1e12, 1e15, 1e18],
        [2014, 2015, 1.6e9],
        [1e10, 2e10],
        ["1600000000", "1600000000000"],
        [9e18, 1.6e9],
        [210131, 210201],
        [991231],
        [1e11, 2e12],
    ],
)
def test_the_error_for_mixed_numbers_names_the_option(cells: list[Any]) -> None:
    with pytest.raises(InvalidInput, match=r"time_format=.*yyyymmdd"):
        seconds(cells)
    assert len(seconds(cells, time_format="s")) == len(cells)


@pytest.mark.parametrize(
    "texts",
    [["1/2/2021"], ["1/2/2021 8:05", "12/12/2021"], ["3-4-99"], ["13/1/2021", "1/13/2021"]],
)
def test_the_error_for_ambiguous_dates_names_the_option(texts: list[str]) -> None:
    with pytest.raises(InvalidInput, match=r"day_first=True or day_first=False"):
        seconds(texts)


@pytest.mark.parametrize(
    ("texts", "options", "expected"),
    [
        (["1/2/2021"], {"day_first": True}, datetime(2021, 2, 1)),
        (["1/2/2021"], {"day_first": False}, datetime(2021, 1, 2)),
        (["12/1/2010 8:26", "12/31/2010 8:26"], {}, datetime(2010, 12, 1, 8, 26)),
        (["1/12/2010 8:26", "31/12/2010 8:26"], {}, datetime(2010, 12, 1, 8, 26)),
        (["1.2.2021 8:05"], {}, datetime(2021, 2, 1, 8, 5)),
        (["2021/02/01 08:05 PM"], {}, datetime(2021, 2, 1, 20, 5)),
        (["2021-02"], {}, datetime(2021, 2, 1)),
        (["09 13, 2009"], {}, datetime(2009, 9, 13)),
        (["01|02|2021"], {"time_format": "%d|%m|%Y"}, datetime(2021, 2, 1)),
        (["2021"], {"time_format": "%Y"}, datetime(2021, 1, 1)),
        (["2021-02-01 08:05:00+02:00"], {}, datetime(2021, 2, 1, 6, 5)),
        (
            ["2021-02-01 08:05:00 +0200"],
            {"time_format": "%Y-%m-%d %H:%M:%S %z"},
            datetime(2021, 2, 1, 6, 5),
        ),
    ],
)
def test_common_formats_of_dates(
    texts: list[str], options: dict[str, Any], expected: datetime
) -> None:
    assert seconds(texts, **options)[0] == expected.replace(tzinfo=UTC).timestamp()


def test_values_in_another_format_are_dropped_and_reported_with_their_text() -> None:
    days = [f"202101{day:02}" for day in range(1, 31)]
    table = pa.table(
        {
            "user_id": ["u"] * 32,
            "item_id": [str(n) for n in range(32)],
            "timestamp": [*days, "20211399", "7"],
        }
    )
    kept, report = clean(read_interactions(table), now=JANUARY)
    assert kept.num_rows == 30
    (dropped,) = report.dropped
    assert (dropped.reason, dropped.rows) == ("timestamp is not a valid time", 2)
    assert "timestamp='20211399'" in dropped.example


@given(count=st.integers(1, 100), start=st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_positions_are_unchanged(count: int, start: int) -> None:
    places = [float(place) for place in range(start, start + count)]
    assert seconds(places) == places


def test_the_error_names_an_invalid_format() -> None:
    with pytest.raises(InvalidInput, match="time_format is 'Unix'; allowed are s, ms"):
        seconds([1], time_format="Unix")


def test_the_error_for_a_column_without_times_names_the_option() -> None:
    with pytest.raises(InvalidInput, match=r"no timestamp can be read.*time_format="):
        seconds(["soon", "later"])
