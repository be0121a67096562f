"""Validation of times: Unix seconds, RFC 3339 texts and datetimes."""

import math
from datetime import UTC, datetime

from nearline.errors import InvalidInput
from nearline.schema.arguments import plain

DAY = 86_400.0
# Seconds that a time may lie in the future, since clocks of clients may be fast. One day is more
# than the error from any wrong time zone.
MAX_FUTURE = DAY
# The last time at which an item may expire: the end of the year 9999.
LAST_TIME = 253_402_300_799.0


def check_time(seconds: float, field: str, *, now: float) -> float:
    """Return `seconds` as a float if it is a Unix time from 1970 to one day after `now`.

    Raises
    ------
    InvalidInput
        The time is not finite or not in this range; `field` is its name in the message.
    """
    if not math.isfinite(seconds):
        raise InvalidInput(f"{field} is {seconds}; it must be finite Unix seconds", field=field)
    if seconds < 0:
        raise InvalidInput(
            f"{field} is {seconds:.15g}, before 1970; send Unix seconds or RFC 3339", field=field
        )
    if seconds > now + MAX_FUTURE:
        raise InvalidInput(
            f"{field} is {seconds:.15g}, more than a day in the future; "
            "Unix times are seconds here, not milliseconds",
            field=field,
        )
    return float(seconds)


def parse_time(value: object, field: str = "timestamp", *, now: float) -> float:
    """Convert a time to Unix seconds.

    Parameters
    ----------
    value : float, str, datetime or None
        Unix seconds, RFC 3339 text or a datetime; None means `now`. A time without a UTC offset
        is interpreted as UTC.
    field : str
        Name of the field for the error message.
    now : float
        Current time in Unix seconds.

    Raises
    ------
    InvalidInput
        The value is not a time, or is not between 1970 and one day after `now`.
    """
    if _is_missing_time(value):
        raise InvalidInput(
            f"{field} is {value!r:.60}; send RFC 3339 or Unix seconds, or omit it for the current "
            "time",
            field=field,
        )
    value = plain(value)
    return float(now) if value is None else check_time(_seconds(value, field), field, now=now)


def parse_expiry(value: object, field: str = "expires_at") -> float | None:
    """Convert the time at which an item expires to Unix seconds; it may lie in the far future.

    Parameters
    ----------
    value : float, str, datetime or None
        Time in the forms of `parse_time`; None means never.

    Raises
    ------
    InvalidInput
        The value is not a time from 1970 to the year 9999.
    """
    if _is_missing_time(value):
        raise InvalidInput(
            f"{field} is {value!r:.60}; send RFC 3339 or Unix seconds, or omit it for never",
            field=field,
        )
    value = plain(value)
    return None if value is None else check_expiry(_seconds(value, field), field)


def check_expiry(seconds: float, field: str = "expires_at") -> float:
    """Return `seconds` if it is a Unix time up to the year 9999; raise `InvalidInput` if not."""
    if seconds > LAST_TIME:
        raise InvalidInput(
            f"{field} is {seconds:.15g}, after the year 9999; Unix times are seconds here, not "
            "milliseconds",
            field=field,
        )
    return check_time(seconds, field, now=LAST_TIME)


def _seconds(value: object, field: str) -> float:
    """Return a time that is not None in Unix seconds, unchecked."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise InvalidInput(
                f"{field} is {value!r:.60}; send RFC 3339 (2026-01-31T12:00:00Z) or Unix seconds",
                field=field,
            ) from None
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        try:
            value = moment.timestamp()
        except (OverflowError, OSError):
            raise InvalidInput(f"{field} is {value}; no such Unix time", field=field) from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(
            f"{field} is {value!r:.60}; send Unix seconds, RFC 3339 or a datetime", field=field
        )
    try:
        return float(value)
    except OverflowError:
        raise InvalidInput(f"{field} is too large a number", field=field) from None


def _is_missing_time(value: object) -> bool:
    """Return whether a value is NaT of NumPy or pandas, which is not equal to itself."""
    if value is None or isinstance(value, str | int | float):
        return False
    try:
        return bool(value != value)
    except (TypeError, ValueError):  # of another type, which is refused later
        return False
