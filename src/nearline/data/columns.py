"""Columns as they come, to columns as they are needed: names, ids, times, numbers."""

import difflib
import re
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from nearline.errors import InvalidInput
from nearline.schema.arguments import mapping

# Names seen in other tables, to guess what a column is: only for the wording of an error.
_ALIASES = {
    "user_id": ("user", "uid", "customer", "customerid", "visitorid", "session", "sessionid"),
    "item_id": ("item", "iid", "product", "productid", "movieid", "sku", "asin", "article"),
    "timestamp": ("time", "ts", "date", "datetime", "createdat", "position"),
    "event": ("action", "eventtype", "type", "kind"),
    "value": ("rating", "score", "amount", "quantity", "price"),
}
# Floats hold every whole number up to here; beyond it an id may have lost digits.
_LAST_EXACT = 2.0**53
# How databases and other programs write that an id is missing.
MISSING_IDS = ("", "NULL", "null", "\\N", "nan", "NaN", "None", "N/A", "<NA>")
# In other columns these mean the same.
MISSING = (*MISSING_IDS, "n/a", "NA", "-", "\u2013", "\u2014", "Unknown", "unknown")
_UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}


def name_columns(
    found: Collection[str],
    columns: Mapping[str, str] | None,
    *,
    required: Collection[str],
    optional: Collection[str],
) -> dict[str, str]:
    """Decide which column holds which field: field name to column name.

    Raises
    ------
    InvalidInput
        `columns` names a field or a column that does not exist, or a required field is missing.
    """
    columns = mapping(columns or {}, "columns", "{'user_id': 'customer'}")
    fields = [*required, *optional]
    for field, name in columns.items():
        if field not in fields:
            raise InvalidInput(
                f"columns={{{field!r}: {name!r}}} names no field; fields are {_listed(fields)}. "
                "The field stands on the left, your column on the right",
                field="columns",
            )
        if name not in found:
            near = difflib.get_close_matches(name, list(found), n=1)
            raise InvalidInput(
                f"columns={{{field!r}: {name!r}}} names a column that is not there; the table "
                f"has {_listed(found)}" + (f". Did you mean {near[0]!r}?" if near else ""),
                field="columns",
            )
    named = {field: columns.get(field, field) for field in fields}
    missing = [field for field in required if named[field] not in found]
    if missing:
        raise InvalidInput(_missing_help(missing, found), field=missing[0])
    return {field: name for field, name in named.items() if name in found}


def without_missing(column: Any, spellings: Collection[str] = MISSING) -> Any:
    """Return a text column with null where a cell is one of `spellings`."""
    given = pc.invert(pc.is_in(column, value_set=pa.array(spellings, pa.string())))
    return pc.if_else(given, column, pa.scalar(None, pa.string()))


def to_ids(column: Any, name: str) -> Any:
    """Text of each id (null where missing): whole numbers in their decimal form.

    pandas turns a column of whole numbers with gaps into floats, so 7.0 becomes "7".
    """
    kind = column.type
    if pa.types.is_string(kind):
        return column
    if pa.types.is_integer(kind) or pa.types.is_null(kind):
        return column.cast(pa.string())
    if pa.types.is_floating(kind):
        numbers = column.cast(pa.float64())
        numbers = pc.if_else(pc.is_finite(numbers), numbers, None)
        odd = pc.or_(
            pc.not_equal(pc.floor(numbers), numbers),
            pc.greater(pc.abs(numbers), _LAST_EXACT),
        )
        if pc.any(odd).as_py():
            value = numbers.filter(odd)[0].as_py()
            raise InvalidInput(
                f"{name} holds the number {value!r}; an id is text or a whole number of at most "
                "2^53 (beyond it a float loses digits). Read this column as text",
                field=name,
            )
        return numbers.cast(pa.int64()).cast(pa.string())
    raise InvalidInput(
        f"{name} is of type {kind}; an id is text or a whole number. Convert this column",
        field=name,
    )


def to_seconds(column: Any, name: str) -> Any:
    """Unix seconds of each time as float64: null where missing, NaN where it is no time.

    Takes datetimes and dates (without a zone: UTC), Unix seconds, and text with either RFC 3339
    (also with ``UTC`` at the end, or an hour of one digit) or Unix seconds. A column of which
    every number is a date written as yyyymmdd (from 1990 to 2099) is read as dates.
    """
    kind = column.type
    if pa.types.is_timestamp(kind):
        ticks = column.cast(pa.int64()).cast(pa.float64(), safe=False)
        return pc.divide(ticks, _UNITS[kind.unit])
    if pa.types.is_date(kind):
        return to_seconds(column.cast(pa.timestamp("ms")), name)
    if pa.types.is_string(kind):
        column = without_missing(column)
        for zone in ("UTC", None):
            try:
                return to_seconds(column.cast(pa.timestamp("us", zone)), name)
            except pa.ArrowInvalid:
                continue  # not all of it is like that: try the next, slower reading
    allowed = "a datetime, Unix seconds or RFC 3339 text"
    return _whole_dates(_to_numbers(column, name, _parse_moment, allowed))


def _whole_dates(numbers: Any) -> Any:
    """Read the numbers as yyyymmdd if all of them are such dates; else return them as they are."""
    bounds = pc.min_max(numbers).as_py()
    if bounds["min"] is None or not 19_900_101 <= bounds["min"] <= bounds["max"] <= 20_991_231:
        return numbers
    try:
        texts = numbers.cast(pa.int64()).cast(pa.string())
        dates = pc.strptime(texts, format="%Y%m%d", unit="s")
    except pa.ArrowInvalid:
        return numbers
    return dates.cast(pa.int64()).cast(pa.float64())


def to_numbers(column: Any, name: str) -> Any:
    """Each value as float64: null where missing, NaN where it is no number."""
    return _to_numbers(column, name, float, "a number")


def _to_numbers(column: Any, name: str, parse: Callable[[str], float], allowed: str) -> Any:
    kind = column.type
    if pa.types.is_string(kind):
        return _parse_text(column, name, parse, allowed)
    if (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_null(kind)
    ):
        return column.cast(pa.float64(), safe=False)
    raise InvalidInput(f"{name} is of type {kind}; it must be {allowed}", field=name)


def _parse_text(column: Any, name: str, parse: Callable[[str], float], allowed: str) -> Any:
    column = without_missing(column)
    with suppress(pa.ArrowInvalid):
        return column.cast(pa.float64())
    # Not all of it is plain numbers: each distinct text is parsed by itself.
    codes = column.combine_chunks().dictionary_encode()
    numbers = []
    for text in codes.dictionary.to_pylist():
        try:
            numbers.append(parse(text))
        except (ValueError, OverflowError):
            numbers.append(float("nan"))
    if all(number != number for number in numbers):
        raise InvalidInput(
            f"no {name} can be read, the first is {codes.dictionary[0].as_py()!r:.60}; "
            f"it must be {allowed}",
            field=name,
        )
    return pa.array(numbers, pa.float64()).take(codes.indices)


def _parse_moment(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        text = re.sub(r"\s*UTC$", "+00:00", text.strip())
        text = re.sub(r"^(\d{4}-\d\d-\d\d[ T])(\d:)", r"\g<1>0\2", text)
        moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _missing_help(missing: Collection[str], found: Collection[str]) -> str:
    guesses = {field: guess for field in missing if (guess := _guess(field, found))}
    example = guesses or dict.fromkeys(missing, "your column")
    hint = ""
    if len(found) == 1 and (mark := re.search(r"[;|\t]", next(iter(found)))):
        hint = (
            f". The header looks separated by {mark.group()!r}: use read_table(path, "
            f"separator={mark.group()!r}) and pass the table"
        )
    return (
        f"{_listed(missing)} not found among the columns {_listed(found)}; rename, or map names "
        f"with columns={example!r}{hint}"
    )


def _guess(field: str, found: Collection[str]) -> str | None:
    simple = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in found}
    for alias in (field.replace("_", ""), *_ALIASES.get(field, ())):
        if alias in simple:
            return simple[alias]
    near = difflib.get_close_matches(field.replace("_", ""), list(simple), n=1, cutoff=0.7)
    return simple[near[0]] if near else None


def _listed(names: Collection[str]) -> str:
    shown = [repr(name) for name in list(names)[:20]]
    return ", ".join(shown) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
