"""Log records: events, catalogue changes, definitions, and placeholders of erased events."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

Scalar = str | int | float | bool
AttributeValue = Scalar | list[Scalar]
# Longest name of an item that is taken from its text.
NAME_CHARS = 60


# Not tracked by the garbage collector (`gc=False`): events and items are numerous and contain no
# cycles.
class Event(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag="event",
    gc=False,
):
    """An interaction of a user with an item.

    Attributes
    ----------
    user_id, item_id : str
        1 to 512 bytes of UTF-8.
    timestamp : float
        Time of the event, in Unix seconds.
    event : str
        Kind of event, such as ``view``, ``purchase`` or ``dislike``. A setting gives the event
        weight of each kind.
    event_id : str or None
        Idempotency key that the sender chooses: a second event with the same key is not stored.
    value : float or None
        A finite number: a rating, an amount or a duration.
    session_id : str or None
        ID of the session in which the event occurred.
    recommendation_id : str or None
        ID of the list of recommendations that led to the event.
    context : dict or None
        Context of the event, such as page or country: names to strings, numbers or booleans.
    """

    user_id: str
    item_id: str
    timestamp: float
    event: str = "view"
    event_id: str | None = None
    value: float | None = None
    session_id: str | None = None
    recommendation_id: str | None = None
    context: dict[str, Scalar] | None = None


class Item(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag="item",
    gc=False,
):
    """A complete catalogue entry; storing it replaces the previous entry of the item.

    Attributes
    ----------
    item_id : str
        1 to 512 bytes of UTF-8.
    timestamp : float
        Time of the change, in Unix seconds.
    text, title : str
        Texts from which content similarity is computed.
    categories : list of str
        Categories of the item; a request can be restricted to one of them.
    attributes : dict
        Maps names to strings, numbers, booleans or lists of these.
    vectors : dict
        Maps names to vectors: lists of finite numbers that are not all zero.
    available : bool
        False excludes the item from all recommendations immediately.
    expires_at : float or None
        Unix seconds from which on the item is as if `available` were false; None for never.
    """

    item_id: str
    timestamp: float
    text: str = ""
    title: str = ""
    categories: list[str] = []
    attributes: dict[str, AttributeValue] = {}
    vectors: dict[str, list[float]] = {}
    available: bool = True
    expires_at: float | None = None

    @property
    def content(self) -> str:
        """Title, text and categories, joined by spaces: the text for content similarity."""
        parts = (self.title, self.text, " ".join(self.categories))
        return " ".join(part for part in parts if part)

    @property
    def name(self) -> str:
        """The title, or else the start of the text: what people call the item."""
        if self.title or not self.text:
            return self.title
        text = " ".join(self.text[: 4 * NAME_CHARS].split())
        if len(text) <= NAME_CHARS:
            return text
        start = text[: NAME_CHARS - 1]
        return (start.rpartition(" ")[0] or start) + "…"


class ItemPatched(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag="patched",
):
    """A change of some fields of a catalogue entry; fields that are unset keep their values.

    The change is applied to the entry at the record's offset; if there is no entry, the record
    has no effect. A record that sets no field leaves the entry and its timestamp unchanged, and
    causes models to read the text vector of the item again.

    Attributes
    ----------
    item_id : str
    timestamp : float
        Time of the change, in Unix seconds.
    text, title, categories, attributes, vectors, available, expires_at
        Fields of `Item`. A field that is set replaces the previous value completely.
    """

    item_id: str
    timestamp: float
    text: str | UnsetType = UNSET
    title: str | UnsetType = UNSET
    categories: list[str] | UnsetType = UNSET
    attributes: dict[str, AttributeValue] | UnsetType = UNSET
    vectors: dict[str, list[float]] | UnsetType = UNSET
    available: bool | UnsetType = UNSET
    expires_at: float | UnsetType | None = UNSET

    @property
    def changes(self) -> dict[str, object]:
        """Names and values of the fields that are set."""
        fields = msgspec.structs.asdict(self)
        return {
            name: value
            for name, value in fields.items()
            if name not in ("item_id", "timestamp") and value is not UNSET
        }

    def applied_to(self, item: Item) -> Item:
        """Return a copy of `item` with the changes of this record; `item` itself if none is set."""
        changes = self.changes
        if not changes:
            return item
        return msgspec.structs.replace(item, timestamp=self.timestamp, **changes)


class ItemDeleted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="deleted"):
    """Removal of an item from the catalogue; it is not recommended until it is added again."""

    item_id: str
    timestamp: float


class Defined(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="defined"):
    """A definition under a name, such as a scenario; it replaces an earlier one of that name.

    Attributes
    ----------
    kind : str
        Kind of the definition; see `nearline.schema.definitions`.
    name : str
        1 to 512 bytes of UTF-8, unique within the kind.
    timestamp : float
        Time of the change, in Unix seconds.
    body : dict
        Fields of the definition; it must not name a user.
    """

    kind: str
    name: str
    timestamp: float
    body: dict[str, Any]


class Undefined(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="undefined"):
    """Removal of a definition."""

    kind: str
    name: str
    timestamp: float


class UserPut(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag="user",
):
    """All attributes of a user; storing them replaces the previous ones.

    Attributes
    ----------
    user_id : str
    timestamp : float
        Time of the change, in Unix seconds.
    attributes : dict
        Maps names to strings, numbers, booleans or lists of these.
    """

    user_id: str
    timestamp: float
    attributes: dict[str, AttributeValue] = {}

    def applied_to(self, _: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
        """Return the attributes after this record."""
        return self.attributes


class UserPatched(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag="user_patched",
):
    """A change of some attributes of a user: None removes one, and others keep their values."""

    user_id: str
    timestamp: float
    attributes: dict[str, AttributeValue | None] = {}

    def applied_to(self, before: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
        """Return the attributes after this record."""
        merged = {**before, **self.attributes}
        return {name: value for name, value in merged.items() if value is not None}


class Critique(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag="critique",
    rename={"not_item": "not"},
):
    """A user's remark about a list; exactly one of the three kinds is given.

    Attributes
    ----------
    user_id : str
    timestamp : float
        Time of the critique, in Unix seconds.
    critique_id : str
        Identifies what the user said: the same remark has the same ID and replaces the earlier one.
    more_like : str or None
        ID of an item of which the user wants more.
    not_item : str or None
        ID of an item that the user does not want; the field is called ``not``.
    less_of : dict or None
        Name and value of an attribute of items of which the user wants fewer.
    lasting : bool
        Whether the critique holds until it is revoked, and not only for the session.
    """

    user_id: str
    timestamp: float
    critique_id: str
    more_like: str | None = None
    not_item: str | None = None
    less_of: dict[str, Scalar] | None = None
    lasting: bool = False


class CritiqueRevoked(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="critique_revoked"
):
    """Removal of a critique of a user."""

    user_id: str
    timestamp: float
    critique_id: str


class Consent(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag="consent",
):
    """What a user allows; it replaces an earlier choice of the user.

    Attributes
    ----------
    user_id : str
    timestamp : float
        Time of the choice, in Unix seconds.
    profiling : bool
        False is an objection: events of the user are stored, but neither lists nor models use what
        is stored about the user until a later record with True.
    purposes : list of str
        Names of purposes to which the user agreed; they are kept and shown.
    """

    user_id: str
    timestamp: float
    profiling: bool
    purposes: list[str] = []


class TagDeleted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="tag_deleted"):
    """Deletion of an interest tag: lists of the user do not depend on earlier events with it.

    Attributes
    ----------
    user_id : str
    timestamp : float
        Time of the deletion, in Unix seconds; later events count again.
    tag : str
        Category of items, or ``name=value`` of an attribute.
    """

    user_id: str
    timestamp: float
    tag: str


class ItemsShown(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="shown"):
    """Items that were shown to a user.

    Attributes
    ----------
    user_id : str
    timestamp : float
        Time of the last showing, in Unix seconds.
    number : int
        Number of the record, which is larger than those of all earlier ones.
    item_ids : list of str
    times : list of float
        Time at which each item was shown, in Unix seconds.
    """

    user_id: str
    timestamp: float
    number: int
    item_ids: list[str]
    times: list[float]


class Erased(Struct, frozen=True, forbid_unknown_fields=True, tag="erased"):
    """Placeholder at the offset of a record that was removed by the erasure of its user."""


CatalogueRecord = Item | ItemPatched | ItemDeleted
DefinitionRecord = Defined | Undefined
# Records that name a user: an erasure of the user removes all of them.
ProfileRecord = UserPut | UserPatched | Critique | CritiqueRevoked | Consent | TagDeleted
UserRecord = Event | ProfileRecord | ItemsShown
PROFILE_RECORDS = (UserPut, UserPatched, Critique, CritiqueRevoked, Consent, TagDeleted)
USER_RECORDS = (Event, *PROFILE_RECORDS, ItemsShown)
Record = UserRecord | CatalogueRecord | DefinitionRecord | Erased
