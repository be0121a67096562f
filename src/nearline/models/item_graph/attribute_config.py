"""Settings of what people with the same attributes take."""

from msgspec import Struct

from nearline.data.attributes import MOST_TOKENS, AttributeColumn
from nearline.errors import InvalidInput
from nearline.models.settings import require

MAX_WEIGHT = 1e9
MAX_FIRST = 1_000


class AttributeSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the relation between attributes of users and items; `fit` chooses them.

    Attributes
    ----------
    columns : tuple of AttributeColumn
        Attributes with their labels, and bins of numbers. Without any, the relation is not used.
    weights : tuple of float
        Weight of each column in the score of a user without a history.
    base : float
        Weight of what all users with attributes take.
    first : int
        Number of distinct items, from the beginning of a user's history, that count.
    shrinkage : float
        Number of users whose events are added to those with a token, distributed as those of all
        users are.
    weight : float
        Weight of the relation in the score of users with a history; 0 disables it there.
    """

    columns: tuple[AttributeColumn, ...] = ()
    weights: tuple[float, ...] = ()
    base: float = 0.0
    first: int = 50
    shrinkage: float = 5.0
    weight: float = 0.0

    def __post_init__(self) -> None:
        require(self, "base", 0, MAX_WEIGHT)
        require(self, "first", 1, MAX_FIRST)
        require(self, "shrinkage", 0, MAX_WEIGHT)
        require(self, "weight", 0, MAX_WEIGHT)
        if len(self.weights) != len(self.columns):
            raise InvalidInput(
                f"weights has {len(self.weights)} entries for {len(self.columns)} columns; give "
                "one for each",
                field="weights",
            )
        if not all(0 <= weight <= MAX_WEIGHT for weight in self.weights):
            raise InvalidInput("weights must be numbers from 0 to 1e9", field="weights")
        if sum(len(column.tokens) for column in self.columns) > MOST_TOKENS:
            raise InvalidInput(
                f"columns have more than {MOST_TOKENS} labels and bins together", field="columns"
            )
