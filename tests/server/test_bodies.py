"""Strict decoding of bodies; errors name the field and position."""

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.errors import InvalidInput
from nearline.server.bodies import EventIn, ItemChanges, ItemIn, SessionIn
from nearline.server.decoding import at_most, convert_each, decode_body

EVENTS = EventIn | list[EventIn]
GOOD = '{"user_id": "u", "item_id": "i"}'


def refusal(body: str, body_type: object = EVENTS) -> InvalidInput:
    with pytest.raises(InvalidInput) as refused:
        decode_body(body.encode(), body_type)
    return refused.value


def test_one_event_or_a_list() -> None:
    event = EventIn(user_id="u", item_id="i")
    assert decode_body(GOOD.encode(), EVENTS) == event
    assert decode_body(f"[{GOOD}, {GOOD}]".encode(), EVENTS) == [event, event]


@pytest.mark.parametrize(
    ("body", "field", "position"),
    [
        ('{"user_id": 1, "item_id": "i"}', "user_id", None),
        ('{"user_id": "u"}', "item_id", None),
        ('{"user_id": "u", "item_id": "i", "colour": 1}', "colour", None),
        (f'[{GOOD}, {{"user_id": null, "item_id": "i"}}]', "user_id", 1),
        (f"[{GOOD}, {GOOD}, {{}}]", "user_id", 2),
        ('{"user_id": "u", "item_id": "i", "context": {"a": [1]}}', "context", None),
        ('{"user_id": "u", "item_id": "i", "timestamp": true}', "timestamp", None),
        ('{"user_id": "u", "item_id": "i", "value": 1e999}', "value", None),
        ('"u"', "body", None),
        ("[[]]", "body", 0),
    ],
)
def test_a_refusal_names_field_and_position(body: str, field: str, position: int | None) -> None:
    error = refusal(body)
    assert (error.field, error.position) == (field, position)
    assert "/docs" in error.message


def test_a_position_inside_a_field() -> None:
    error = refusal('{"history": ["a", 7]}', SessionIn)
    assert (error.field, error.position) == ("history", 1)


@pytest.mark.parametrize(
    "body",
    ["", "{", "nonsense", '{"user_id": "\\ud800"}', GOOD + "x", '{"value": NaN}', "-Infinity"],
)
def test_invalid_json_is_refused(body: str) -> None:
    assert refusal(body).field == "body"


@pytest.mark.parametrize("opening", ["[", '{"context":', '{"user_id":['])
@pytest.mark.parametrize("body_type", [EVENTS, ItemIn, object])
def test_deep_nesting_is_refused(opening: str, body_type: object) -> None:
    assert refusal(opening * 100_000, body_type).field in ("body", "context", "user_id")


def test_bytes_that_are_not_utf8_are_refused() -> None:
    with pytest.raises(InvalidInput):
        decode_body(b'{"user_id": "\xff", "item_id": "i"}', EVENTS)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_decoded_or_refused(body: bytes) -> None:
    with suppress(InvalidInput):
        assert isinstance(decode_body(body, EVENTS), EventIn | list)


def test_the_last_of_duplicate_keys_counts() -> None:
    twice = decode_body(b'{"user_id": "a", "item_id": "i", "user_id": "b"}', EVENTS)
    assert twice.user_id == "b"


def test_times_become_unix_seconds() -> None:
    event = decode_body(
        b'{"user_id": "u", "item_id": "i", "timestamp": "1970-01-02T00:00:00Z"}', EVENTS
    )
    assert event.event_at(200_000.0).timestamp == 86_400.0
    assert EventIn(user_id="u", item_id="i").event_at(7.0).timestamp == 7.0


def test_only_fields_that_were_sent_are_changed() -> None:
    changes = msgspec.json.decode(b'{"text": "", "timestamp": null}', type=ItemChanges)
    assert changes.changes_at(5.0) == {"text": "", "timestamp": 5.0}
    assert ItemChanges().changes_at(5.0) == {}


def test_an_entry_of_a_list_needs_its_id() -> None:
    entries = [ItemIn(item_id="a"), ItemIn()]
    with pytest.raises(InvalidInput) as refused:
        convert_each(entries, lambda entry: entry.item_at(entry.item_id, 1.0))
    assert (refused.value.field, refused.value.position) == ("item_id", 1)


def test_long_lists_are_refused() -> None:
    at_most(3, 3, "history")
    with pytest.raises(InvalidInput, match="history has 4 entries; at most 3") as refused:
        at_most(4, 3, "history")
    assert refused.value.field == "history"
