"""Request and response bodies."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_type_hints

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from nearline.deployment.versions import Version
from nearline.errors import InvalidInput
from nearline.jobs.queue import Job
from nearline.schema import (
    DAY,
    CritiqueOut,
    ErasureReceipt,
    Event,
    Item,
    ListOptions,
    RankOptions,
    Recommendation,
    RecommendationRequest,
    ScoredItem,
    ScoredList,
    parse_time,
)
from nearline.schema.answers import ScoredUser
from nearline.schema.bandits import Bandit
from nearline.schema.definitions import SCENARIO_OPTIONS, Rule
from nearline.schema.records import AttributeValue, Scalar
from nearline.schema.times import parse_expiry

Timestamp = str | float | None
FIRST_TIME = 631_152_000.0  # 1990-01-01
MAX_DEADLINE_MS = 60_000


def _time_of_event(value: Timestamp, now: float) -> float:
    """Return Unix seconds; raise `InvalidInput` for a number that is probably in another unit."""
    if isinstance(value, int | float) and not FIRST_TIME <= value <= now + DAY:
        raise InvalidInput(
            f"timestamp is {value:.15g}; a number must be Unix seconds from 1990 to one day ahead "
            "of now. Divide milliseconds by 1000; send a date such as 20260131, a year, or a time "
            "before 1990 as text: 2026-01-31T12:00:00Z",
            field="timestamp",
        )
    return parse_time(value, now=now)


class EventIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """An event; `timestamp` is RFC 3339 or Unix seconds, by default the current time.

    A number must lie between 1990 and one day after the current time.
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
        """Return the event in the form of the log; `now` (Unix seconds) is the default time."""
        return Event(
            user_id=self.user_id,
            item_id=self.item_id,
            timestamp=now if self.timestamp is None else _time_of_event(self.timestamp, now),
            event=self.event,
            event_id=self.event_id,
            value=self.value,
            session_id=self.session_id,
            recommendation_id=self.recommendation_id,
            context=self.context,
        )


class ItemIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A complete catalogue entry; `item_id` is optional if the path contains it."""

    item_id: str | None = None
    timestamp: Timestamp = None
    text: str = ""
    title: str = ""
    categories: list[str] = []
    attributes: dict[str, AttributeValue] = {}
    vectors: dict[str, list[float]] = {}
    available: bool = True
    expires_at: Timestamp = None

    def item_at(self, item_id: str | None, now: float) -> Item:
        """Return the entry of item `item_id` in the form of the log."""
        if item_id is None:
            raise InvalidInput(
                "item_id is missing; each entry of a list must have one", field="item_id"
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
            expires_at=parse_expiry(self.expires_at),
        )


class ItemChanges(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields of a catalogue entry to replace; others keep their values."""

    timestamp: Timestamp | UnsetType = UNSET
    text: str | UnsetType = UNSET
    title: str | UnsetType = UNSET
    categories: list[str] | UnsetType = UNSET
    attributes: dict[str, AttributeValue] | UnsetType = UNSET
    vectors: dict[str, list[float]] | UnsetType = UNSET
    available: bool | UnsetType = UNSET
    expires_at: Timestamp | UnsetType = UNSET

    def changes_at(self, now: float) -> dict[str, object]:
        """Return the fields that were sent, with the time in Unix seconds."""
        sent = {
            name: value
            for name, value in msgspec.structs.asdict(self).items()
            if value is not UNSET
        }
        if "timestamp" in sent:
            sent["timestamp"] = parse_time(sent["timestamp"], now=now)
        return sent


class ItemOut(Struct, frozen=True, kw_only=True):
    """A catalogue entry with all fields; times are in Unix seconds."""

    item_id: str
    timestamp: float
    text: str
    title: str
    categories: list[str]
    attributes: dict[str, AttributeValue]
    vectors: dict[str, list[float]]
    available: bool
    expires_at: float | None


class TimedRequest(RecommendationRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request for one list over HTTP, which may have a time budget."""

    deadline_ms: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=MAX_DEADLINE_MS,
                description="Time budget in milliseconds. If it is too short, the list is made "
                "without the model.",
            ),
        ]
        | None
    ) = None


class SessionIn(TimedRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request for a list from a given history, with or without an account."""

    history: Annotated[tuple[str, ...], Meta(description="Item IDs, oldest first.")]


class BatchIn(ListOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request for the lists of many users."""

    user_ids: Annotated[list[str], Meta(description="Users to recommend to.")]


class UserItems(Struct, frozen=True, kw_only=True):
    """The list of one user of a batch."""

    user_id: str
    items: list[ScoredItem]


class BatchOut(Struct, frozen=True, kw_only=True):
    """One list for each user, in the order of the request."""

    items: list[UserItems]
    model: str
    offset: int


class PreloadIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Users who are expected soon, most urgent first."""

    user_ids: list[str]


class Preloading(Struct, frozen=True, kw_only=True):
    """Number of users that were accepted."""

    accepted: int


class ImpressionsIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Items of a list that a user saw: all by default, and by default the user of the list."""

    recommendation_id: str
    item_ids: list[str] | None = None
    user_id: str | None = None


class ImpressionsOut(Struct, frozen=True, kw_only=True):
    """Number of items that were accepted."""

    accepted: int


class RankIn(RankOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request to rank given items for a user."""

    user_id: str
    item_ids: list[str]


class UserIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All attributes of a user."""

    attributes: Annotated[
        dict[str, AttributeValue],
        Meta(description="Names to texts, numbers, booleans or lists of these; at most 64."),
    ]


class UserChanges(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes of a user to change; others keep their values."""

    attributes: Annotated[
        dict[str, AttributeValue | None],
        Meta(description="Names to new values; null removes an attribute."),
    ]


class CritiqueIn(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"not_item": "not"}
):
    """What a user says about a list: exactly one of `more_like`, `not` and `less_of`."""

    more_like: Annotated[
        str | None, Meta(description="ID of an item of which the user wants more.")
    ] = None
    not_item: Annotated[
        str | None, Meta(description="ID of an item that the user does not want.")
    ] = None
    less_of: Annotated[
        dict[str, Scalar] | None,
        Meta(description="One attribute, or categories, with a value that the user wants less of."),
    ] = None
    lasting: Annotated[
        bool, Meta(description="Whether the critique holds until it is revoked.")
    ] = False


class Criticised(Struct, frozen=True, kw_only=True):
    """ID of a stored critique, and the end of the log."""

    critique_id: str
    offset: int


class CritiquesOut(Struct, frozen=True, kw_only=True):
    """Critiques that hold, oldest first."""

    critiques: list[CritiqueOut]


class JobIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request for a background job; the fields after `kind` are for trainings."""

    kind: Literal["train", "merge", "checkpoint", "embed", "retention"]
    seed: int = 0
    model: str | None = None
    settings: dict[str, Any] | None = None


class JobsOut(Struct, frozen=True, kw_only=True):
    """Jobs, newest first."""

    jobs: list[Job]


class VersionsOut(Struct, frozen=True, kw_only=True):
    """Snapshots, oldest first."""

    snapshots: list[Version]


if TYPE_CHECKING:

    class ScenarioIn(Struct, frozen=True, kw_only=True):
        """Options of requests that name the scenario."""

else:
    _HINTS = get_type_hints(RecommendationRequest, include_extras=True)
    ScenarioIn = msgspec.defstruct(
        "ScenarioIn",
        [
            ("name", str | None, None),
            (
                "because",
                Annotated[
                    str | None, Meta(description="Kind of event of the item that lists start from.")
                ],
                None,
            ),
            *((name, _HINTS[name], None) for name in SCENARIO_OPTIONS),
            (
                "model",
                Annotated[str | None, Meta(description="ID of the snapshot that ranks items.")],
                None,
            ),
            ("bandit", Bandit | None, None),
            (
                "rules",
                Annotated[list[str] | None, Meta(description="Rules that apply; by default all.")],
                None,
            ),
        ],
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
        omit_defaults=True,
        module=__name__,
    )
    ScenarioIn.__doc__ = "Options of requests that name the scenario."


class RuleIn(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule; `name` is optional, since the path contains it."""

    name: str | None = None


class ScenariosOut(Struct, frozen=True, kw_only=True):
    """Scenarios, in alphabetical order, each with its name and the fields that it sets."""

    scenarios: list[dict[str, Any]]


class NamespacesOut(Struct, frozen=True, kw_only=True):
    """Namespaces of a server, in alphabetical order."""

    namespaces: list[Any]


class RulesOut(Struct, frozen=True, kw_only=True):
    """Rules, in alphabetical order, each with its name and its fields."""

    rules: list[dict[str, Any]]


class DeletedEvent(Struct, frozen=True):
    """Number of deleted events, 1 or 0 if no event has the ID, and the end of the log."""

    deleted: int
    offset: int


class Forgotten(Struct, frozen=True, kw_only=True):
    """Number of records of the user that were erased, and a receipt."""

    erased: int
    receipt: ErasureReceipt


class CountedItems(Struct, frozen=True, kw_only=True):
    """Items, best first, each with the tier that says why it is listed."""

    items: list[Recommendation]


class Audience(Struct, frozen=True, kw_only=True):
    """Users, best first."""

    users: list[ScoredUser]


class ScoredItems(Struct, frozen=True, kw_only=True):
    """Items, best first, with the rules that fired and the cursor of the next page, if any."""

    items: list[ScoredItem]
    rules: tuple[str, ...] = ()
    next: str | None = None

    @classmethod
    def of(cls, found: ScoredList) -> Self:
        """Create the answer from a list of the engine."""
        return cls(items=found, rules=found.rules, next=found.next)
