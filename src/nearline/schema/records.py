"""Log records: events, catalogue changes, and tombstones of erased events."""

import msgspec
from msgspec import UNSET, Struct, UnsetType

Scalar = str | int | float | bool
AttributeValue = Scalar | list[Scalar]


# Not tracked by the garbage collector (`gc=False`): events are numerous and contain no cycles.
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
        Kind of event (``view``, ``purchase``, ``dislike``...); its weight is a setting.
    event_id : str or None
        Idempotency key of the caller: a second event with the same key is a duplicate and is not
        stored.
    value : float or None
        A finite number: a rating, an amount or a duration.
    session_id : str or None
        Session of the user.
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
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, tag="item"
):
    """A complete catalogue entry; storing it replaces the previous entry of the item.

    Attributes
    ----------
    item_id : str
        1 to 512 bytes of UTF-8.
    timestamp : float
        Time of the change, in Unix seconds.
    text, title : str
        Text that content similarity is computed from.
    categories : list of str
        Labels that requests can filter by.
    attributes : dict
        Names to strings, numbers or lists.
    vectors : dict
        Names to lists of finite numbers; not all zero.
    available : bool
        False excludes the item from all recommendations immediately.
    """

    item_id: str
    timestamp: float
    text: str = ""
    title: str = ""
    categories: list[str] = []
    attributes: dict[str, AttributeValue] = {}
    vectors: dict[str, list[float]] = {}
    available: bool = True

    @property
    def content(self) -> str:
        """Title, text and categories in one string, for content similarity."""
        parts = (self.title, self.text, " ".join(self.categories))
        return " ".join(part for part in parts if part)


class ItemPatched(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag="patched",
):
    """A change of some fields of a catalogue entry; fields that are unset keep their values.

    It applies to the entry as it stands at the record's offset. Where there is no entry at that
    offset, the record has no effect. A record without any change keeps the entry and its
    timestamp, and makes models read the item's text vector again.

    Attributes
    ----------
    item_id : str
    timestamp : float
        Unix seconds of the change.
    text, title, categories, attributes, vectors, available
        As for `Item`: each one that is set replaces the whole field.
    """

    item_id: str
    timestamp: float
    text: str | UnsetType = UNSET
    title: str | UnsetType = UNSET
    categories: list[str] | UnsetType = UNSET
    attributes: dict[str, AttributeValue] | UnsetType = UNSET
    vectors: dict[str, list[float]] | UnsetType = UNSET
    available: bool | UnsetType = UNSET

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
        """Return `item` with the changes of this record."""
        changes = self.changes
        if not changes:
            return item
        return msgspec.structs.replace(item, timestamp=self.timestamp, **changes)


class ItemDeleted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="deleted"):
    """Removal of an item from the catalogue; it is not recommended until it is added again."""

    item_id: str
    timestamp: float


class Erased(Struct, frozen=True, forbid_unknown_fields=True, tag="erased"):
    """Tombstone of an event at this offset whose user was erased."""


CatalogueRecord = Item | ItemPatched | ItemDeleted
Record = Event | Item | ItemPatched | ItemDeleted | Erased
