"""Conversion of columns of any type to the canonical table."""

import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.data import read_interactions
from nearline.errors import InvalidInput

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
NOON_SECONDS = 1_704_110_400.0


def read(**columns: Any) -> dict[str, list[Any]]:
    rows = len(next(iter(columns.values())))
    ids = {"user_id": ["u"] * rows, "item_id": ["i"] * rows}
    result: dict[str, list[Any]] = read_interactions(pa.table(ids | columns)).to_pydict()
    return result


def test_only_ids_are_required() -> None:
    table = read_interactions(pa.table({"user_id": ["a", "b"], "item_id": ["x", "y"], "z": [1, 2]}))
    assert table.to_pydict() == {
        "user_id": ["a", "b"],
        "item_id": ["x", "y"],
        "timestamp": [0.0, 1.0],
        "event": ["view", "view"],
        "value": [None, None],
    }
    assert [str(kind) for kind in table.schema.types] == [
        *("string", "string", "double", "string", "double")
    ]


def test_names_can_be_mapped() -> None:
    source = pa.table({"who": ["a"], "what": ["x"], "position": [3], "stars": [4]})
    names = {"user_id": "who", "item_id": "what", "timestamp": "position", "value": "stars"}
    table = read_interactions(source, names)
    assert table.select(["user_id", "timestamp", "value"]).to_pylist() == [
        {"user_id": "a", "timestamp": 3.0, "value": 4.0}
    ]


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "user_id,item_id,timestamp,event,value,session_id\n"
        "007,x,2024-01-01T12:00:00Z,,1.5,s\n"
        "7,y,1704110400,buy,,\n"
        "7,y,,buy,much,\n"
    )
    table = read_interactions(path).to_pydict()
    assert table["user_id"] == ["007", "7", "7"]
    assert table["timestamp"] == [NOON_SECONDS, NOON_SECONDS, None]
    assert table["event"] == ["view", "buy", "buy"]
    assert table["value"][:2] == [1.5, None]
    assert math.isnan(table["value"][2])
    assert table["session_id"] == ["s", None, None]


PARIS = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    "times",
    [
        pa.array([NOON.replace(tzinfo=None)], pa.timestamp("s")),
        pa.array([NOON.replace(tzinfo=None)], pa.timestamp("ns")),
        pa.array([NOON], pa.timestamp("ms", "Asia/Tokyo")),
        pa.array([int(NOON_SECONDS)]),
        pa.array([NOON_SECONDS]),
        pa.array([Decimal("1704110400")]),
        pa.array(["1704110400"]),
        pa.array(["2024-01-01T12:00:00Z"]),
        pa.array(["2024-01-01 12:00"]),
        pa.array([NOON.astimezone(PARIS).isoformat()]),
    ],
)
def test_times_of_every_kind(times: Any) -> None:
    assert read(timestamp=times)["timestamp"] == [NOON_SECONDS]


def test_times_in_several_formats_with_fractions_of_a_second() -> None:
    texts = ["2024-01-01T12:00:00.250Z", "2024-01-01T13:00:00+01:00", "1704110400.5", "never", ""]
    times = read(timestamp=texts)["timestamp"]
    assert times[:3] == [NOON_SECONDS + 0.25, NOON_SECONDS, NOON_SECONDS + 0.5]
    assert math.isnan(times[3])
    assert times[4] is None


def test_dates_are_midnight() -> None:
    assert read(timestamp=[date(1970, 1, 2)])["timestamp"] == [86_400.0]
    assert read(timestamp=pa.array([86_400_000], pa.date64()))["timestamp"] == [86_400.0]


def test_datetimes_of_pandas_and_polars() -> None:
    moments = [NOON, NOON + timedelta(microseconds=500_000)]
    ids = {"user_id": [1, 2], "item_id": ["x", "y"]}
    in_paris = pd.Series(pd.to_datetime(moments)).dt.tz_convert("Europe/Paris")
    for frame in (
        pd.DataFrame(ids | {"timestamp": in_paris}),
        pl.DataFrame(ids | {"timestamp": moments}),
    ):
        table = read_interactions(frame)
        assert table["timestamp"].to_pylist() == [NOON_SECONDS, NOON_SECONDS + 0.5]
        assert table["user_id"].to_pylist() == ["1", "2"]


@given(seconds=st.lists(st.integers(100_000_000, 4_000_000_000), min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_equal_times_in_different_formats_are_equal(seconds: list[int]) -> None:
    moments = [datetime.fromtimestamp(second, UTC) for second in seconds]
    expected = [float(second) for second in seconds]
    assert read(timestamp=moments)["timestamp"] == expected
    assert read(timestamp=[moment.isoformat() for moment in moments])["timestamp"] == expected
    assert read(timestamp=[str(second) for second in seconds])["timestamp"] == expected


def test_whole_floats_are_ids_in_their_integer_form() -> None:
    frame = pd.DataFrame({"user_id": [1, None], "item_id": [2.0, 10_000_000_000.0]})
    table = read_interactions(frame)
    assert table["user_id"].to_pylist() == ["1", None]
    assert table["item_id"].to_pylist() == ["2", "10000000000"]


@pytest.mark.parametrize(
    ("ids", "says"),
    [
        (pa.array([1.5]), "contains the number 1.5"),
        (pa.array([2.0**60]), "loses digits"),
        (pa.array([True]), "type bool"),
        (pa.array([[1]]), "type list"),
    ],
)
def test_invalid_ids_are_refused(ids: Any, says: str) -> None:
    with pytest.raises(InvalidInput, match=says) as caught:
        read_interactions(pa.table({"user_id": ids, "item_id": ["i"]}))
    assert caught.value.field == "user_id"


def test_numbers_beside_their_text_form_are_refused() -> None:
    frame = pd.DataFrame({"user_id": [1, "1"], "item_id": ["x", "y"]})
    with pytest.raises(InvalidInput, match="'user_id' mixes types"):
        read_interactions(frame)


def test_unused_columns_can_contain_anything() -> None:
    frame = pd.DataFrame({"user_id": [1], "item_id": ["x"], "other": [object()]})
    assert read_interactions(frame).num_rows == 1


@pytest.mark.parametrize(
    ("names", "columns", "says"),
    [
        (["userId", "movieId"], None, r"columns=\{'user_id': 'userId', 'item_id': 'movieId'\}"),
        (["user_id", "itm_id"], None, r"columns=\{'item_id': 'itm_id'\}"),
        (["user_id", "q"], None, r"columns=\{'item_id': 'your column'\}"),
        (["user_id;item_id"], None, r"separator=';'"),
        (["user_id", "item_id"], {"user": "user_id"}, "names an unknown field.*field on the left"),
        (["user_id", "ItemID"], {"item_id": "ItemId"}, "Did you mean 'ItemID'"),
        ([f"c{n}" for n in range(30)], None, "and 10 more"),
    ],
)
def test_wrong_names(names: list[str], columns: dict[str, str] | None, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        read_interactions(pa.table({name: ["x"] for name in names}), columns)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"timestamp": ["never", "ever"]}, "no timestamp can be read; the first is 'never'"),
        ({"timestamp": [[1]]}, "timestamp is of type list"),
        ({"value": [NOON]}, "value is of type timestamp"),
    ],
)
def test_columns_that_cannot_be_read_are_refused(columns: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        read(**columns)
