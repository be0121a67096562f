"""What travels in bodies: the shapes that callers send and get."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from nearline.deployment.versions import Version
from nearline.errors import InvalidInput
from nearline.jobs.queue import Job
from nearline.schema import DAY, Event, Item, ScoredItem, parse_time
from nearline.schema.records import AttributeValue, Scalar

Timestamp = str | float | None
FIRST_TIME = 631_152_000.0  # 1990-01-01
# Longer than any caller waits.
MAX_DEADLINE_MS = 60_000


def _time_of_event(value: Timestamp, now: float) -> float:
    """Return Unix seconds; refuse a number that is probably no Unix time in seconds."""
    if isinstance(value, int | float) and not FIRST_TIME <= value <= now + DAY:
        raise InvalidInput(
            f"timestamp is {value:.15g}; a number must be Unix seconds from 1990 to one day ahead "
            "of now. Milliseconds are divided by 1000; a date such as 20260131, a year, or a time "
            "before 1990 is sent as text: 2026-01-31T12:00:00Z",
            field="timestamp",
        )
    return parse_time(value, now=now)


class EventIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """Something a user did with an item; `timestamp` is RFC 3339 or Unix seconds, default now.

    A number lies between 1990 and one day ahead of now.
    """

    user_id: str
    item_id: str
    event: str = "view"
    timestamp: Timestamp = None
    event_id: str | None = None
    value: float | None = None
    session_id: str | None = None
    recommendation_id: str | None = None
    context: dict[str, Scalar] | None = None

    def event_at(self, now: float) -> Event:
        """Return the event as the log stores it; `now` (Unix seconds) stands in for no time."""
        return Event(
            user_id=self.user_id,
            item_id=self.item_id,
            timestamp=_time_of_event(self.timestamp, now),
            event=self.event,
            event_id=self.event_id,
            value=self.value,
            session_id=self.session_id,
            recommendation_id=self.recommendation_id,
            context=self.context,
        )


class ItemIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A catalogue entry as a whole; `item_id` may be left out where the path names it."""

    item_id: str | None = None
    timestamp: Timestamp = None
    text: str = ""
    title: str = ""
    categories: list[str] = []
    attributes: dict[str, AttributeValue] = {}
    vectors: dict[str, list[float]] = {}
    available: bool = True

    def item_at(self, item_id: str | None, now: float) -> Item:
        """Return the entry as the log stores it, under `item_id`."""
        if item_id is None:
            raise InvalidInput(
                "item_id is missing; every entry of a list needs it", field="item_id"
            )
        return Item(
            item_id=item_id,
            timestamp=parse_time(self.timestamp, now=now),
            text=self.text,
            title=self.title,
            categories=self.categories,
            attributes=self.attributes,
            vectors=self.vectors,
            available=self.available,
        )


class ItemChanges(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields of a catalogue entry to replace; the others stay as they are."""

    timestamp: Timestamp | UnsetType = UNSET
    text: str | UnsetType = UNSET
    title: str | UnsetType = UNSET
    categories: list[str] | UnsetType = UNSET
    attributes: dict[str, AttributeValue] | UnsetType = UNSET
    vectors: dict[str, list[float]] | UnsetType = UNSET
    available: bool | UnsetType = UNSET

    def changes_at(self, now: float) -> dict[str, object]:
        """Return the fields that were sent, the time in Unix seconds."""
        sent = {
            name: value
            for name, value in msgspec.structs.asdict(self).items()
            if value is not UNSET
        }
        if "timestamp" in sent:
            sent["timestamp"] = parse_time(sent["timestamp"], now=now)
        return sent


class ItemOut(Struct, frozen=True, kw_only=True):
    """A catalogue entry with every field; `timestamp` is Unix seconds."""

    item_id: str
    timestamp: float
    text: str
    title: str
    categories: list[str]
    attributes: dict[str, AttributeValue]
    vectors: dict[str, list[float]]
    available: bool


class SessionIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ask for a list from a history (item ids, oldest first), with or without an account."""

    history: list[str]
    user_id: str | None = None
    k: int = 10
    exclude_seen: bool = True
    category: str | None = None
    exclude: list[str] = []
    explain: bool = False
    rerank: bool = False
    context: dict[str, Scalar] | None = None
    preferences: str | None = None
    deadline_ms: Annotated[int, Meta(ge=1, le=MAX_DEADLINE_MS)] | None = None


class BatchIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ask for the lists of many users."""

    user_ids: list[str]
    k: int = 10
    exclude_seen: bool = True
    category: str | None = None
    exclude: list[str] = []
    context: dict[str, Scalar] | None = None
    preferences: str | None = None


class UserItems(Struct, frozen=True, kw_only=True):
    """The list of one user of a batch."""

    user_id: str
    items: list[ScoredItem]


class BatchOut(Struct, frozen=True, kw_only=True):
    """A list for each user, in the order of the question."""

    items: list[UserItems]
    model: str
    offset: int


class PreloadIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Users who will come soon, the most urgent first."""

    user_ids: list[str]


class Preloading(Struct, frozen=True, kw_only=True):
    """How many users were taken in."""

    accepted: int


class RankIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ask for the order of given items for a user."""

    user_id: str
    item_ids: list[str]


class JobIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ask for slow work; the other fields are those of a training."""

    kind: Literal["train", "merge", "checkpoint", "embed"]
    seed: int = 0
    model: str | None = None
    settings: dict[str, Any] | None = None


class JobsOut(Struct, frozen=True, kw_only=True):
    """Jobs, newest first."""

    jobs: list[Job]


class VersionsOut(Struct, frozen=True, kw_only=True):
    """Snapshots, oldest first."""

    snapshots: list[Version]


class DeletedEvent(Struct, frozen=True):
    """How many events were deleted: 1, or 0 where no event has the id; and the end of the log."""

    deleted: int
    offset: int


class Forgotten(Struct, frozen=True, kw_only=True):
    """How many events of the user were erased."""

    erased: int


class ScoredItems(Struct, frozen=True, kw_only=True):
    """Items, best first."""

    items: list[ScoredItem]
