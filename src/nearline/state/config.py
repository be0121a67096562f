"""Settings of the state: length of histories, event weights and decay of trending counts."""

import math
from numbers import Real

from msgspec import Struct

from nearline.errors import InvalidInput
from nearline.kernels import counted_events
from nearline.schema import DAY
from nearline.state.kinds import STANDARD_WEIGHTS, folded, standard_kind

MAX_HISTORY_LENGTH = 100_000
MAX_WEIGHT = 1e6
MIN_HALF_LIFE = 1.0
MAX_TOTAL = 1e9
MAX_AGE = 3_650 * DAY
MAX_EVENTS_PER_ITEM = counted_events.LIMITS.repeats


class StateConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the state.

    Attributes
    ----------
    history_length : int
        Maximum number of events of a user, from 1 to 100,000; the oldest are removed first.
    event_weights : dict of str to float
        Weights by kind of event, overriding `STANDARD_WEIGHTS`. Case, spaces, hyphens and
        underscores are ignored, and common names of a standard kind mean that kind (`Add to cart`
        is `cart`), unless they have a weight here themselves. A negative weight means that the user
        does not want the item: the event is part of the history but does not count towards
        popularity.
    default_event_weight : float
        Weight of kinds of events that are in neither table.
    trending_half_life : float
        Seconds after which the weight of an event in trending counts is halved; at least 1.
    max_weight_per_user : float or None
        Maximum sum of the absolute weights of the events of a user that others learn from, in order
        of arrival; None for no limit besides `CountedLimits`.
    max_events_per_item : int or None
        Maximum number of events of a user with the same item that others learn from, from 1 to 5,
        in order of arrival; None for 5.
    min_age : float
        Seconds after the first event of a user from which on others learn from the user's events.
        Earlier ones are part of the user's history only.
    """

    history_length: int = 500
    event_weights: dict[str, float] = {}
    default_event_weight: float = 1.0
    trending_half_life: float = 7 * DAY
    max_weight_per_user: float | None = None
    max_events_per_item: int | None = None
    min_age: float = 0.0

    def __post_init__(self) -> None:
        for name in ("history_length", "trending_half_life", "min_age"):
            _check_number(getattr(self, name), name)
        if self.max_weight_per_user is not None:
            _check_number(self.max_weight_per_user, "max_weight_per_user")
        if not 1 <= self.history_length <= MAX_HISTORY_LENGTH:
            raise InvalidInput(
                f"history_length is {self.history_length}; it must be 1 to {MAX_HISTORY_LENGTH:,}",
                field="history_length",
            )
        for event, weight in self.event_weights.items():
            _check_weight(weight, f"event_weights.{event}")
        _check_weight(self.default_event_weight, "default_event_weight")
        half_life = self.trending_half_life
        if not MIN_HALF_LIFE <= half_life < math.inf:  # also refuses NaN
            raise InvalidInput(
                f"trending_half_life is {half_life}; it must be finite and at least 1 second",
                field="trending_half_life",
            )
        most = self.max_weight_per_user
        if most is not None and not 0 < most <= MAX_TOTAL:  # also refuses NaN
            raise InvalidInput(
                f"max_weight_per_user is {most}; it must be above 0, up to {MAX_TOTAL:.0e}",
                field="max_weight_per_user",
            )
        repeats = self.max_events_per_item
        if repeats is not None and not 1 <= repeats <= MAX_EVENTS_PER_ITEM:
            raise InvalidInput(
                f"max_events_per_item is {repeats}; it must be 1 to {MAX_EVENTS_PER_ITEM}",
                field="max_events_per_item",
            )
        if not 0 <= self.min_age <= MAX_AGE:
            raise InvalidInput(
                f"min_age is {self.min_age}; it must be 0 to {MAX_AGE:.0f} seconds",
                field="min_age",
            )

    @property
    def limits(self) -> counted_events.CountedLimits:
        """Which events count."""
        most = math.inf if self.max_weight_per_user is None else float(self.max_weight_per_user)
        found = counted_events.LIMITS._replace(weight=most, age=float(self.min_age))
        repeats = self.max_events_per_item
        return found if repeats is None else found._replace(repeats=repeats)

    def weight(self, event: str) -> float:
        """Return the weight of an event of kind `event`, however its name is written."""
        weight = self._given(event)
        return self.default_event_weight if weight is None else weight

    def knows(self, event: str) -> bool:
        """Return whether kind `event` has a weight of its own."""
        return self._given(event) is not None

    def _given(self, event: str) -> float | None:
        given = self.event_weights
        if given:
            if event in given:
                return given[event]
            same = folded(event)
            for name, weight in given.items():
                if folded(name) == same:
                    return weight
        standard = standard_kind(event)
        if standard is None:
            return None
        return given.get(standard, STANDARD_WEIGHTS[standard])


def _check_number(value: object, field: str) -> None:
    if not isinstance(value, Real):
        raise InvalidInput(f"{field} is {value!r:.100}; it must be a number", field=field)


def _check_weight(weight: float, field: str) -> None:
    _check_number(weight, field)
    if not -MAX_WEIGHT <= weight <= MAX_WEIGHT:  # also refuses NaN
        raise InvalidInput(
            f"{field} is {weight}; it must be a number from -1e6 to 1e6", field=field
        )
