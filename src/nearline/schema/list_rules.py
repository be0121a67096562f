"""Rules for the options of a request that choose from the candidates of a list."""

from collections.abc import Mapping
from numbers import Real

from nearline.errors import InvalidInput
from nearline.schema.rules import MAX_K, check_id

METHODS = ("mmr", "dpp")
MAX_CAPS = 10
# Showings and days that a frequency cap can name, and its days if it names none.
MAX_TIMES, MAX_DAYS, DEFAULT_DAYS = 100, 30, 7.0


def check_share(value: object, field: str) -> float:
    """Return `value` if it is a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0.0 <= float(value) <= 1.0:
        raise InvalidInput(
            f"{field} is {value!r:.50}; it must be a number from 0 (off) to 1", field=field
        )
    return float(value)


def check_diversity(strength: object, method: object, caps: object) -> None:
    """Check the fields diversity, diversity_method and max_per of a request; None is valid."""
    if strength is not None:
        check_share(strength, "diversity")
    if method is not None:
        check_method(method)
    if caps is not None:
        check_max_per(caps)


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


def check_max_shown(value: object) -> dict[str, float]:
    """Return `value` if it maps ``times``, and maybe ``days``, to numbers."""
    names = {"times": MAX_TIMES, "days": MAX_DAYS}
    if not isinstance(value, Mapping) or "times" not in value or not set(value) <= set(names):
        raise InvalidInput(
            f"max_shown is {value!r:.60}; it must have times and may have days, such as "
            '{"times": 3, "days": 7}',
            field="max_shown",
        )
    for name, number in value.items():
        whole = name == "times"
        valid = not isinstance(number, bool) and isinstance(number, Real)
        if not valid or not 0 < number <= names[name] or (whole and number != int(number)):
            kind = "a whole number from 1" if whole else "a number above 0 and up"
            raise InvalidInput(
                f"max_shown[{name!r}] is {number!r:.50}; it must be {kind} to {names[name]}",
                field="max_shown",
            )
    return {name: float(number) for name, number in value.items()}
