"""Requests around items: popular items, search, audiences, and listings."""

from typing import Annotated

from msgspec import Meta, Struct

from nearline.errors import InvalidInput
from nearline.schema.arguments import flag
from nearline.schema.item_options import (
    DEFAULT_K,
    LENGTHS,
    ItemOptions,
    RankOptions,
    SimilarOptions,
    check_expression,
    check_item_options,
)
from nearline.schema.list_rules import check_diversity
from nearline.schema.requests import check_category
from nearline.schema.rules import check_id, check_k, check_repeats, check_text

# Names of relations between items, and the relations of the item graph that they stand for; a name
# that ends with a colon stands for all relations that begin with it.
RELATIONS = {
    "bought_together": ("coengagement",),
    "viewed_next": ("transitions",),
    "content": ("content", "projected", "vector:"),
}
MAX_QUERY_CHARS = 1_000

_Length = Annotated[int, Meta(description="Length of the list.", extra_json_schema=LENGTHS)]
_Page = Annotated[int, Meta(description="Length of a page.", extra_json_schema=LENGTHS)]
_Cursor = Annotated[
    str | None, Meta(description="The `next` of the page before; omit it for the first page.")
]
_Category = Annotated[
    str | None, Meta(description="List only items of this category; empty means all.")
]
_User = Annotated[
    str | None,
    Meta(description="User whose preferences change the order of the items."),
]


class CountedRequest(ItemOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request for popular or trending items.

    Attributes
    ----------
    k : int
        Length of the list, 1 to 1000.
    category : str or None
        List only items of this category; None or an empty string means all items.
    """

    k: _Length = DEFAULT_K
    category: _Category = None


class SearchRequest(ItemOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request for items that match a text.

    Attributes
    ----------
    q : str
        The text: words, or the beginning of one at its end.
    k : int
        Length of the list, 1 to 1000.
    category : str or None
        List only items of this category; None or an empty string means all items.
    user : str or None
        User for whom the matching items are ordered.
    """

    q: Annotated[str, Meta(description="Text to search for.", examples=["green tea"])]
    k: _Length = DEFAULT_K
    category: _Category = None
    user: _User = None


class AudienceRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request for the users who would like an item.

    Attributes
    ----------
    filter : str or None
        Expression over the attributes of a user, as ``user.NAME``, and of the item, which must be
        true; see `nearline.expressions`.
    k : int
        Length of the list, 1 to 1000.
    exclude_seen : bool
        Leave out users with the item in their history.
    """

    filter: Annotated[
        str | None,
        Meta(
            description="Expression over the attributes of users and of the item: list only users "
            "for whom it is true.",
            examples=['user.country == "FR"'],
        ),
    ] = None
    k: _Length = DEFAULT_K
    exclude_seen: Annotated[
        bool,
        Meta(
            description="Leave out users with the item in their history; those who dislike it "
            "never appear.",
            extra={"opposite": "include_seen"},
        ),
    ] = True


class UsersRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request for a page of the users, in alphabetical order of their IDs.

    Attributes
    ----------
    k : int
        Length of a page, 1 to 1000.
    cursor : str or None
        The `next` of the page before.
    """

    k: _Page = 100
    cursor: _Cursor = None


class ItemsRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request for a page of the items, in alphabetical order of their IDs.

    Attributes
    ----------
    filter : str or None
        Expression that must be true for an item; see `nearline.expressions`.
    k : int
        Length of a page, 1 to 1000.
    cursor : str or None
        The `next` of the page before.
    """

    filter: Annotated[
        str | None,
        Meta(
            description="Expression over the attributes of an item: list only items for which it "
            "is true.",
            examples=['price < 20 && "tea" in categories'],
        ),
    ] = None
    k: _Page = 100
    cursor: _Cursor = None


class ReportRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request for the report on served lists.

    Attributes
    ----------
    since, until : str or None
        Times between which the lists were served: RFC 3339 or Unix seconds.
    scenario : str or None
        Only lists of this scenario.
    """

    since: Annotated[
        str | None, Meta(description="Only lists that were served from this time on.")
    ] = None
    until: Annotated[
        str | None, Meta(description="Only lists that were served before this time.")
    ] = None
    scenario: Annotated[str | None, Meta(description="Only lists of this scenario.")] = None


def as_moment(text: str | None) -> str | float | None:
    """Return a time in a query or on the command line as a number, if it is Unix seconds."""
    if text is None or not text.replace(".", "", 1).isdecimal():
        return text
    return float(text)


def check_similar(request: SimilarOptions) -> None:
    """Check the fields of a request, except for the syntax of expressions.

    Raises
    ------
    InvalidInput
        A field is invalid; the error names it.
    """
    check_k(request.k)
    check_rank(request)
    _check_user(request.user)
    if request.relation is not None and request.relation not in RELATIONS:
        raise InvalidInput(
            f"relation is {request.relation!r:.50}; it must be one of {', '.join(RELATIONS)}",
            field="relation",
        )


def check_rank(request: RankOptions) -> None:
    """Check the fields of a request, except for the syntax of expressions."""
    check_item_options(request)
    check_diversity(request.diversity, request.diversity_method, request.max_per)
    if request.repeats is not None:
        check_repeats(request.repeats)
    if request.profiling is not None:
        flag(request.profiling, "profiling")


def check_search(request: SearchRequest) -> None:
    """Check the fields of a request, except for the syntax of expressions."""
    if not isinstance(request.q, str):
        raise InvalidInput(f"q is {request.q!r:.50}; it must be a text to search for", field="q")
    if not request.q:
        raise InvalidInput("q is empty; it must be a text to search for", field="q")
    check_text(request.q, "q", MAX_QUERY_CHARS)
    check_k(request.k)
    check_item_options(request)
    if request.category is not None:
        check_category(request.category)
    _check_user(request.user)


def check_counted(request: CountedRequest) -> None:
    """Check the fields of a request, except for the syntax of expressions."""
    check_k(request.k)
    check_item_options(request)
    if request.category is not None:
        check_category(request.category)


def check_page(request: ItemsRequest | UsersRequest) -> None:
    """Check the length and the cursor of a page; whether the cursor is genuine is not known."""
    check_k(request.k)
    if isinstance(request, ItemsRequest):
        check_expression(request.filter, "filter")
    if request.cursor is not None and not isinstance(request.cursor, str):
        raise InvalidInput(
            f"cursor is {request.cursor!r:.50}; it must be the `next` of a page", field="cursor"
        )


def _check_user(user: object) -> None:
    if user is not None:
        check_id(user, "user")
