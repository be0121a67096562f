"""Requests for lists of recommendations: the single definition of all request fields.

Query parameters, request bodies, their OpenAPI documentation and the CLI options are derived from
these structs.
"""

from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, TypeVar

from msgspec import Meta, Struct

from nearline.errors import InvalidInput
from nearline.schema.arguments import as_list, flag, plain
from nearline.schema.fields import Shape, request_fields, split_at_commas
from nearline.schema.records import Scalar
from nearline.schema.rules import (
    MAX_K,
    check_context,
    check_id,
    check_k,
    check_number,
    check_preferences,
    check_repeats,
    check_text,
)

DEFAULT_K = 10

O = TypeVar("O", bound=Struct)  # noqa: E741 (a type variable)

# Largest number of fields of the catalogue that an answer can contain.
MAX_FIELDS = 100
# Bounds for Litestar's OpenAPI document. `check_k` enforces them, not msgspec.
_LENGTHS = {"extra": {"minimum": 1, "maximum": MAX_K}}


class BoostOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options that determine scores.

    Attributes
    ----------
    boost : str or None
        Expression that gives the factor by which the score of an item is multiplied; see
        `nearline.expressions`.
    context : dict or None
        Context of the request, such as device, country or hour, with the names that events use.
        Expressions read it as ``context.NAME``. In recommendations, items that are popular in this
        context follow the personal ones.
    """

    boost: Annotated[
        str | None,
        Meta(
            description="Expression that gives a factor for the score of each item, from 0.",
            examples=['brand == "own" ? 1.5 : 1.0'],
        ),
    ] = None
    context: Annotated[
        dict[str, Scalar] | None,
        Meta(
            description="Context of the request, as in events: the list is filled with what is "
            "popular in it, and expressions know it as context.NAME.",
            examples=[{"country": "FR"}],
        ),
    ] = None


class ExplainOptions(BoostOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of an explanation; with `words`, it contains a sentence."""

    words: Annotated[bool, Meta(description="Also describe the largest parts in a sentence.")] = (
        False
    )


class ItemOptions(BoostOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options that all requests for lists of items have in common.

    Those of `BoostOptions`, and the following.

    Attributes
    ----------
    filter : str or None
        Expression that must be true for an item of the list; see `nearline.expressions`.
    min_score : float or None
        Leave out items with a lower score (after the boost). The list can then be shorter.
    fields : tuple of str
        Fields and attributes of the catalogue that each item of the answer shows.
    """

    filter: Annotated[
        str | None,
        Meta(
            description="Expression over the attributes of an item: list only items for which it "
            "is true.",
            examples=['price < 20 && "tea" in categories'],
        ),
    ] = None
    min_score: Annotated[
        float | None,
        Meta(
            description="Leave out items with a lower score, after the boost; the list may get "
            "shorter than k."
        ),
    ] = None
    fields: Annotated[
        tuple[str, ...],
        Meta(
            description="Fields and attributes of the catalogue to show with each item, with "
            "commas between them.",
            examples=["title,price"],
            extra={"comma": True},
        ),
    ] = ()


class SimilarOptions(ItemOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a request for similar items.

    Those of `ItemOptions`, and the following.

    Attributes
    ----------
    k : int
        Length of the list, 1 to 1000.
    relation : str or None
        One of `nearline.schema.questions.RELATIONS`: the only relation by which items may be
        similar. None for all.
    user : str or None
        User for whom the most similar items are ordered.
    """

    k: Annotated[int, Meta(description="Length of the list.", extra_json_schema=_LENGTHS)] = (
        DEFAULT_K
    )
    relation: Annotated[
        str | None,
        Meta(
            description="Only by this relation: bought_together (items of the same users), "
            "viewed_next (items that follow) or content (texts and vectors).",
            examples=["bought_together"],
        ),
    ] = None
    user: Annotated[
        str | None,
        Meta(description="User for whom the items are ordered: what the user prefers moves up."),
    ] = None


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
    scenario : str or None
        Name of a stored scenario, whose options hold where the request does not set its own.
    """

    k: Annotated[
        int | None,
        Meta(
            description="Length of the list; by default that of the scenario, or else 10.",
            extra_json_schema=_LENGTHS,
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
    scenario: Annotated[
        str | None,
        Meta(
            description="Scenario whose options hold where the request does not set its own.",
            examples=["home"],
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


_MAY_BE_NONE = (
    *("k", "exclude_seen", "repeats", "category", "context", "preferences", "scenario"),
    *("user_id", "history", "filter", "boost", "min_score"),
    *("user", "relation", "cursor"),
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
    "words": flag,
}


def narrowed(options: Struct, kind: type[O]) -> O:
    """Convert `options` to the class `kind`, which has a subset of the fields of its class."""
    return kind(**{name: getattr(options, name) for name in kind.__struct_fields__})


def check_boost_options(options: BoostOptions) -> None:
    """Check the boost, except for its syntax, and the context of a request.

    Raises
    ------
    InvalidInput
        A field is invalid; the error names it.
    """
    check_expression(options.boost, "boost")
    if options.context is not None:
        check_context(options.context)


def check_item_options(options: ItemOptions) -> None:
    """Check the fields of `ItemOptions`, except for the syntax of expressions.

    Raises
    ------
    InvalidInput
        A field is invalid; the error names it.
    """
    check_boost_options(options)
    check_expression(options.filter, "filter")
    if options.min_score is not None:
        check_number(options.min_score, "min_score")
    if len(options.fields) > MAX_FIELDS:
        raise InvalidInput(
            f"fields has {len(options.fields):,} entries; at most {MAX_FIELDS} are allowed",
            field="fields",
        )
    for name in options.fields:
        check_id(name, "fields")


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


def check_expression(text: object, field: str) -> None:
    """Raise `InvalidInput` unless an expression is None or a text; its syntax is not checked."""
    if text is not None and not isinstance(text, str):
        raise InvalidInput(
            f"{field} is {text!r:.50}; it must be an expression, such as 'price < 20'", field=field
        )


def check_category(category: object) -> None:
    """Raise `InvalidInput` unless a category is a text."""
    if not isinstance(category, str):
        raise InvalidInput(f"category is {category!r:.50}; it must be a string", field="category")
    check_text(category, "category")
