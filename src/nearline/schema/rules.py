"""Validation of all external values: IDs, numbers, times, texts, events and items."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from nearline.errors import InvalidInput
from nearline.schema.arguments import plain, whole_number
from nearline.schema.records import Event, Item, Scalar
from nearline.schema.times import check_expiry, check_time, parse_expiry, parse_time

MAX_ID_BYTES = 512
MAX_K = 1_000
MAX_TEXT_CHARS = 100_000
MAX_LABELS = 1_000
MAX_LABEL_BYTES = 512
MAX_VECTOR_LENGTH = 16_384
MAX_VECTORS = 64
MAX_CONTEXT_FIELDS = 64
MAX_PREFERENCES_CHARS = 1_000
MAX_ABSOLUTE_NUMBER = 1e15
# What lists may contain of the user's history; "auto" is one of the others, chosen by training.
EXCLUDE, INCLUDE, AUTO = "exclude", "include", "auto"
REPEATS = (EXCLUDE, INCLUDE, AUTO)
# Metric of a snapshot, 0 or 1: whether training found that users repeat items.
REPEATS_FOUND = "repeats_found"


def make_record(kind: type[Struct], **fields: object) -> Any:
    """Create a log record of class `kind` from its fields.

    Raises
    ------
    InvalidInput
        A field is unknown, missing or of another type.
    """
    try:
        return msgspec.convert({"type": kind.__struct_config__.tag} | plain(fields), kind)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{kind.__name__}: {error}") from None


def check_id(value: object, field: str) -> str:
    """Return `value` if it is a valid ID: 1 to 512 bytes of UTF-8 without a NUL character.

    Parameters
    ----------
    value : object
        Value to check.
    field : str
        Name of the field for the error message.

    Raises
    ------
    InvalidInput
        The value is not a valid ID.
    """
    if not isinstance(value, str):
        raise InvalidInput(f"{field} is {type(value).__name__}; it must be a string", field=field)
    # The usual case, without encoding: Python stores whether a string is ASCII.
    if value.isascii() and 0 < len(value) <= MAX_ID_BYTES and "\0" not in value:
        return value
    if not value:
        raise InvalidInput(f"{field} is empty; it must have 1 to {MAX_ID_BYTES} bytes", field=field)
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidInput(
            f"{field} is not valid Unicode (it holds a lone surrogate); send valid UTF-8",
            field=field,
        ) from None
    if size > MAX_ID_BYTES:
        raise InvalidInput(
            f"{field} has {size} bytes; at most {MAX_ID_BYTES} are allowed", field=field
        )
    if "\0" in value:
        raise InvalidInput(f"{field} contains a NUL character; remove it", field=field)
    return value


def check_number(value: object, field: str) -> float:
    """Convert a finite number of absolute value at most 1e15 to a float.

    Raises
    ------
    InvalidInput
        The value is not such a number; `field` is its name in the message.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(f"{field} is {value!r:.50}; it must be a number", field=field)
    # Compared before conversion, since a huge int would overflow a float.
    if not -MAX_ABSOLUTE_NUMBER <= value <= MAX_ABSOLUTE_NUMBER:  # also refuses NaN
        raise InvalidInput(
            f"{field} is {str(value)[:50]}; it must be finite and at most 1e15 in size", field=field
        )
    return float(value)


def check_k(k: object, field: str = "k") -> int:
    """Return `k` if it is a whole number from 1 to 1000."""
    return whole_number(k, field, least=1, most=MAX_K)


def check_text(value: str, field: str, limit: int = MAX_TEXT_CHARS) -> str:
    """Return `value` if it is valid Unicode of at most `limit` characters.

    Raises
    ------
    InvalidInput
        The text is too long or contains a lone surrogate.
    """
    if len(value) > limit:
        raise InvalidInput(
            f"{field} has {len(value):,} characters; at most {limit:,} are allowed", field=field
        )
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidInput(
            f"{field} is not valid Unicode (a lone surrogate)", field=field
        ) from None
    return value


def new_event(fields: Mapping[str, object], timestamp: object, *, now: float) -> Event:
    """Create and validate an event.

    Parameters
    ----------
    fields : mapping
        Fields of `Event`, except the timestamp.
    timestamp : object
        Time in any form that `parse_time` accepts.
    now : float
        Current time in Unix seconds.

    Raises
    ------
    InvalidInput
        A field is invalid; the error names it.
    """
    when = parse_time(timestamp, now=now)
    return check_event(make_record(Event, **fields, timestamp=when), now=now)


def new_item(fields: Mapping[str, object], timestamp: object, *, now: float) -> Item:
    """Create and validate a catalogue entry from the fields of `Item`.

    `expires_at` may have any form that `parse_expiry` accepts. The other parameters and the errors
    are those of `new_event`.
    """
    when = parse_time(timestamp, now=now)
    if "expires_at" in fields:
        fields = {**fields, "expires_at": parse_expiry(fields["expires_at"])}
    return check_item(make_record(Item, **fields, timestamp=when), now=now)


def check_event(event: Event, *, now: float) -> Event:
    """Return `event` if every field is valid.

    Raises
    ------
    InvalidInput
        A field is invalid; the error names it. `now` is the current time in Unix seconds.
    """
    check_id(event.user_id, "user_id")
    check_id(event.item_id, "item_id")
    check_id(event.event, "event")
    if event.event_id is not None:
        check_id(event.event_id, "event_id")
    if event.session_id is not None:
        check_id(event.session_id, "session_id")
    if event.recommendation_id is not None:
        check_id(event.recommendation_id, "recommendation_id")
    check_time(event.timestamp, "timestamp", now=now)
    if event.value is not None:
        check_number(event.value, "value")
    if event.context is not None:
        check_context(event.context)
    return event


_ITEM_TYPES: tuple[tuple[str, type, str], ...] = (
    ("text", str, "a string"),
    ("title", str, "a string"),
    ("categories", list, "a list of strings"),
    ("attributes", dict, "a dict of names and values"),
    ("vectors", dict, "a dict of names and lists of numbers"),
    ("available", bool, "true or false"),
)


def check_item(item: Item, *, now: float) -> Item:
    """Return `item` if every field is valid.

    Raises
    ------
    InvalidInput
        A field is invalid; the error names it. `now` is the current time in Unix seconds.
    """
    # An entry from a body has the right types already; one that Python code made may not.
    for name, kind, wanted in _ITEM_TYPES:
        if not isinstance(getattr(item, name), kind):
            given = getattr(item, name)
            raise InvalidInput(f"{name} is {given!r:.50}; it must be {wanted}", field=name)
    check_id(item.item_id, "item_id")
    check_time(item.timestamp, "timestamp", now=now)
    check_text(item.text, "text")
    check_text(item.title, "title")
    _check_count(len(item.categories), "categories")
    for category in item.categories:
        check_id(category, "categories")
    _check_count(len(item.attributes), "attributes")
    for name, value in item.attributes.items():
        check_id(name, "attributes")
        _check_attribute(value, f"attributes.{name}")
    _check_count(len(item.vectors), "vectors", MAX_VECTORS)
    for name, vector in item.vectors.items():
        check_id(name, "vectors")
        _check_vector(vector, f"vectors.{name}")
    if item.expires_at is not None:
        check_expiry(item.expires_at)
    return item


def check_repeats(repeats: object) -> str:
    """Return a valid value of the option `repeats`; raise `InvalidInput` for any other."""
    if repeats not in REPEATS:
        raise InvalidInput(
            f"repeats is {repeats!r:.50}; it must be one of {', '.join(REPEATS)}", field="repeats"
        )
    return str(repeats)


def check_preferences(text: object) -> None:
    """Raise `InvalidInput` unless `text` is a string of at most 1,000 characters."""
    if not isinstance(text, str):
        raise InvalidInput(
            f"preferences is {type(text).__name__}; it must be a text, such as 'green tea'",
            field="preferences",
        )
    check_text(text, "preferences", MAX_PREFERENCES_CHARS)


def check_context(context: object) -> None:
    """Raise `InvalidInput` unless `context` maps at most 64 names to strings, numbers or bools."""
    if not isinstance(context, Mapping):
        raise InvalidInput(
            f"context is {type(context).__name__}; it must map names to values, such as "
            '{"country": "FR"}',
            field="context",
        )
    if len(context) > MAX_CONTEXT_FIELDS:
        raise InvalidInput(
            f"context has {len(context)} fields; at most {MAX_CONTEXT_FIELDS} are allowed",
            field="context",
        )
    for name, value in context.items():
        check_id(name, "context")
        if isinstance(value, str):
            check_text(value, f"context.{name}", MAX_LABEL_BYTES)
        elif not isinstance(value, Scalar):
            raise InvalidInput(
                f"context.{name} is {value!r:.50}; it must be a text, a number or a boolean: "
                "omit unknown values",
                field=f"context.{name}",
            )
        elif not isinstance(value, bool):
            check_number(value, f"context.{name}")


def _check_count(count: int, field: str, most: int = MAX_LABELS) -> None:
    if count > most:
        raise InvalidInput(f"{field} has {count} entries; at most {most} are allowed", field=field)


def _check_attribute(value: object, field: str) -> None:
    values = value if isinstance(value, list) else [value]
    _check_count(len(values), field)
    for entry in values:
        if isinstance(entry, str):
            check_text(entry, field)
        elif not isinstance(entry, bool):
            check_number(entry, field)


def _check_vector(vector: object, field: str) -> None:
    if not isinstance(vector, list):
        raise InvalidInput(f"{field} is {vector!r:.50}; it must be a list of numbers", field=field)
    if not 1 <= len(vector) <= MAX_VECTOR_LENGTH:
        raise InvalidInput(
            f"{field} has {len(vector)} numbers; 1 to {MAX_VECTOR_LENGTH} are allowed", field=field
        )
    for entry in vector:
        check_number(entry, field)
    if not any(vector):
        raise InvalidInput(f"{field} is all zeros and has no direction; omit it", field=field)
