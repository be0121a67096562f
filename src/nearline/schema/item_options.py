"""Options that all requests for items have: filter, boost, minimum score, fields and context."""

from typing import Annotated

from msgspec import Meta, Struct

from nearline.errors import InvalidInput
from nearline.schema.records import Scalar
from nearline.schema.rules import MAX_K, check_context, check_id, check_number

DEFAULT_K = 10
# Largest number of fields of the catalogue that an answer can contain.
MAX_FIELDS = 100
# Bounds for Litestar's OpenAPI document. `check_k` enforces them, not msgspec.
LENGTHS = {"extra": {"minimum": 1, "maximum": MAX_K}}
# Types of fields that several requests have.
Diversity = Annotated[
    float | None,
    Meta(
        description="How much the list avoids items that are similar to each other, from 0 "
        "(off) to 1.",
        extra_json_schema={"extra": {"minimum": 0, "maximum": 1}},
    ),
]
DiversityMethod = Annotated[
    str | None,
    Meta(description="Method of diversity: mmr (the default) or dpp.", examples=["dpp"]),
]
MaxPer = Annotated[
    dict[str, int] | None,
    Meta(
        description="Maximum number of items with the same value of an attribute, or with the "
        "same category.",
        examples=[{"brand": 2}],
    ),
]

Repeats = Annotated[
    str | None,
    Meta(
        description="Items of the user's history: exclude, include, or auto, as training found "
        "to be better.",
        examples=["auto"],
    ),
]


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


Profiling = Annotated[
    bool | None,
    Meta(
        description="With false, nothing about the user is used, neither stored data nor the "
        "history of the request: the list is that of a stranger. By default as the user consented.",
        extra={"opposite": "no_profiling"},
    ),
]


class ExplainOptions(BoostOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of an explanation; with `words`, it contains a sentence.

    With `profiling` false, the score is that of the item for a stranger.
    """

    words: Annotated[bool, Meta(description="Also describe the largest parts in a sentence.")] = (
        False
    )
    profiling: Profiling = None


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
    scenario : str or None
        Name of a stored scenario, whose options hold where the request does not set its own.
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
    scenario: Annotated[
        str | None,
        Meta(
            description="Scenario whose options hold where the request does not set its own.",
            examples=["home"],
        ),
    ] = None


class RankOptions(ItemOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a request to rank given items.

    Those of `ItemOptions`, and the following.

    Attributes
    ----------
    diversity, diversity_method, max_per
        As in `ListOptions`. Items for which a cap leaves no room are left out.
    repeats : str or None
        ``exclude`` leaves out items of the user's history; None ranks all given items.
    profiling : bool or None
        As in `ListOptions`.
    """

    diversity: Diversity = None
    diversity_method: DiversityMethod = None
    max_per: MaxPer = None
    repeats: Repeats = None
    profiling: Profiling = None


class SimilarOptions(RankOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a request for similar items.

    Those of `RankOptions`, and the following. `repeats` concerns the history of `user`; None lists
    its items too.

    Attributes
    ----------
    k : int
        Length of the list, 1 to 1000.
    relation : str or None
        One of `nearline.schema.questions.RELATIONS`: the only relation by which items may be
        similar. None for all.
    user : str or None
        User for whom the most similar items are ordered.
    cursor : str or None
        The `next` of the page before, with the same request.
    """

    k: Annotated[int, Meta(description="Length of the list.", extra_json_schema=LENGTHS)] = (
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
        Meta(description="User whose preferences change the order of the items."),
    ] = None
    cursor: Annotated[
        str | None,
        Meta(description="The `next` of the page before; omit it for the first page."),
    ] = None


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


def check_expression(text: object, field: str) -> None:
    """Raise `InvalidInput` unless an expression is None or a text; its syntax is not checked."""
    if text is not None and not isinstance(text, str):
        raise InvalidInput(
            f"{field} is {text!r:.50}; it must be an expression, such as 'price < 20'", field=field
        )
