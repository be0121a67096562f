"""Conversion of source columns to the names and types of fields: IDs, times, numbers."""

import difflib
import re
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nearline.data.amounts import read_amounts
from nearline.data.clock import NAMES, read_clock
from nearline.data.missing import MISSING, MISSING_IDS, without_missing
from nearline.data.moments import parse_moments, read_moments
from nearline.errors import InvalidInput
from nearline.schema.arguments import mapping

__all__ = [
    "MISSING",
    "MISSING_IDS",
    "name_columns",
    "read_times",
    "to_ids",
    "to_numbers",
    "to_seconds",
    "without_missing",
]

# Common names of columns, from which error messages suggest a mapping.
_ALIASES = {
    "user_id": ("user", "uid", "customer", "customerid", "visitorid", "session", "sessionid"),
    "item_id": ("item", "iid", "product", "productid", "movieid", "sku", "asin", "article", "id"),
    "timestamp": ("time", "ts", "date", "datetime", "createdat", "position"),
    "event": ("action", "eventtype", "type", "kind"),
    "value": ("rating", "score", "amount", "quantity", "price"),
}
# Floats represent every whole number up to this one; a larger ID may have lost digits.
_LAST_EXACT = 2.0**53
_ADVICE = {
    "timestamp": "it must be a date, Unix seconds or ISO 8601 text; for another form pass "
    "time_format='%d.%m.%Y %H:%M'"
}
_UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}


def name_columns(
    found: Collection[str],
    columns: Mapping[str, str] | None,
    *,
    required: Collection[str],
    optional: Collection[str],
) -> dict[str, str]:
    """Return the column of each field that has one, by field name.

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
                f"columns={{{field!r}: {name!r}}} names an unknown field; fields are "
                f"{_listed(fields)}. "
                "Write the field on the left and the name of your column on the right",
                field="columns",
            )
        if name not in found:
            near = difflib.get_close_matches(name, list(found), n=1)
            raise InvalidInput(
                f"columns={{{field!r}: {name!r}}} names a column that does not exist; the table "
                f"has {_listed(found)}" + (f". Did you mean {near[0]!r}?" if near else ""),
                field="columns",
            )
    named = {field: columns.get(field, field) for field in fields}
    missing = [field for field in required if named[field] not in found]
    if missing:
        raise InvalidInput(_missing_help(missing, found), field=missing[0])
    return {field: name for field, name in named.items() if name in found}


def to_ids(column: Any, name: str) -> Any:
    """Convert IDs to text; null if missing. A whole number becomes its decimal digits.

    pandas stores whole numbers with gaps as floats, so 7.0 also becomes "7".

    Raises
    ------
    InvalidInput
        The column has another type, or a number that is not whole or is larger than 2^53.
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
                f"{name} contains the number {value!r}; an id is text or a whole number of at most "
                "2^53 (a larger float loses digits). Convert this column to text",
                field=name,
            )
        return numbers.cast(pa.int64()).cast(pa.string())
    raise InvalidInput(
        f"{name} is of type {kind}; an id is text or a whole number. Convert this column to text",
        field=name,
    )


def to_seconds(column: Any, name: str) -> Any:
    """Convert times to Unix seconds (float64): null if missing, NaN if invalid."""
    return read_times(column, name)[0]


def read_times(
    column: Any,
    name: str,
    *,
    time_format: str | None = None,
    day_first: bool | None = None,
    missing: Collection[str] = MISSING,
) -> tuple[Any, str]:
    """Convert a column of times to Unix seconds; return these and a description of the format.

    The result is float64: null if a time is missing, NaN if it is invalid. The column can contain
    datetimes and dates (UTC if they have no time zone), numbers (see `read_clock`), and text with
    numbers or dates (see `read_moments`).

    Parameters
    ----------
    time_format : str or None
        One of `nearline.data.clock.NAMES`, or a format of `datetime.strptime`; None determines
        it from the whole column.
    day_first : bool or None
        Whether 1/2/2020 is in February; None determines it from the whole column.

    Raises
    ------
    InvalidInput
        The column has another type, none of its values can be read, or the format cannot be
        determined.
    """
    kind = column.type
    if pa.types.is_timestamp(kind):
        ticks = column.cast(pa.int64()).cast(pa.float64(), safe=False)
        return pc.divide(ticks, _UNITS[kind.unit]), "datetimes"
    if pa.types.is_date(kind):
        return read_times(column.cast(pa.timestamp("ms")), name)[0], "dates"
    if time_format is not None and time_format not in NAMES and "%" not in time_format:
        raise InvalidInput(
            f"time_format is {time_format!r}; allowed are {', '.join(NAMES)}, or a format such as "
            "'%d.%m.%Y %H:%M'",
            field="time_format",
        )
    if not pa.types.is_string(kind):
        numbers = _plain_numbers(column, name, "a datetime, a number or text")
        return _clock(numbers, name, time_format)
    column = without_missing(column, missing)
    if time_format is not None and "%" in time_format:
        return _read_texts(column, name, lambda texts: parse_moments(texts, time_format)), "text"
    if time_format is None:
        for zone in ("UTC", None):
            with suppress(pa.ArrowInvalid):
                moments = column.cast(pa.timestamp("us", zone))
                return read_times(moments, name)[0], "ISO 8601"
        with suppress(pa.ArrowInvalid):  # the fast path, for all rows at once
            bare = pc.replace_substring_regex(column, " *(UTC|GMT)$", "")
            return read_times(bare.cast(pa.timestamp("us")), name)[0], "ISO 8601"
    with suppress(pa.ArrowInvalid):
        return _clock(column.cast(pa.float64()), name, time_format)
    how: list[str] = []

    def read(texts: list[str]) -> dict[str, float]:
        return _read_mixed(texts, name, time_format, day_first, how)

    return _read_texts(column, name, read), " and ".join(how)


def _clock(numbers: Any, name: str, time_format: str | None) -> tuple[Any, str]:
    if numbers.null_count == len(numbers):
        return numbers, ""
    values = pc.fill_null(numbers, float("nan")).to_numpy()
    seconds, how = read_clock(values, name, time_format)
    return pa.array(seconds, mask=numbers.is_null().to_numpy(zero_copy_only=False)), how


def _read_mixed(
    texts: list[str], name: str, time_format: str | None, day_first: bool | None, how: list[str]
) -> dict[str, float]:
    """Read texts of which some are numbers and others are dates; see `read_moments`."""
    numbers: dict[str, float] = {}
    others = []
    for text in texts:
        try:
            numbers[text] = float(text)
        except ValueError:
            others.append(text)
    found: dict[str, float] = {}
    if numbers:
        seconds, what = read_clock(np.array(list(numbers.values())), name, time_format)
        found |= dict(zip(numbers, seconds.tolist(), strict=True))
        how.append(what)
    if time_format is None:
        moments, what = read_moments(others, name, day_first)
        found |= moments
        how += [what] if what else []
    return found


def to_numbers(
    column: Any, name: str, missing: Collection[str] = MISSING, *, optional: bool = False
) -> Any:
    """Convert values to float64: null if missing, NaN if a value is not a number.

    Text may contain a currency and thousands separators; see `read_amounts`. If no text is a
    number, the column is refused unless it is `optional`.
    """
    if not pa.types.is_string(column.type):
        return _plain_numbers(column, name, "a number")
    column = without_missing(column, missing)
    with suppress(pa.ArrowInvalid):
        return column.cast(pa.float64())
    return _read_texts(column, name, read_amounts, optional=optional)


def _plain_numbers(column: Any, name: str, allowed: str) -> Any:
    kind = column.type
    if (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_null(kind)
    ):
        return column.cast(pa.float64(), safe=False)
    raise InvalidInput(f"{name} is of type {kind}; it must be {allowed}", field=name)


def _read_texts(
    column: Any,
    name: str,
    read: Callable[[list[str]], dict[str, float]],
    *,
    optional: bool = False,
) -> Any:
    """Read each distinct text of a column; NaN if `read` leaves it out."""
    codes = pa.chunked_array(column).combine_chunks().dictionary_encode()
    texts = codes.dictionary.to_pylist()
    found = read([text for text in texts if text is not None])
    if texts and not found and not optional:
        raise InvalidInput(
            f"no {name} can be read; the first is {texts[0]!r:.60}; "
            + _ADVICE.get(name, "it must be a number"),
            field=name,
        )
    numbers = pa.array([found.get(text, float("nan")) for text in texts], pa.float64())
    return numbers.take(codes.indices)


def looks_like_data(names: Collection[str]) -> bool:
    """Return whether column names look like a row of data: one is a number or a date."""
    return any(re.fullmatch(r"\s*[+-]?\d[\d.,:/\- T]*\s*", name) for name in names)


def no_header_help(fields: Collection[str]) -> str:
    """Return advice on reading a file without a header, for an error message."""
    mapped = {field: str(place) for place, field in enumerate(fields, 1)}
    return f"Pass header=False and, with columns numbered from 1, columns={mapped}"


def _missing_help(missing: Collection[str], found: Collection[str]) -> str:
    if looks_like_data(found):
        numbered = all(name.isdigit() for name in found) and len(found) == len(set(found))
        if not (numbered and sorted(map(int, found)) == list(range(1, len(found) + 1))):
            return (
                f"{_listed(missing)} not found: the first line {_listed(found)} looks like data, "
                f"so the file has no header. {no_header_help(missing)}"
            )
    guesses = {field: guess for field in missing if (guess := _guess(field, found))}
    example = guesses or dict.fromkeys(missing, "your column")
    hint = ""
    if len(found) == 1 and (mark := re.search(r"[;|\t,]", next(iter(found)))):
        hint = f". The separator seems to be {mark.group()!r}: pass separator={mark.group()!r}"
    return (
        f"{_listed(missing)} not found among the columns {_listed(found)}; rename, or map names "
        f"with columns={example!r}{hint}"
    )


def _guess(field: str, found: Collection[str]) -> str | None:
    simple = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in found}
    for name in found:  # a field inside an object is also found without the object's name
        last = name.rpartition(".")[2].lower()
        simple.setdefault(re.sub(r"[^a-z0-9]", "", last), name)
    for alias in (field.replace("_", ""), *_ALIASES.get(field, ())):
        if alias in simple:
            return simple[alias]
    near = difflib.get_close_matches(field.replace("_", ""), list(simple), n=1, cutoff=0.7)
    return simple[near[0]] if near else None


def _listed(names: Collection[str]) -> str:
    shown = [repr(name) for name in list(names)[:20]]
    return ", ".join(shown) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
