"""What the log holds: events, catalogue changes, and the tombstone of an erased event."""

from msgspec import Struct

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


class ItemDeleted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="deleted"):
    """The item left the catalogue; it is never answered again until it is put back."""

    item_id: str
    timestamp: float


class Erased(Struct, frozen=True, forbid_unknown_fields=True, tag="erased"):
    """Tombstone: an event stood at this offset and its user was forgotten."""


CatalogueRecord = Item | ItemDeleted
Record = Event | Item | ItemDeleted | Erased
