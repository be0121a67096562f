"""Statistics about all users that are released with differential privacy."""

from typing import Annotated

from msgspec import Meta, Struct

from nearline.errors import InvalidInput
from nearline.schema.item_options import DEFAULT_K, LENGTHS
from nearline.schema.rules import check_k

ITEMS, CATEGORIES, USERS = "items", "categories", "users"
STATISTICS = (ITEMS, CATEGORIES, USERS)
LEAST_EPSILON, MOST_EPSILON = 0.0001, 20.0
MOST_PER_USER = 1_000

_Of = Annotated[
    str,
    Meta(
        description="What is counted: users of each item or category, or all users.",
        extra_json_schema={"enum": list(STATISTICS)},
    ),
]
_Epsilon = Annotated[
    float,
    Meta(
        description="Part of the privacy budget to spend; less gives more noise.",
        extra_json_schema={"minimum": LEAST_EPSILON, "maximum": MOST_EPSILON},
    ),
]
_PerUser = Annotated[
    int,
    Meta(
        description="Items or categories for which a user counts at most, the newest ones.",
        extra_json_schema={"minimum": 1, "maximum": MOST_PER_USER},
    ),
]
_Length = Annotated[
    int, Meta(description="Number of names with the largest counts.", extra_json_schema=LENGTHS)
]


class StatisticsRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request to release statistics.

    Attributes
    ----------
    of : str
        What is counted: users of each of the "items" or "categories" of the catalogue, or all
        "users" with a history.
    epsilon : float
        Part of the privacy budget to spend, 0.0001 to 20. Less gives more noise.
    per_user : int
        Items or categories for which a user counts at most, the newest ones; 1 to 1,000. More give
        more noise.
    k : int
        Number of names with the largest counts to return, 1 to 1000.
    """

    of: _Of
    epsilon: _Epsilon
    per_user: _PerUser = 10
    k: _Length = DEFAULT_K


class NoisyCount(Struct, frozen=True, kw_only=True):
    """A count with noise.

    Attributes
    ----------
    name : str
        ID of an item, a category, or "users".
    users : int
        Number of users with noise; negative ones are shown as 0.
    """

    name: str
    users: int


class Statistics(Struct, frozen=True, kw_only=True):
    """Released statistics.

    Attributes
    ----------
    of : str
    epsilon : float
    per_user : int
    noise : float
        Mean size of the noise of a count.
    left : float
        What is left of the privacy budget.
    counts : list of NoisyCount
        The largest first.
    """

    of: str
    epsilon: float
    per_user: int
    noise: float
    left: float
    counts: list[NoisyCount]


def check_statistics(request: StatisticsRequest) -> None:
    """Validate a request; raise `InvalidInput`."""
    if request.of not in STATISTICS:
        raise InvalidInput(
            f"of is {request.of!r}; it must be one of {', '.join(STATISTICS)}", field="of"
        )
    numbers: tuple[tuple[str, float, float, float], ...] = (
        ("epsilon", request.epsilon, LEAST_EPSILON, MOST_EPSILON),
        ("per_user", request.per_user, 1, MOST_PER_USER),
    )
    for name, value, least, most in numbers:
        wanted = (int, float) if name == "epsilon" else (int,)
        if isinstance(value, bool) or not isinstance(value, wanted) or not least <= value <= most:
            raise InvalidInput(
                f"{name} is {value!r}; it must be between {least:g} and {most:g}", field=name
            )
    check_k(request.k)
