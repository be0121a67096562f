"""Values that data frame libraries read as one column a field."""

from dataclasses import make_dataclass
from typing import TypeVar

from msgspec import Struct

S = TypeVar("S", bound=type[Struct])


def tabular(cls: S) -> S:
    """Let pandas and polars make a frame with one column a field of a list of these values.

    Both read the fields of a list of data classes. A `msgspec.Struct` isn't one, but has what they
    ask for: names of fields, and attributes with these names. `pprint` asks for the parameters.
    """
    fields = make_dataclass(cls.__name__, [(name, object) for name in cls.__struct_fields__])
    cls.__dataclass_fields__ = fields.__dataclass_fields__  # type: ignore[attr-defined]
    cls.__dataclass_params__ = fields.__dataclass_params__  # type: ignore[attr-defined]
    return cls
