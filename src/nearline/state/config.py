"""Settings of the state: length of histories, event weights and decay of trending counts."""

import math

from msgspec import Struct

from nearline.errors import InvalidInput
from nearline.schema import DAY

STANDARD_WEIGHTS = {
    "view": 1.0,
    "click": 1.0,
    "open": 1.0,
    "play": 1.0,
    "save": 2.0,
    "share": 2.0,
    "like": 2.0,
    "cart": 2.0,
    "purchase": 3.0,
    "skip": -0.5,
    "dislike": -1.0,
    "hide": -1.0,
}
MAX_HISTORY_LENGTH = 100_000
MAX_WEIGHT = 1e6
MIN_HALF_LIFE = 1.0


class StateConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the state.

    Attributes
    ----------
    history_length : int
        Maximum number of events of a user, from 1 to 100,000; the oldest are removed first.
    event_weights : dict of str to float
        Weights by kind of event, which take precedence over `STANDARD_WEIGHTS`. A negative weight
        means that the user does not want the item: the event is part of the history but is not
        counted in the item's popularity.
    default_event_weight : float
        Weight of kinds of events that are in neither table.
    trending_half_life : float
        Seconds after which the weight of an event in trending counts is halved; at least 1.
    """

    history_length: int = 500
    event_weights: dict[str, float] = {}
    default_event_weight: float = 1.0
    trending_half_life: float = 7 * DAY

    def __post_init__(self) -> None:
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

    def weight(self, event: str) -> float:
        """Return the weight of an event of kind `event`."""
        weight = self.event_weights.get(event)
        if weight is None:
            weight = STANDARD_WEIGHTS.get(event, self.default_event_weight)
        return weight


def _check_weight(weight: float, field: str) -> None:
    if not -MAX_WEIGHT <= weight <= MAX_WEIGHT:  # also refuses NaN
        raise InvalidInput(
            f"{field} is {weight}; it must be a number from -1e6 to 1e6", field=field
        )
