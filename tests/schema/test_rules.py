"""The rules for ids, times, numbers: what they let pass and what they name in refusing."""

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearline.errors import InvalidInput
from nearline.schema import (
    DAY,
    Event,
    Item,
    check_event,
    check_id,
    check_item,
    check_k,
    parse_time,
)

NOW = 1_700_000_000.0


@given(st.text(min_size=1))
def test_an_id_is_returned_unchanged_or_rejected(text: str) -> None:
    size = len(text.encode("utf-8", "surrogatepass"))
    broken = any("\ud800" <= letter <= "\udfff" for letter in text) or "\0" in text
    if broken or size > 512:
        with pytest.raises(InvalidInput):
            check_id(text, "user_id")
    else:
        assert check_id(text, "user_id") == text


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "empty"),
        ("x" * 513, "513 bytes"),
        ("é" * 257, "514 bytes"),
        ("a\0b", "NUL"),
        ("\ud800", "surrogate"),
        (7, "int"),
        (None, "NoneType"),
    ],
)
def test_an_invalid_id_is_rejected_with_field_and_reason(value: object, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        check_id(value, "item_id")
    assert caught.value.field == "item_id"


@pytest.mark.parametrize("value", ["a/b", "..", "%2F", "💥", "x" * 512, " ", "a\nb"])
def test_odd_ids_pass(value: str) -> None:
    assert check_id(value, "user_id") == value


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, NOW),
        (0, 0.0),
        (12.5, 12.5),
        ("1970-01-01T00:00:10Z", 10.0),
        ("1970-01-01T01:00:00+01:00", 0.0),
        ("1970-01-01T00:01:00", 60.0),
        (datetime(1970, 1, 1, 0, 0, 5), 5.0),
        (datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC), 5.0),
        (datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=1))), 3600.0),
        (NOW + DAY, NOW + DAY),
    ],
)
def test_times_become_unix_seconds(value: object, seconds: float) -> None:
    assert parse_time(value, now=NOW) == seconds


@pytest.mark.parametrize(
    "value",
    [
        -1,
        NOW + DAY + 1,
        NOW * 1000,  # milliseconds
        math.nan,
        math.inf,
        10**400,
        True,
        "yesterday",
        "9999-12-31T23:59:59Z",
        "1969-12-31T23:59:59Z",
        datetime.min,
        [],
    ],
)
def test_invalid_times_are_rejected(value: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_time(value, now=NOW)
    assert caught.value.field == "timestamp"


@pytest.mark.parametrize("k", [0, -1, 1001, 10**30, 2.0, "10", True, None])
def test_k_is_a_whole_number_from_1_to_1000(k: object) -> None:
    with pytest.raises(InvalidInput):
        check_k(k)


def test_k_bounds_pass() -> None:
    assert (check_k(1), check_k(1000)) == (1, 1000)


def event(**fields: Any) -> Event:
    defaults: dict[str, Any] = {"user_id": "u", "item_id": "i", "timestamp": NOW}
    return Event(**(defaults | fields))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"user_id": ""}, "user_id"),
        ({"item_id": "i" * 600}, "item_id"),
        ({"event": ""}, "event"),
        ({"event_id": ""}, "event_id"),
        ({"session_id": "\0"}, "session_id"),
        ({"recommendation_id": "r" * 513}, "recommendation_id"),
        ({"timestamp": -5.0}, "timestamp"),
        ({"timestamp": math.nan}, "timestamp"),
        ({"value": math.inf}, "value"),
        ({"value": math.nan}, "value"),
        ({"value": 1e16}, "value"),
        ({"context": {"": 1}}, "context"),
        ({"context": {"hour": 1e16}}, "context.hour"),
        ({"context": {"hour": math.nan}}, "context.hour"),
        ({"context": {"note": "x" * 513}}, "context.note"),
        ({"context": {str(n): n for n in range(65)}}, "context"),
    ],
)
def test_an_invalid_event_is_rejected_with_its_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_event(event(**fields), now=NOW)
    assert caught.value.field == field


def test_a_full_event_passes() -> None:
    full = event(
        event="purchase",
        event_id="e",
        value=-3.5,
        session_id="s",
        recommendation_id="r",
        context={"device": "phone", "hour": 7, "night": False, "share": 0.5},
    )
    assert check_event(full, now=NOW) is full


def item(**fields: Any) -> Item:
    defaults: dict[str, Any] = {"item_id": "i", "timestamp": NOW}
    return Item(**(defaults | fields))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"item_id": ""}, "item_id"),
        ({"timestamp": NOW * 2}, "timestamp"),
        ({"text": "\ud800"}, "text"),
        ({"title": "x" * 100_001}, "title"),
        ({"categories": ["a", ""]}, "categories"),
        ({"categories": ["a"] * 1001}, "categories"),
        ({"attributes": {"": 1}}, "attributes"),
        ({"attributes": {"price": math.inf}}, "attributes.price"),
        ({"attributes": {"sizes": [1.0, math.nan]}}, "attributes.sizes"),
        ({"attributes": {"price": 10**400}}, "attributes.price"),
        ({"vectors": {"image": []}}, "vectors.image"),
        ({"vectors": {"image": [0.0, 0.0]}}, "vectors.image"),
        ({"vectors": {"image": [1.0, math.nan]}}, "vectors.image"),
        ({"vectors": {"image": (1.0, 2.0)}}, "vectors.image"),
        ({"vectors": []}, "vectors"),
        ({"attributes": [("a", 1)]}, "attributes"),
        ({"categories": ("a",)}, "categories"),
        ({"categories": "abc"}, "categories"),
        ({"text": None}, "text"),
        ({"available": 1}, "available"),
    ],
)
def test_an_invalid_item_is_rejected_with_its_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_item(item(**fields), now=NOW)
    assert caught.value.field == field


def test_a_full_item_passes() -> None:
    full = item(
        text="red shoes",
        title="Shoes",
        categories=["shoes"],
        attributes={"price": 3.5, "sizes": [36.0, 37.0], "brand": "x", "new": True},
        vectors={"image": [0.5, -0.5]},
        available=False,
    )
    assert check_item(full, now=NOW) is full
    assert full.content == "Shoes red shoes shoes"


def test_the_error_has_the_position_in_the_list() -> None:
    error = InvalidInput("value is bad", field="value").at(3)
    assert (error.position, error.field, str(error)) == (3, "value", "entry 3: value is bad")


def test_unknown_fields_are_rejected() -> None:
    raw = {"type": "event", "user_id": "u", "item_id": "i", "timestamp": 0, "colour": "red"}
    with pytest.raises(msgspec.ValidationError, match="colour"):
        msgspec.convert(raw, Event)


def test_records_are_frozen() -> None:
    with pytest.raises(AttributeError):
        event().user_id = "v"  # type: ignore[misc]


@pytest.mark.parametrize(
    "value",
    [np.datetime64("NaT"), np.timedelta64("NaT"), pd.NaT, pd.NA, float("nan"), np.float32("nan")],
)
def test_a_missing_time_is_refused_and_is_not_the_current_time(value: object) -> None:
    with pytest.raises(InvalidInput, match="timestamp is ") as refused:
        parse_time(value, now=NOW)
    assert refused.value.field == "timestamp"
