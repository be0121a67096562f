"""Requests for lists of recommendations: the single definition of all request fields.

Query parameters, request bodies, their OpenAPI documentation and the CLI options are derived from
these structs.
"""

from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, TypeVar

from msgspec import Meta, Struct

from nearline.errors import InvalidInput
from nearline.schema.arguments import as_list, flag, plain, text
from nearline.schema.exploration import check_explore
from nearline.schema.fields import Shape, request_fields, split_at_commas
from nearline.schema.item_options import (
    LENGTHS,
    Diversity,
    DiversityMethod,
    ItemOptions,
    MaxPer,
    Profiling,
    check_item_options,
)
from nearline.schema.list_rules import check_diversity, check_max_shown, check_share
from nearline.schema.rules import (
    check_id,
    check_k,
    check_preferences,
    check_repeats,
    check_text,
)

O = TypeVar("O", bound=Struct)  # noqa: E741 (a type variable)


class ListOptions(ItemOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options that requests for one user and for many users have in common.

    Those of `ItemOptions`, and the following.

    Attributes
    ----------
    k : int or None
        Length of the list, 1 to 1000; None for that of the scenario, or else 10.
    exclude_seen : bool or None
        Leave out items of the user's history; None means True. Disliked items are always left out.
    repeats : str or None
        Whether items of the user's history may appear: "exclude", "include", or "auto" for what
        training found to be the truth. None: as `exclude_seen` says and, if that is true, as the
        configuration of the recommender says. A value takes precedence over `exclude_seen`.
    category : str or None
        List only items of this category; None or an empty string means all items.
    exclude : tuple of str
        IDs of items to leave out.
    preferences : str or None
        Text that describes what the user likes. Items with similar text follow the personal
        recommendations.
    diversity : float or None
        How much the personal part of the list avoids items that are similar to each other, 0 (off)
        to 1.
    diversity_method : str or None
        "mmr" or "dpp"; None means "mmr". See `nearline.kernels.diversity`.
    calibration : float or None
        How much the personal part follows the mix of categories in the history, 0 (off) to 1.
    max_per : dict or None
        Maximum number of items in the list with the same value of an attribute, or with the same
        category, by the name of the attribute or "categories". The list is only shorter than `k` if
        no other items are left.
    max_shown : dict or None
        ``times`` and ``days``: leave out items that the user was shown so often in the last days,
        7 by default, at most 30.
    rotation : float or None
        How much the personal part avoids items that the user was shown lately, 0 (off) to 1.
    profiling : bool or None
        False makes the list that a stranger would get: neither what is stored about the user nor
        the history in the request is used. None and True mean as the user consented.
    explore : dict or None
        How places of the personal part are drawn instead of ranked; see
        `nearline.schema.exploration.Explore`. Not together with diversity, calibration, caps and
        rotation.
    """

    k: Annotated[
        int | None,
        Meta(
            description="Length of the list; by default that of the scenario, or else 10.",
            extra_json_schema=LENGTHS,
        ),
    ] = None
    exclude_seen: Annotated[
        bool | None,
        Meta(
            description="Leave out items of the user's history, which is the default; disliked "
            "items never appear.",
            extra={"opposite": "include_seen"},
        ),
    ] = None
    repeats: Annotated[
        str | None,
        Meta(
            description="Items of the user's history: exclude, include, or auto, as training found "
            "to be better; takes precedence over exclude_seen.",
            examples=["auto"],
        ),
    ] = None
    category: Annotated[
        str | None, Meta(description="List only items of this category; empty means all.")
    ] = None
    exclude: Annotated[tuple[str, ...], Meta(description="ID of an item to leave out.")] = ()
    preferences: Annotated[
        str | None,
        Meta(
            description="Text that describes what the user likes: similar items follow the "
            "personal recommendations.",
            examples=["green tea"],
        ),
    ] = None
    diversity: Diversity = None
    diversity_method: DiversityMethod = None
    calibration: Annotated[
        float | None,
        Meta(
            description="How much the list follows the mix of categories in the history, from 0 "
            "(off) to 1.",
            extra_json_schema={"extra": {"minimum": 0, "maximum": 1}},
        ),
    ] = None
    max_per: MaxPer = None
    max_shown: Annotated[
        dict[str, float] | None,
        Meta(
            description="Leave out items that the user was shown so many times in so many days "
            "(7 by default, at most 30).",
            examples=[{"times": 3, "days": 7}],
        ),
    ] = None
    rotation: Annotated[
        float | None,
        Meta(
            description="How much the list avoids items that the user was shown lately, from 0 "
            "(off) to 1.",
            extra_json_schema={"extra": {"minimum": 0, "maximum": 1}},
        ),
    ] = None
    profiling: Profiling = None
    explore: Annotated[
        dict[str, str | float] | None,
        Meta(
            description="Draw places of the list instead of ranking: method (epsilon, softmax, "
            "thompson or lints), rate, temperature, keep_top, candidates, new, new_days, window.",
            examples=[{"method": "epsilon", "rate": 0.1}],
        ),
    ] = None


class RecommendationRequest(ListOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request for one list.

    Attributes
    ----------
    user_id : str or None
        User to recommend to; None for a session without an account.
    history : tuple of str or None
        Item IDs, oldest first, to use instead of the user's stored history.
    explain : bool
        Add the largest parts of each score to the answer.
    rerank : bool
        Let the configured language model reorder the top of the list.
    track : bool or None
        Keep the list in the served log, so that reports know what it led to; None means False.
    cursor : str or None
        Value of `next` in the answer with the previous page of this list: the list continues
        without the items that were on earlier pages. All other fields, except `k`, `explain` and
        `rerank`, must be as for that page.
    """

    user_id: Annotated[str | None, Meta(description="User to recommend to.")] = None
    history: Annotated[
        tuple[str, ...] | None,
        Meta(description="Item IDs, oldest first, to use instead of the stored history."),
    ] = None
    explain: Annotated[
        bool, Meta(description="Add the largest parts of each score to the answer.")
    ] = False
    rerank: Annotated[
        bool, Meta(description="Let the language model reorder the top of the list.")
    ] = False
    track: Annotated[
        bool | None,
        Meta(description="Keep the list in the served log, which reports are made from."),
    ] = None
    cursor: Annotated[
        str | None,
        Meta(
            description="The value of `next` in the previous page of this list: continue it, "
            "without any item of earlier pages."
        ),
    ] = None


# Computed on import, because msgspec must not inspect a struct in two threads concurrently.
_LISTS = [
    field.name for field in request_fields(RecommendationRequest) if field.shape is Shape.LIST
]


def make_options(kind: type[O], **fields: Any) -> O:
    """Create a request of class `kind` from keyword arguments.

    Fields that are lists of IDs accept any iterable except a string; it is converted to a tuple.

    Raises
    ------
    TypeError
        A name is not a field of `kind`.
    InvalidInput
        A value has another type than its field.
    """
    if not fields.keys() <= _names_of(kind):
        unknown = sorted(fields.keys() - _names_of(kind))
        raise TypeError(
            f"{', '.join(unknown)}: there is no such option; allowed are "
            f"{', '.join(sorted(kind.__struct_fields__))}"
        )
    for name, given in fields.items():
        if given is not None or name not in _MAY_BE_NONE:
            fields[name] = _CONVERSIONS.get(name, _as_it_is)(given, name)
    return kind(**fields)


@cache
def _names_of(kind: type[Struct]) -> frozenset[str]:
    return frozenset(kind.__struct_fields__)


def _as_it_is(value: object, _: str) -> object:
    return plain(value)


def _ids(value: object, field: str) -> tuple[str, ...]:
    return tuple(as_list(value, field, "item ids"))


def _field_names(value: object, field: str) -> tuple[str, ...]:
    if isinstance(value, str):
        return split_at_commas([value])
    return tuple(as_list(value, field, "names"))


_MAY_BE_NONE = frozenset(
    {
        *("k", "exclude_seen", "repeats", "category", "context", "preferences", "scenario"),
        *("user_id", "history", "cursor", "filter", "boost", "min_score"),
        *("diversity", "diversity_method", "calibration", "max_per"),
        *("max_shown", "rotation", "profiling", "explore"),
        *("user", "relation", "track"),
    }
)
# How a keyword argument of a Python call becomes a field; others are checked by `check_options`.
_CONVERSIONS: dict[str, Callable[[Any, str], Any]] = {
    "k": check_k,
    "fields": _field_names,
    "exclude": _ids,
    "history": _ids,
    "exclude_seen": flag,
    "explain": flag,
    "rerank": flag,
    "track": flag,
    "words": flag,
    "profiling": flag,
    "cursor": text,
    "diversity": check_share,
    "calibration": check_share,
    "rotation": check_share,
    "explore": lambda value, _: check_explore(value),
    "max_shown": lambda value, _: check_max_shown(plain(value)),
}


def narrowed(options: Struct, kind: type[O]) -> O:
    """Convert `options` to the class `kind`, which has a subset of the fields of its class."""
    return kind(**{name: getattr(options, name) for name in kind.__struct_fields__})


def check_options(options: ListOptions) -> None:
    """Check all fields of a request except lists of IDs and the syntax of expressions.

    Raises
    ------
    InvalidInput
        A field is invalid; the error names it.
    """
    if options.k is not None:
        check_k(options.k)
    check_item_options(options)
    if options.repeats is not None:
        check_repeats(options.repeats)
    if options.category is not None:
        check_category(options.category)
    if options.preferences is not None:
        check_preferences(options.preferences)
    if options.scenario is not None:
        check_id(options.scenario, "scenario")
    if options.profiling is not None:
        flag(options.profiling, "profiling")
    check_shape(options)


def check_shape(options: ListOptions) -> None:
    """Check the fields that choose from the candidates: diversity, calibration and caps."""
    check_diversity(options.diversity, options.diversity_method, options.max_per)
    for field in ("calibration", "rotation"):
        share = getattr(options, field)
        if share is not None:
            check_share(share, field)
    if options.max_shown is not None:
        check_max_shown(options.max_shown)
    if options.explore is not None:
        check_explore(options.explore)
        others = ("diversity", "calibration", "max_per", "rotation")
        both = next((name for name in others if getattr(options, name)), None)
        if both is not None:
            raise InvalidInput(
                f"explore and {both} cannot be combined, because the probabilities of the draws "
                "would then not be known; omit one of them",
                field="explore",
            )


def check_category(category: object) -> None:
    """Raise `InvalidInput` unless a category is a text."""
    if not isinstance(category, str):
        raise InvalidInput(f"category is {category!r:.50}; it must be a string", field="category")
    check_text(category, "category")
