"""Arguments of Python calls in the types that the engine works with.

Callers pass what their libraries give: NumPy numbers, pandas columns, Arrow arrays. Each function
returns the plain Python value, or raises `InvalidInput` with the value that was found and what is
allowed.
"""

import sys
from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Any

from msgspec import Struct

from nearline.errors import InvalidInput

# Types of most values, which are returned at once.
_PLAIN = frozenset({str, int, float, bool, type(None)})


def plain(value: object) -> Any:
    """Return `value` with NumPy scalars and arrays inside it turned into Python ones."""
    if type(value) in _PLAIN or isinstance(value, Struct):
        return value
    np = _numpy()
    if np is not None:
        if isinstance(value, np.datetime64):
            return value.astype("datetime64[us]").item()
        if isinstance(value, np.generic | np.ndarray):
            return value.tolist()
    if isinstance(value, Mapping):
        return {plain(name): plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return value


# NumPy's older generators, which some packages use, take seeds of 32 bits.
MAX_SEED = 2**32 - 1


def checked_seed(seed: object) -> int:
    """Return a valid seed of random numbers: a whole number from 0 to `MAX_SEED`."""
    return whole_number(seed, "seed", most=MAX_SEED)


def whole_number(value: object, field: str, *, least: int = 0, most: int | None = None) -> int:
    """Return `value` as an int if it is a whole number in these bounds, of Python or NumPy."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InvalidInput(f"{field} is {_shown(value)}; it must be a whole number", field=field)
    number = int(value)
    if number < least or (most is not None and number > most):
        bounds = f"at least {least}" if most is None else f"{least} to {most}"
        raise InvalidInput(f"{field} is {str(number)[:50]}; it must be {bounds}", field=field)
    return number


def flag(value: object, field: str) -> bool:
    """Return `value` as a bool if it is true or false, of Python or NumPy."""
    np = _numpy()
    if not isinstance(value, bool) and (np is None or not isinstance(value, np.bool_)):
        raise InvalidInput(f"{field} is {_shown(value)}; it must be True or False", field=field)
    return bool(value)


def text(value: object, field: str) -> str:
    """Return `value` if it is a text."""
    if not isinstance(value, str):
        raise InvalidInput(f"{field} is {_shown(value)}; it must be a text", field=field)
    return str(value)


def as_list(value: object, field: str, of: str = "ids") -> list[Any]:
    """Return the entries of a list, a tuple, a generator or a column of any library.

    A text is refused, since its characters would pass for entries, and so is a whole table.
    """
    what = f"it must be a list of {of}"
    if type(value) is list:  # nearly always
        return [plain(entry) for entry in value]
    if isinstance(value, str | bytes):
        raise InvalidInput(f"{field} is a text; {what}: [{_shown(value)}]", field=field)
    if isinstance(value, Mapping) or hasattr(value, "columns"):
        raise InvalidInput(
            f"{field} is a {type(value).__name__}; {what}, such as one column of it", field=field
        )
    for name in ("to_pylist", "tolist", "to_list"):  # Arrow; NumPy and pandas; polars
        convert = getattr(value, name, None)
        if convert is not None:
            value = convert()
            break
    if not isinstance(value, Iterable):
        raise InvalidInput(f"{field} is {_shown(value)}; {what}", field=field)
    return [plain(entry) for entry in value]


def mapping(value: object, field: str, example: str) -> dict[Any, Any]:
    """Return a mapping as a dict; `example` shows what one looks like."""
    if not isinstance(value, Mapping):
        raise InvalidInput(
            f"{field} is {_shown(value)}; it must be a mapping, such as {example}", field=field
        )
    return dict(value)


def _shown(value: object) -> str:
    return f"{value!r:.50}"


def _numpy() -> Any:
    """Return NumPy if it is loaded; otherwise no value has its types, and importing it is slow."""
    return sys.modules.get("numpy")
