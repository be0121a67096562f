"""Which clock a column of numbers shows: Unix time in four units, dates, years or positions."""

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
# Share of the numbers of a column that must be plausible in the same reading.
_MOST = 0.9
_MOST_WRONG = 0.5
# Dates as yymmdd, from 2010 on and of the last century.
_FIRST_SHORT, _LAST_SHORT, _CENTURY = 100_101, 991_231, 700_000
_SERIAL_EPOCH = 25_569.0  # 1970-01-01 in days of a spreadsheet
# Parts of a second are counted from 1990 on: earlier ones may be dates.
_FIRST_PARTS = 6.3e8
POSITION = "position"


class Clock(NamedTuple):
    """One way to read numbers as times.

    Attributes
    ----------
    name : str
        As the option `time_format` takes it.
    what : str
        The same for people.
    first, last : float
        Bounds of what is plausible.
    seconds : callable
        Numbers within the bounds to Unix seconds; NaN where a number is no time.
    """

    name: str
    what: str
    first: float
    last: float
    seconds: Callable[[Floats], Floats]

    def share(self, numbers: Floats) -> float:
        """Share of the numbers within the bounds; 0 where most of those are no dates."""
        within = (numbers >= self.first) & (numbers <= self.last)
        share = float(within.mean())
        if share >= _MOST and np.isnan(self.seconds(numbers[within])).mean() > _MOST_WRONG:
            return 0.0
        return share

    def read(self, numbers: Floats) -> Floats:
        """Unix seconds; NaN outside the bounds and where a number is no date."""
        within = (numbers >= self.first) & (numbers <= self.last)
        seconds = np.full(len(numbers), np.nan)
        seconds[within] = self.seconds(numbers[within])
        # Seconds that are before or after all of it are dropped with a reason of their own.
        beyond = (numbers < 0) | ((numbers > self.last) & (self.name == "s"))
        seconds[beyond] = numbers[beyond]
        return seconds


def _scaled(unit: float) -> Callable[[Floats], Floats]:
    return lambda numbers: numbers / unit


def _calendar(form: str) -> Callable[[Floats], Floats]:
    """Read whole numbers whose digits are a date."""

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
    """Whether all numbers could be dates as yymmdd; positions next to each other are not."""
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
    # To the millisecond: a day's fraction in decimal is not exact.
    return np.round((numbers - _SERIAL_EPOCH) * DAY, 3)


def clocks() -> tuple[Clock, ...]:
    """Return all readings; no number is plausible in two of them."""
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
    """Read numbers as times: Unix seconds, and how they were read.

    The column is looked at as a whole: the reading in which nine numbers of ten are plausible
    holds for all, and the others become NaN. Numbers that are all below 1e8 and in no such
    reading are positions, which give the order alone.

    Parameters
    ----------
    numbers : float64 [n]
        NaN where missing or no number.
    field : str
        Name of the column, for messages.
    name : str or None
        One of `NAMES`: read them so.

    Raises
    ------
    InvalidInput
        Several readings are plausible for a part of the numbers each.
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
        f"{field} holds numbers from {given.min():.15g} to {given.max():.15g}, which are no times "
        f"of one kind{some}; say how they are written with time_format=..., one "
        f"of {', '.join(NAMES)}, or a pattern such as '%y%m%d'",
        field=field,
    )
