"""Rows that are dropped and kept, and the report."""

import math
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.data import CleaningConfig, clean, read_interactions
from nearline.errors import InvalidInput
from nearline.schema import check_event
from nearline.schema.records import Event

NOW = 1_750_000_000.0
PAST = 1_700_000_000.0
GOOD: dict[str, Any] = {
    "user_id": "u",
    "item_id": "i",
    "timestamp": PAST,
    "event": "view",
    "value": None,
}
SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("timestamp", pa.float64()),
        ("event", pa.string()),
        ("value", pa.float64()),
    ]
)


def table_of(*rows: dict[str, Any]) -> Any:
    return pa.Table.from_pylist([GOOD | row for row in rows], schema=SCHEMA)


def test_valid_rows_are_unchanged() -> None:
    table = table_of({}, {"item_id": "j", "value": -3.5}, {"event": "x" * 512})
    kept, report = clean(table, now=NOW)
    assert kept.equals(table)
    assert str(report) == "3 rows read, 3 kept, 0 dropped"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"user_id": None}, "user_id is missing"),
        ({"user_id": ""}, "user_id is empty"),
        ({"item_id": None}, "item_id is missing"),
        ({"item_id": ""}, "item_id is empty"),
        ({"user_id": "é" * 257}, "user_id has more than 512 bytes"),
        ({"item_id": "a\0b"}, "item_id contains a NUL character"),
        ({"timestamp": None}, "timestamp is missing"),
        ({"timestamp": math.nan}, "timestamp is not a valid time"),
        ({"timestamp": math.inf}, "timestamp is not a valid time"),
        ({"timestamp": -1.0}, "timestamp is before 1970"),
        ({"timestamp": NOW + 86_401}, "timestamp is more than a day ahead of now"),
        ({"timestamp": PAST * 1000}, "timestamp looks like milliseconds"),
    ],
)
def test_each_reason(row: dict[str, Any], reason: str) -> None:
    kept, report = clean(table_of({}, row), now=NOW)
    assert kept.to_pylist() == [GOOD]
    (dropped,) = report.dropped
    assert dropped.reason.startswith(reason)
    assert dropped.rows == 1
    assert dropped.example.startswith("row 1: user_id=")


def test_a_time_one_day_ahead_is_valid() -> None:
    kept, _ = clean(table_of({"timestamp": NOW + 86_400}, {"timestamp": 0.0}), now=NOW)
    assert kept.num_rows == 2


@pytest.mark.parametrize(
    ("field", "value", "reason", "kept"),
    [
        ("value", math.nan, "value is not a finite number", None),
        ("value", -math.inf, "value is not a finite number", None),
        ("value", 2e15, "value is larger than 1e+15", None),
        ("event", "x" * 513, "event has more than 512 bytes", "view"),
        ("event", "a\0", "event contains a NUL character", "view"),
        ("event_id", "x" * 513, "event_id has more than 512 bytes", None),
        ("session_id", "x" * 513, "session_id has more than 512 bytes", None),
        ("session_id", "\0", "session_id contains a NUL character", None),
    ],
)
def test_an_invalid_optional_field_is_left_out(
    field: str, value: Any, reason: str, kept: Any
) -> None:
    table = table_of({}, {"item_id": "j"}, {"item_id": "k"})
    cells = pa.array([None, value, None] if field != "event" else ["view", value, "view"])
    at = table.schema.get_field_index(field)
    table = table.append_column(field, cells) if at < 0 else table.set_column(at, field, cells)
    found, report = clean(table, now=NOW)
    assert found["item_id"].to_pylist() == ["i", "j", "k"]
    assert found[field].to_pylist()[1] == kept
    assert report.rows_dropped == 0
    (fault,) = report.fields
    assert (fault.reason, fault.rows) == (reason, 1)
    assert fault.example.startswith(f"row 1: {field}=")


def test_the_first_of_several_duplicates_is_kept() -> None:
    rows = [{}, {"value": 1.0}, {}, {"value": 1.0}, {"timestamp": PAST + 1}]
    kept, report = clean(table_of(*rows), now=NOW)
    assert kept.equals(table_of({}, {"value": 1.0}, {"timestamp": PAST + 1}))
    assert [(entry.reason, entry.rows) for entry in report.dropped] == [
        ("duplicate of an earlier row", 2)
    ]


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from("ab"), st.sampled_from([None, 0.0, -0.0, 1.0]), st.sampled_from([1, 2])
        ),
        min_size=1,
        max_size=12,
    )
)
@settings(max_examples=60, deadline=None)
def test_duplicates_are_equal_rows(rows: list[tuple[str, float | None, int]]) -> None:
    """Rows with 0.0 and -0.0 are not duplicates, since their keys differ."""
    table = table_of(*({"user_id": u, "value": v, "timestamp": PAST + t} for u, v, t in rows))
    kept, _ = clean(table, now=NOW)
    expected = list(dict.fromkeys((u, str(v), PAST + t) for u, v, t in rows))
    found = [(row["user_id"], str(row["value"]), row["timestamp"]) for row in kept.to_pylist()]
    assert found == expected


def test_rows_with_different_event_ids_are_not_duplicates() -> None:
    table = table_of({}, {}, {}).append_column("event_id", pa.array(["a", "b", "a"]))
    kept, _ = clean(table, now=NOW)
    assert kept["event_id"].to_pylist() == ["a", "b"]


def test_rows_without_times_are_not_duplicates() -> None:
    table = read_interactions(pa.table({"user_id": ["u", "u"], "item_id": ["i", "i"]}))
    assert clean(table, now=NOW)[0].num_rows == 2


def test_all_events_of_bots_are_dropped() -> None:
    day = PAST - PAST % 86_400
    busy = [{"user_id": "bot", "timestamp": day + second} for second in range(4)]
    calm = [{"timestamp": day + second} for second in range(3)]
    other = [{"user_id": "bot", "timestamp": day - 1}]
    config = CleaningConfig(max_events_per_user_per_day=3)
    kept, report = clean(table_of(*busy, *calm, *other), now=NOW, config=config)
    assert kept.equals(table_of(*calm))
    assert report.dropped[0].rows == 5
    assert report.dropped[0].reason == "user has more than 3 events on one day (a bot)"


def test_positions_belong_to_no_day() -> None:
    table = table_of(*({"timestamp": float(place)} for place in range(10)))
    config = CleaningConfig(max_events_per_user_per_day=3)
    assert clean(table, now=NOW, config=config)[0].num_rows == 10


@pytest.mark.parametrize(("rule", "filled"), [("mean", 3.0), ("median", 2.0)])
def test_missing_values_are_imputed_by_kind_of_event(rule: Any, filled: float) -> None:
    values = [1.0, 2.0, 6.0, None]
    rows = [{"item_id": str(n), "value": value} for n, value in enumerate(values)]
    rows += [{"event": "buy", "value": 9.0}, {"event": "buy", "item_id": "j"}, {"event": "none"}]
    kept, report = clean(table_of(*rows), now=NOW, config=CleaningConfig(impute_value=rule))
    assert kept["value"].to_pylist() == [1.0, 2.0, 6.0, filled, 9.0, 9.0, None]
    assert report.imputed == 2
    assert "2 missing values filled in" in str(report)


def test_if_no_row_is_left_the_error_contains_the_report() -> None:
    with pytest.raises(InvalidInput, match=r"1 row read, 0 kept.*\n.*user_id is missing"):
        clean(table_of({"user_id": None}), now=NOW)
    with pytest.raises(InvalidInput, match="0 rows read"):
        clean(table_of(), now=NOW)


def test_the_error_for_other_tables_names_read_interactions() -> None:
    with pytest.raises(InvalidInput, match=r"lacks timestamp, event, value; .*read_interactions"):
        clean(pa.table({"user_id": ["u"], "item_id": ["i"]}), now=NOW)


def test_report_as_values_and_as_text() -> None:
    _, report = clean(table_of({}, {"user_id": ""}, {"user_id": "x" * 600}), now=NOW)
    shown = report.as_dict()
    assert shown["rows_in"] == 3
    assert shown["rows_kept"] == 1
    assert shown["dropped"][0]["reason"] == "user_id is empty"
    first, second, third = str(report).splitlines()
    assert first == "3 rows read, 1 kept, 2 dropped"
    assert second.split("(")[0].split() == ["1", "user_id", "is", "empty"]
    assert "xxx...," in third  # long values are truncated


Ids = st.one_of(st.none(), st.text("ab\0é", max_size=3), st.just("x" * 600))
Numbers = st.one_of(st.none(), st.floats(), st.sampled_from([PAST, PAST + 5, 3.0]))


@given(
    rows=st.lists(
        st.builds(
            lambda user, item, time, value: (
                GOOD | {"user_id": user, "item_id": item, "timestamp": time, "value": value}
            ),
            *(Ids, Ids, Numbers, Numbers),
        ),
        max_size=12,
    )
)
@settings(max_examples=80, deadline=None)
def test_kept_rows_are_valid_and_the_counts_of_the_report_add_up(
    rows: list[dict[str, Any]],
) -> None:
    # One valid row, so that a row is left.
    kept, report = clean(table_of({"user_id": "good"}, *rows), now=NOW)
    for row in kept.to_pylist():
        check_event(Event(**row), now=NOW)
    assert report.rows_in == len(rows) + 1
    assert report.rows_kept == kept.num_rows
    assert report.rows_dropped == sum(entry.rows for entry in report.dropped)
    again, second = clean(kept, now=NOW)
    assert again.equals(kept)
    assert second.rows_dropped == 0
