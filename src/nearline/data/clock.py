"""Formats of numeric times: Unix time in four units, dates, years and positions."""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nearline.errors import InvalidInput
from nearline.schema import DAY

Floats = NDArray[np.float64]
# Smaller times are positions or row numbers.
FIRST_CLOCK_TIME = 1e8
# Rows of a table without times have the same whole number as time, plus a fraction of less than
# this, by which a history shows them in the order of the table. Models never see the fraction.
UNDATED_SPAN = 2.0**-20
# Share of the numbers of a column that must be plausible in the same format.
_MOST = 0.9
_MOST_WRONG = 0.5
# Bounds of dates as yymmdd: from 2010 on, and of the last century.
_FIRST_SHORT, _LAST_SHORT, _CENTURY = 100_101, 991_231, 700_000
_SERIAL_EPOCH = 25_569.0  # 1970-01-01 in days of a spreadsheet
# Milliseconds and smaller units must be in 1990 or later: earlier ones may be dates.
_FIRST_PARTS = 6.3e8
POSITION = "position"


def without_row_numbers(times: Floats) -> Floats:
    """Return times without the fractions of rows that have no time; see `UNDATED_SPAN`."""
    whole = np.floor(times)
    undated = (times < FIRST_CLOCK_TIME) & (times - whole < UNDATED_SPAN)
    return np.where(undated, whole, times)


class Clock(NamedTuple):
    """A format in which numbers can be times.

    Attributes
    ----------
    name : str
        Value of the option `time_format`.
    what : str
        Description for messages.
    first, last : float
        Smallest and largest plausible number.
    seconds : callable
        Converts numbers within the bounds to Unix seconds; NaN for a number that is not a time.
    """

    name: str
    what: str
    first: float
    last: float
    seconds: Callable[[Floats], Floats]

    def share(self, numbers: Floats) -> float:
        """Return the share of numbers within the bounds; 0 if most of these are not times."""
        within = (numbers >= self.first) & (numbers <= self.last)
        share = float(within.mean())
        if share >= _MOST and np.isnan(self.seconds(numbers[within])).mean() > _MOST_WRONG:
            return 0.0
        return share

    def read(self, numbers: Floats) -> Floats:
        """Convert numbers to Unix seconds; NaN if one is out of bounds or not a time."""
        within = (numbers >= self.first) & (numbers <= self.last)
        seconds = np.full(len(numbers), np.nan)
        seconds[within] = self.seconds(numbers[within])
        # Seconds out of bounds are kept: `clean` drops them and reports a more specific reason.
        beyond = (numbers < 0) | ((numbers > self.last) & (self.name == "s"))
        seconds[beyond] = numbers[beyond]
        return seconds


def _scaled(unit: float) -> Callable[[Floats], Floats]:
    return lambda numbers: numbers / unit


def _calendar(form: str) -> Callable[[Floats], Floats]:
    """Return a function that reads whole numbers whose digits are a date."""

    def read(numbers: Floats) -> Floats:
        seconds = np.full(len(numbers), np.nan)
        whole = numbers == np.floor(numbers)
        distinct, places = np.unique(numbers[whole].astype(np.int64), return_inverse=True)
        texts = pa.array(distinct).cast(pa.string())
        dates = pc.strptime(texts, format=form, unit="s", error_is_null=True)
        seconds[whole] = (
            dates.cast(pa.int64()).cast(pa.float64()).to_numpy(zero_copy_only=False)[places]
        )
        return seconds

    return read


def _are_short_dates(numbers: Floats) -> bool:
    """Return whether all numbers could be dates as yymmdd, and are not consecutive positions."""
    short = (numbers >= _FIRST_SHORT) & (numbers <= _LAST_SHORT) & (numbers == np.floor(numbers))
    if not short.all():
        return False
    dates = _calendar("%Y%m%d")(np.where(numbers < _CENTURY, 20_000_000, 19_000_000) + numbers)
    return bool(np.isfinite(dates).all())


def _years(numbers: Floats) -> Floats:
    return _calendar("%Y%m%d")(numbers * 10_000 + 101)


def _months(numbers: Floats) -> Floats:
    return _calendar("%Y%m%d")(numbers * 100 + 1)


def _serials(numbers: Floats) -> Floats:
    # Rounded to milliseconds, since the decimal fraction of a day is not exact.
    return np.round((numbers - _SERIAL_EPOCH) * DAY, 3)


def clocks() -> tuple[Clock, ...]:
    """Return all formats; no number is plausible in two of them."""
    now = time.time() + DAY
    last = 4.2e9  # in 2103
    return (
        Clock("s", "Unix seconds", FIRST_CLOCK_TIME, last, _scaled(1.0)),
        Clock("ms", "Unix milliseconds", _FIRST_PARTS * 1e3, last * 1e3, _scaled(1e3)),
        Clock("us", "Unix microseconds", _FIRST_PARTS * 1e6, last * 1e6, _scaled(1e6)),
        Clock("ns", "Unix nanoseconds", _FIRST_PARTS * 1e9, last * 1e9, _scaled(1e9)),
        Clock("yyyymmdd", "dates as yyyymmdd", 19_900_101, 20_991_231, _calendar("%Y%m%d")),
        Clock(
            "yyyymmddhhmm",
            "times as yyyymmddhhmm",
            199_001_010_000,
            209_912_312_359,
            _calendar("%Y%m%d%H%M"),
        ),
        Clock(
            "yyyymmddhhmmss",
            "times as yyyymmddhhmmss",
            19_900_101_000_000,
            20_991_231_235_959,
            _calendar("%Y%m%d%H%M%S"),
        ),
        Clock("yyyymm", "months as yyyymm", 199_001, 209_912, _months),
        Clock("serial", "spreadsheet dates", 32_874, now / DAY + _SERIAL_EPOCH, _serials),
        Clock("year", "years", 1990, time.gmtime(now).tm_year, _years),
    )


NAMES = (*(clock.name for clock in clocks()), POSITION)


def read_clock(numbers: Floats, field: str, name: str | None = None) -> tuple[Floats, str]:
    """Convert numbers to Unix seconds; return these and a description of the format.

    The format is determined from the whole column: it is the one in which 90 % of the numbers are
    plausible, and other numbers become NaN. If there is no such format and all numbers are below
    1e8, they are positions, which only order the events.

    Parameters
    ----------
    numbers : float64 [n]
        NaN if a number is missing or invalid.
    field : str
        Name of the column, for messages.
    name : str or None
        Format to use, one of `NAMES`; None to determine it.

    Raises
    ------
    InvalidInput
        No format is plausible for enough of the numbers.
    """
    if name == POSITION:
        return numbers, "positions"
    found = {clock.name: clock for clock in clocks()}
    if name is not None:
        return found[name].read(numbers), found[name].what
    if found["s"].first <= numbers.min(initial=np.inf) and numbers.max() <= found["s"].last:
        return numbers, found["s"].what
    given = numbers[np.isfinite(numbers) & (numbers > 0)]
    if not len(given):
        return numbers, "positions"
    shares = {clock.name: clock.share(given) for clock in found.values()}
    best = max(shares, key=lambda each: shares[each])
    if shares[best] >= _MOST:
        return found[best].read(numbers), found[best].what
    if given.max() < FIRST_CLOCK_TIME and not _are_short_dates(given):
        return numbers, "positions"
    plausible = [f"{found[each].what} ({each!r})" for each, share in shares.items() if share > 0]
    some = f": some could be {', others '.join(plausible)}" if plausible else ""
    raise InvalidInput(
        f"{field} contains numbers from {given.min():.15g} to {given.max():.15g}, which do not fit "
        f"a single time format{some}; pass time_format=..., one of {', '.join(NAMES)}, or a "
        "pattern such as '%y%m%d'",
        field=field,
    )
