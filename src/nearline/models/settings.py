"""Validation of settings, for use in the method `__post_init__` of their classes."""

import math
from numbers import Real
from typing import Any

from msgspec import Struct

from nearline.errors import InvalidInput


def require(config: Struct, field: str, low: float, high: float, *, above: bool = False) -> None:
    """Check that the value of a setting is finite and in a range.

    Every setting has both bounds, so that no request can make a training process use memory or
    time without limit.

    Parameters
    ----------
    config : Struct
        Settings.
    field : str
        Name of the setting.
    low, high : float
        Bounds of the range.
    above : bool
        Whether the value must be greater than `low`; otherwise, it may be equal.

    Raises
    ------
    InvalidInput
        The value is not a number in the range; the message contains the class, the setting and the
        bounds.
    """
    value: Any = getattr(config, field)
    if not _is_number(value):
        raise InvalidInput(
            f"{type(config).__name__}.{field} is {value!r:.100}; it must be a number", field=field
        )
    inside = math.isfinite(value) and value <= high and (value > low if above else value >= low)
    if not inside:
        least = f"above {low:g}" if above else f"at least {low:g}"
        raise InvalidInput(
            f"{type(config).__name__}.{field} is {value}; it must be {least} and at most {high:g}",
            field=field,
        )


def require_each(config: Struct, field: str, low: float, high: float, *, most: int) -> None:
    """Check that a setting has at most `most` values, each finite and from `low` to `high`.

    Raises
    ------
    InvalidInput
        There are more values, or one is not in the range.
    """
    given: Any = getattr(config, field)
    values = list(given.values() if isinstance(given, dict) else given)
    inside = all(_is_number(v) and math.isfinite(v) and low <= v <= high for v in values)
    if len(values) > most or not inside:
        raise InvalidInput(
            f"{type(config).__name__}.{field} is {given!r:.200}; it may have at most {most} "
            f"values, and each must be at least {low:g} and at most {high:g}",
            field=field,
        )


def require_one_of(config: Struct, field: str, allowed: tuple[str, ...]) -> None:
    """Raise InvalidInput if the value of the setting `field` is not one of `allowed`."""
    value = getattr(config, field)
    if value not in allowed:
        raise InvalidInput(
            f"{type(config).__name__}.{field} is {value!r}; it must be one of {', '.join(allowed)}",
            field=field,
        )


def _is_number(value: object) -> bool:
    return isinstance(value, Real)
