"""Requests for lists. A new field is added here: every way to ask takes it from these structs."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from msgspec import Meta, Struct

from nearline.errors import InvalidInput
from nearline.schema.arguments import as_list, flag, plain
from nearline.schema.records import Scalar
from nearline.schema.rules import (
    MAX_K,
    check_context,
    check_k,
    check_preferences,
    check_text,
)

O = TypeVar("O", bound="ListOptions")  # noqa: E741 (a type variable)


class ListOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every list may be asked with, be it for one user or for many.

    Attributes
    ----------
    k : int
        Length of the list, 1 to 1000.
    exclude_seen : bool
        Leave out items of the history. Disliked items are left out in any case.
    category : str or None
        Only items with this label.
    exclude : tuple of str
        Items to leave out.
    context : dict or None
        Names to texts, numbers or booleans, as in events (device, country, hour): lines that do
        not come from the history are what is popular given these.
    preferences : str or None
        What the user likes, as text: items with similar descriptions stand behind the personal
        lines.
    """

    k: Annotated[
        int,
        Meta(
            description="Length of the list.",
            extra_json_schema={"minimum": 1, "maximum": MAX_K},
        ),
    ] = 10
    exclude_seen: Annotated[
        bool, Meta(description="Leave out items of the history; disliked items never appear.")
    ] = True
    category: Annotated[
        str | None, Meta(description="Only items with this label; empty for all.")
    ] = None
    exclude: Annotated[tuple[str, ...], Meta(description="Items to leave out.")] = ()
    context: Annotated[
        dict[str, Scalar] | None,
        Meta(description="Names to values, as in events: what fills the list is popular there."),
    ] = None
    preferences: Annotated[str | None, Meta(description="What the user likes, as text.")] = None


class RecommendationRequest(ListOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request for one list: the fields of `ListOptions`, and whom and how to answer.

    Attributes
    ----------
    user_id : str or None
        The user whose history the list starts from; None for a session without an account.
    history : tuple of str or None
        Item ids, oldest first: replaces the known history for this request.
    explain : bool
        Give the largest parts of each score.
    rerank : bool
        Let the language model, where one is configured, put the first lines in order.
    """

    user_id: str | None = None
    history: Annotated[tuple[str, ...] | None, Meta(description="Item ids, oldest first.")] = None
    explain: Annotated[bool, Meta(description="Give reasons for each line.")] = False
    rerank: Annotated[bool, Meta(description="Let the language model order the first lines.")] = (
        False
    )


def make_options(kind: type[O], **fields: Any) -> O:
    """Build a request of class `kind` from keyword arguments; sequences become tuples.

    Raises
    ------
    TypeError
        A name is not a field of `kind`.
    InvalidInput
        A value is of another type than its field.
    """
    unknown = sorted(fields.keys() - set(kind.__struct_fields__))
    if unknown:
        raise TypeError(
            f"{', '.join(unknown)}: there is no such option; allowed are "
            f"{', '.join(sorted(kind.__struct_fields__))}"
        )
    for name, given in fields.items():
        if given is not None or name not in _MAY_BE_NONE:
            fields[name] = _CONVERSIONS.get(name, _as_it_is)(given, name)
    return kind(**fields)


def _as_it_is(value: object, _: str) -> object:
    return plain(value)


def _ids(value: object, field: str) -> tuple[str, ...]:
    return tuple(as_list(value, field, "item ids"))


_MAY_BE_NONE = ("category", "context", "preferences", "user_id", "history")
# How a keyword argument of a Python call becomes a field; others are checked by `check_options`.
_CONVERSIONS: dict[str, Callable[[Any, str], Any]] = {
    "k": check_k,
    "exclude": _ids,
    "history": _ids,
    "exclude_seen": flag,
    "explain": flag,
    "rerank": flag,
}


def narrowed(options: ListOptions, kind: type[O]) -> O:
    """Return the fields of `options` that the class `kind` has, as one of that class."""
    return kind(**{name: getattr(options, name) for name in kind.__struct_fields__})


def check_options(options: ListOptions) -> None:
    """Raise `InvalidInput` unless length, category, context and preferences are within bounds."""
    check_k(options.k)
    if options.category is not None:
        _check_category(options.category)
    if options.context is not None:
        check_context(options.context)
    if options.preferences is not None:
        check_preferences(options.preferences)


def _check_category(category: object) -> None:
    if not isinstance(category, str):
        raise InvalidInput(f"category is {category!r:.50}; it must be a text", field="category")
    check_text(category, "category")
