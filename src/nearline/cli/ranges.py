"""Number options whose errors always name the range."""

import re
from typing import Any, NoReturn

import click


class IntRange(click.IntRange):
    """A range of integers."""

    def fail(
        self, message: str, param: click.Parameter | None = None, ctx: click.Context | None = None
    ) -> NoReturn:
        """Raise the error with the range in its message."""
        super().fail(_with_range(message, self), param, ctx)


class FloatRange(click.FloatRange):
    """A range of numbers."""

    def fail(
        self, message: str, param: click.Parameter | None = None, ctx: click.Context | None = None
    ) -> NoReturn:
        """Raise the error with the range in its message."""
        super().fail(_with_range(message, self), param, ctx)


class ByteSize(click.ParamType[int]):
    """A number of bytes, such as ``2GB``, ``512MB`` or ``2000000000``, in a range."""

    name = "size"

    def __init__(self, least: int, most: int) -> None:
        self._least, self._most = least, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number of bytes."""
        found = _SIZE.fullmatch(str(value).strip())
        if found is None:
            self.fail(f"{value} is not a size such as 2GB or 512MB.", param, ctx)
        size = int(float(found[1]) * _UNITS[found[2].upper()])
        if not self._least <= size <= self._most:
            limits = f"{self._least // 1_000_000}MB to {self._most // 1_000_000_000}GB"
            self.fail(f"{value} is not in the range {limits}.", param, ctx)
        return size


class Duration(click.ParamType[float]):
    """A time such as ``90d``, ``12h``, ``30m`` or ``10s``, in seconds."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number of seconds."""
        found = _TIME.fullmatch(str(value).strip())
        if found is None:
            self.fail(f"{value} is not a time such as 90d, 12h, 30m or 10s.", param, ctx)
        return float(found[1]) * _SECONDS[found[2]]


_TIME = re.compile(r"(\d{1,6}(?:\.\d+)?)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*((?:[kmgt]?b)?)", re.IGNORECASE)
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def _with_range(message: str, kind: Any) -> str:
    if "range " in message:  # for a number out of range, click's message contains the range
        return message
    low = "" if kind.min is None else f"{kind.min}{'<' if kind.min_open else '<='}"
    high = "" if kind.max is None else f"{'<' if kind.max_open else '<='}{kind.max}"
    noun = "an integer" if isinstance(kind, click.IntRange) else "a number"
    value = message.partition(" is not ")[0]
    described = f"x>={kind.min}" if kind.max is None and not kind.min_open else f"{low}x{high}"
    return f"{value} is not {noun} in the range {described}."
