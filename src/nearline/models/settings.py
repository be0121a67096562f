"""Validation of settings, for use in the method `__post_init__` of their classes."""

import math
from typing import Any

from msgspec import Struct

from nearline.errors import InvalidInput


def require(
    config: Struct, field: str, low: float, high: float = math.inf, *, above: bool = False
) -> None:
    """Check that the value of a setting is finite and in a range.

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
        The value is not in the range; the message contains the class, the setting and the bounds.
    """
    value: Any = getattr(config, field)
    inside = math.isfinite(value) and value <= high and (value > low if above else value >= low)
    if not inside:
        least = f"above {low:g}" if above else f"at least {low:g}"
        most = f" and at most {high:g}" if math.isfinite(high) else ""
        raise InvalidInput(
            f"{type(config).__name__}.{field} is {value}; it must be {least}{most}", field=field
        )


def require_one_of(config: Struct, field: str, allowed: tuple[str, ...]) -> None:
    """Raise InvalidInput if the value of the setting `field` is not one of `allowed`."""
    value = getattr(config, field)
    if value not in allowed:
        raise InvalidInput(
            f"{type(config).__name__}.{field} is {value!r}; it must be one of {', '.join(allowed)}",
            field=field,
        )
