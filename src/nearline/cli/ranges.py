"""Number options whose errors always name the range."""

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


def _with_range(message: str, kind: Any) -> str:
    if "range " in message:  # for a number out of range, click's message contains the range
        return message
    low = "" if kind.min is None else f"{kind.min}{'<' if kind.min_open else '<='}"
    high = "" if kind.max is None else f"{'<' if kind.max_open else '<='}{kind.max}"
    noun = "an integer" if isinstance(kind, click.IntRange) else "a number"
    value = message.partition(" is not ")[0]
    described = f"x>={kind.min}" if kind.max is None and not kind.min_open else f"{low}x{high}"
    return f"{value} is not {noun} in the range {described}."
