"""Parsing of times in text: ISO 8601, numeric dates, and dates with names of months."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from nearline.errors import InvalidInput

# 12/1/2010 8:26, 31.01.21, 2021/01/31 10:03:00 PM, 01-02-2021T8:05Z
_NUMERIC = re.compile(
    r"(\d{1,4})([/.\-])(\d{1,2})\2(\d{4}|\d{1,2})"
    r"(?:(?:\s*,)?[\sT]+(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?(?:\s*([AaPp])\.?[Mm]\.?)?)?"
    r"\s*(Z|UTC|GMT|[+-]\d\d:?\d\d)?"
)
_DATE = ("%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d %Y")
_TIME = ("", " %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p")
_FORMS = (
    *(date + clock for date in _DATE for clock in _TIME),
    "%a %b %d %H:%M:%S %z %Y",
    "%a %b %d %H:%M:%S %Y",
    "%m %d, %Y",
)
_NOON = 12
# Two-digit years from this one on are in the 20th century.
_LAST_CENTURY = 69
_FOUR_DIGITS = 4
_MOST = 0.9


class _Parts(NamedTuple):
    """A numeric date whose first two numbers are day and month in either order."""

    first: int
    second: int
    year: int
    rest: tuple[int, int, float]  # hour, minute, second
    zone: timezone
    mark: str


def read_moments(
    texts: Sequence[str], field: str, day_first: bool | None = None
) -> tuple[dict[str, float], str]:
    """Return the Unix seconds of each text that is a time, and a description of the formats.

    A time without a time zone is UTC. Whether the day or the month is first is determined from all
    texts together: a number above 12 is the day, and in dates with points the day is first.

    Raises
    ------
    InvalidInput
        The order of day and month cannot be determined, or differs between texts.
    """
    found: dict[str, float] = {}
    open_dates: dict[str, _Parts] = {}
    other: list[str] = []
    for text in texts:
        parts = _numeric(text)
        if isinstance(parts, float):
            found[text] = parts
        elif parts is not None:
            open_dates[text] = parts
        elif (seconds := _iso(text)) is not None:
            found[text] = seconds
        else:
            other.append(text)
    how = ["ISO 8601"] if found else []
    if open_dates:
        first = _day_comes_first(open_dates, field) if day_first is None else day_first
        how.append("day, month, year" if first else "month, day, year")
        for text, parts in open_dates.items():
            if (seconds := _seconds(parts, first)) is not None:
                found[text] = seconds
    named = _with_names(other)
    if named:
        how.append("dates with names of months")
    return {**found, **named}, " and ".join(how)


def parse_moments(texts: Iterable[str], form: str) -> dict[str, float]:
    """Return the Unix seconds of each text in the `datetime.strptime` format `form`."""
    found = {}
    for text in texts:
        try:
            found[text] = _unix(datetime.strptime(text.strip(), form))
        except ValueError:
            continue
    return found


def _iso(text: str) -> float | None:
    text = re.sub(r"\s*(?:UTC|GMT)$", "+00:00", text.strip())
    text = re.sub(r"^(\d{4}-\d\d-\d\d[ T])(\d:)", r"\g<1>0\2", text)
    text = re.sub(r"^(\d{4}-\d\d)$", r"\1-01", text)
    try:
        return _unix(datetime.fromisoformat(text))
    except ValueError:
        return None


def _numeric(text: str) -> _Parts | float | None:
    """Split a numeric date; return Unix seconds if the year is first, None for other texts."""
    match = _NUMERIC.fullmatch(text.strip())
    if match is None:
        return None
    one, mark, two, three, hour, minute, second, fraction, half, zone = match.groups()
    hours = int(hour or 0)
    if half:
        hours = hours % _NOON + (_NOON if half in "Pp" else 0)
    rest = (hours, int(minute or 0), float(f"{second or 0}.{fraction or 0}"))
    if len(one) == _FOUR_DIGITS:
        parts = _Parts(int(two), int(three), int(one), rest, _zone(zone), mark)
        return _seconds(parts, day_first=False)
    if len(one) > 2:
        return None
    year = int(three)
    if len(three) < _FOUR_DIGITS:
        year += 1900 if year >= _LAST_CENTURY else 2000
    return _Parts(int(one), int(two), year, rest, _zone(zone), mark)


def _zone(text: str | None) -> timezone:
    if not text or text[0] not in "+-":
        return UTC
    minutes = int(text[1:3]) * 60 + int(text[-2:])
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))


def _seconds(parts: _Parts, day_first: bool) -> float | None:
    day, month = (parts.first, parts.second) if day_first else (parts.second, parts.first)
    hour, minute, second = parts.rest
    try:
        start = datetime(parts.year, month, day, hour, minute, tzinfo=parts.zone)
    except ValueError:
        return None
    return start.timestamp() + second


def _day_comes_first(dates: dict[str, _Parts], field: str) -> bool:
    days = sum(parts.first > _NOON for parts in dates.values())
    months = sum(parts.second > _NOON for parts in dates.values())
    if days + months and max(days, months) >= _MOST * (days + months):
        return days > months
    if not days + months:
        if all(parts.mark == "." for parts in dates.values()):
            return True
        if all(parts.first == parts.second for parts in dates.values()):
            return True
    text = next(iter(dates))
    why = (
        "in some dates the first number is above 12 and in others the second"
        if days
        else "no number is above 12"
    )
    raise InvalidInput(
        f"{field} contains dates such as {text!r:.40}, in which day or month can be first: {why}. "
        "Pass day_first=True or day_first=False, or time_format='%m/%d/%Y %H:%M'",
        field=field,
    )


def _with_names(texts: Iterable[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    forms = list(_FORMS)
    for text in texts:
        plain = " ".join(text.split())
        for form in forms:
            try:
                moment = datetime.strptime(plain, form)
            except ValueError:
                continue
            found[text] = _unix(moment)
            forms.remove(form)
            forms.insert(0, form)  # the next text probably has the same format
            break
        else:
            try:
                found[text] = _unix(parsedate_to_datetime(plain))
            except ValueError:
                continue
    return found


def _unix(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
