"""Options of exploration: how a list is drawn, and not only ranked."""

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from msgspec import Struct

from nearline.errors import InvalidInput
from nearline.schema.arguments import plain

EPSILON, SOFTMAX, THOMPSON, LINTS = "epsilon", "softmax", "thompson", "lints"
POLICIES = (EPSILON, SOFTMAX, THOMPSON, LINTS)
# Methods that learn from what lists led to.
LEARNING = (THOMPSON, LINTS)


class Explore(Struct, frozen=True, kw_only=True):
    """How the places of a list are drawn.

    Attributes
    ----------
    method : str
        "epsilon": with the probability `rate`, a place has any candidate instead of the best.
        "softmax": candidates are drawn with probabilities proportional to
        ``exp(score / largest score / temperature)``. "thompson": scores are multiplied by samples
        of the items' relative click-through, whose posteriors come from the served log. "lints":
        the weights of the score's relations are samples of the posterior of a linear model of the
        click-through.
    rate : float
        Probability of `epsilon`; for the other methods 0 by default, a floor of all probabilities.
    temperature : float
    keep_top : int
        First places that are not explored.
    candidates : int
        Number of items among which places are drawn, the best ones of the model.
    new : float
        Probability with which a place has an item that is at most `new_days` old.
    new_days : float
    window : int
        Seconds for which the draws of a user stay the same.
    """

    method: str = EPSILON
    rate: float = 0.0
    temperature: float = 0.1
    keep_top: int = 1
    candidates: int = 50
    new: float = 0.0
    new_days: float = 30.0
    window: int = 3_600


# Least and largest value of each number.
_BOUNDS: dict[str, tuple[float, float]] = {
    "rate": (0.0, 1.0),
    "temperature": (1e-3, 100.0),
    "keep_top": (0, 1_000),
    "candidates": (2, 200),
    "new": (0.0, 0.5),
    "new_days": (0.01, 3_650.0),
    "window": (60, 604_800),
}
_WHOLE = ("keep_top", "candidates", "window")
DEFAULT_RATE = 0.1


def check_explore(value: object) -> dict[str, Any]:
    """Return `value` if it describes an exploration; numbers may be written as texts.

    Raises
    ------
    InvalidInput
        A name or a value is invalid.
    """
    value = plain(value)
    if not isinstance(value, Mapping):
        raise InvalidInput(
            f"explore is {value!r:.60}; it must map names to values, such as "
            '{"method": "epsilon", "rate": 0.1}',
            field="explore",
        )
    names = ("method", *_BOUNDS)
    found: dict[str, Any] = {}
    for name, given in value.items():
        if name not in names:
            raise InvalidInput(
                f"explore has {name!r:.60}, which is no option of it; known are {', '.join(names)}",
                field="explore",
            )
        found[name] = given if name == "method" else _number(name, given)
    method = found.setdefault("method", EPSILON)
    if method not in POLICIES:
        raise InvalidInput(
            f"explore['method'] is {method!r:.50}; it must be one of {', '.join(POLICIES)}",
            field="explore",
        )
    if method == LINTS and found.get("keep_top", 1) < 1:
        raise InvalidInput(
            "explore['keep_top'] is 0; with the method lints it must be at least 1, since the "
            "first line sets the scale of the parts that are learned from",
            field="explore",
        )
    if method == EPSILON:
        found.setdefault("rate", DEFAULT_RATE)
    return found


def explore_of(value: Mapping[str, Any]) -> Explore:
    """Return the options of a valid value."""
    return Explore(**check_explore(value))


def _number(name: str, given: object) -> float:
    low, high = _BOUNDS[name]
    number = math.nan
    if isinstance(given, str):  # from a query string or the command line
        with suppress(ValueError):
            number = float(given)
    elif isinstance(given, int | float) and not isinstance(given, bool):
        number = float(given)
    if not low <= number <= high or (name in _WHOLE and number != int(number)):  # refuses NaN
        kind = "a whole number" if name in _WHOLE else "a number"
        raise InvalidInput(
            f"explore[{name!r}] is {given!r:.50}; it must be {kind} from {low:g} to {high:g}",
            field="explore",
        )
    return int(number) if name in _WHOLE else number
