"""Rules for the options of a request that choose from the candidates of a list."""

from collections.abc import Mapping
from numbers import Real

from nearline.errors import InvalidInput
from nearline.schema.rules import MAX_K, check_id

METHODS = ("mmr", "dpp")
MAX_CAPS = 10


def check_share(value: object, field: str) -> float:
    """Return `value` if it is a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0.0 <= float(value) <= 1.0:
        raise InvalidInput(
            f"{field} is {value!r:.50}; it must be a number from 0 (off) to 1", field=field
        )
    return float(value)


def check_method(value: object) -> None:
    """Raise `InvalidInput` unless `value` is one of `METHODS`."""
    if value not in METHODS:
        raise InvalidInput(
            f"diversity_method is {value!r:.50}; it must be mmr or dpp", field="diversity_method"
        )


def check_max_per(value: object) -> None:
    """Raise `InvalidInput` unless `value` maps names of attributes to numbers of items."""
    if not isinstance(value, Mapping):
        raise InvalidInput(
            f"max_per is {value!r:.50}; it must map names of attributes to numbers, such as "
            '{"brand": 2}',
            field="max_per",
        )
    if len(value) > MAX_CAPS:
        raise InvalidInput(
            f"max_per has {len(value):,} entries; at most {MAX_CAPS} are allowed", field="max_per"
        )
    for name, most in value.items():
        check_id(name, "max_per")
        if isinstance(most, bool) or not isinstance(most, int) or not 1 <= most <= MAX_K:
            raise InvalidInput(
                f"max_per[{name!r:.50}] is {most!r:.50}; it must be a whole number from 1 to "
                f"{MAX_K:,}",
                field="max_per",
            )
