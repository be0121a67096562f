"""The records of the log: events, catalogue changes, and the tombstone of an erased event."""

import msgspec
from msgspec import UNSET, Struct, UnsetType

Scalar = str | int | float | bool
AttributeValue = Scalar | list[Scalar]


# Not told to the collector of cycles (`gc=False`): what is in an event comes from outside and holds
# no cycle, and of events there are many.
class Event(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag="event",
    gc=False,
):
    """Something a user did with an item.

    Attributes
    ----------
    user_id, item_id : str
        1 to 512 bytes of UTF-8.
    timestamp : float
        Unix seconds.
    event : str
        Kind of event (``view``, ``purchase``, ``dislike``...); the configuration gives its weight.
    event_id : str or None
        The caller's own key: a second event with the same key is a duplicate and not stored.
    value : float or None
        A rating, an amount, a duration: finite.
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
    """A catalogue entry as a whole: storing it replaces the entry before it.

    Attributes
    ----------
    text, title : str
        Words that content similarity is computed from (title and text together).
    categories : list of str
        Labels that a request can filter by.
    attributes : dict
        Names to strings, numbers or lists.
    vectors : dict
        Names to lists of finite numbers, each not all zero.
    timestamp : float
        Unix seconds of the change.
    available : bool
        False hides the item from every answer at once.
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
        """All words of the item, for content similarity."""
        words = (self.title, self.text, " ".join(self.categories))
        return " ".join(word for word in words if word)


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
    """The item left the catalogue; it is never answered again until it is put back."""

    item_id: str
    timestamp: float


class Erased(Struct, frozen=True, forbid_unknown_fields=True, tag="erased"):
    """Tombstone: an event stood at this offset and its user was forgotten."""


CatalogueRecord = Item | ItemPatched | ItemDeleted
Record = Event | Item | ItemPatched | ItemDeleted | Erased
