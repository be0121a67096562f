"""Settings of the score of users who return: what is popular lately, and repeats."""

from msgspec import Struct

from nearline.errors import InvalidInput
from nearline.models.settings import require

MAX_WEIGHT = 1e9
MAX_POWER = 100.0


class Lately(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of what is popular lately, in the score of users who return after a while.

    Attributes
    ----------
    half_lives : tuple of float
        Half-lives, in days, of the counts of recent events.
    weights : tuple of float
        Weight of the share of an item in the recent events, for each half-life. 1 gives all these
        shares together the same sum as the user's own score. 0 disables the term.
    rising : float
        Exponent of the factor of an item for all relations: its share of the recent events divided
        by its share of all events. 0 disables the factor.
    rising_half_life : float
        The half-life for this factor, one of `half_lives`.
    patience : float
        Factor of the half-lives of all relations for a returning user, who continues no session.
    after : float
        Seconds between the latest event of a user and the newest event of all after which the user
        is returning. The score of other users has only the relations.
    """

    half_lives: tuple[float, ...] = (1.0, 3.0, 7.0, 30.0)
    weights: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    rising: float = 0.0
    rising_half_life: float = 7.0
    patience: float = 1.0
    after: float = 3_600.0

    def __post_init__(self) -> None:
        require(self, "rising", 0, MAX_POWER)
        require(self, "patience", 0.001, 1e6)
        require(self, "after", 0, 1e12)
        if not 1 <= len(self.half_lives) <= 16 or not all(
            0.001 <= h < 1e6 for h in self.half_lives
        ):
            raise InvalidInput(
                "half_lives must have 1 to 16 numbers from 0.001 to a million days",
                field="half_lives",
            )
        if len(self.weights) != len(self.half_lives) or not all(
            0 <= weight <= MAX_WEIGHT for weight in self.weights
        ):
            raise InvalidInput(
                "weights must have one number from 0 to 1e9 for each half-life", field="weights"
            )
        if self.rising_half_life not in self.half_lives:
            raise InvalidInput(
                f"rising_half_life is {self.rising_half_life}; it must be one of half_lives",
                field="rising_half_life",
            )


class Repeats(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the relation of an item with itself, for lists that include seen items.

    Attributes
    ----------
    weight : float
        Weight of the user's own items relative to the user's score from the other relations.
    half_life : float
        As in `Transitions`.
    rising : float
        Exponent of the factor `Lately.rising` for the user's own items.
    lately : float
        Weight of the share of an own item in the recent events, in addition to `Lately.weights`. It
        orders items that the user had equally often.
    lately_half_life : float
        The half-life of these recent events in days, one of `Lately.half_lives`.
    """

    weight: float = 0.0
    half_life: float = 1_000_000.0
    rising: float = 0.0
    lately: float = 0.0
    lately_half_life: float = 3.0

    def __post_init__(self) -> None:
        require(self, "weight", 0, MAX_WEIGHT)
        require(self, "half_life", 0, MAX_WEIGHT, above=True)
        require(self, "lately", 0, MAX_WEIGHT)
        require(self, "rising", 0, MAX_POWER)
