"""What served lists led to: events are attributed to the list that they came from.

An event that names a list (`recommendation_id`) counts for its last serving before the event, if
the list has the item and was made for the user; if there is none within the window, for the first
serving after the event that is at most `SKEW` later. An event without a name counts for the last
list with the item that the user was served. In both cases the event must follow within the window
of its kind, and come after the offset that the list reflects, whatever its time. An event counts
for one serving at most.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import Struct

from nearline.errors import InvalidInput
from nearline.schema import DAY, Event, Record
from nearline.schema.records import Scalar
from nearline.served.rows import ItemsSeen, Served
from nearline.state.kinds import standard_kind

HOUR = 3_600.0
# Policy of lists without exploration.
GREEDY = "greedy"
# Seconds after the serving within which an event of a kind counts.
WINDOWS: Mapping[str, float] = {
    "view": HOUR,
    "click": HOUR,
    "open": HOUR,
    "play": HOUR,
    "purchase": 7 * DAY,
}
DEFAULT_WINDOW = DAY
MAX_WINDOW = 90 * DAY
# Clocks of senders may be behind the server's by so many seconds, if an event names its list.
SKEW = 60.0
# Kinds of events that open an item, and that buy it.
CLICKS = ("view", "click", "open", "play")
CONVERSIONS = ("purchase",)


def check_windows(windows: Mapping[str, float]) -> None:
    """Validate windows by kind of event; raise `InvalidInput`."""
    for kind, seconds in windows.items():
        if not 0 < seconds <= MAX_WINDOW:  # also refuses NaN
            raise InvalidInput(
                f"attribution.{kind} is {seconds}; it must be a number of seconds above 0, up to "
                f"{MAX_WINDOW:,.0f}",
                field="attribution",
            )


class Led(NamedTuple):
    """An event that a serving led to: its kind, item, value and time in Unix seconds."""

    kind: str
    item_id: str
    value: float | None
    timestamp: float


class Attributed(Struct):
    """One serving of a list, and what it led to.

    Attributes
    ----------
    served : Served
    outcomes : list of Led
    seen : set of str or None
        Items that were reported as seen; None if nothing was reported for the list.
    """

    served: Served
    outcomes: list[Led]
    seen: set[str] | None

    @property
    def shown(self) -> list[tuple[int, str]]:
        """Positions (from 0) and items that were seen, or all if nothing was reported."""
        lines = list(enumerate(self.served.item_ids))
        return lines if self.seen is None else [line for line in lines if line[1] in self.seen]

    def items_with(self, kinds: Iterable[str]) -> set[str]:
        """Return the items with at least one event of some kinds."""
        wanted = set(kinds)
        return {outcome.item_id for outcome in self.outcomes if outcome.kind in wanted}


class LoggedRow(NamedTuple):
    """One line of a served list with its reward, for off-policy evaluation.

    Attributes
    ----------
    position : int
        From 1.
    propensity : float
        1 if the policy is deterministic.
    reward : float
        1 if the item had an event of the kinds that count, else 0.
    explored : bool
        Whether another item had a higher score at this position, given the lines above.
    """

    recommendation_id: str
    user_id: str | None
    item_id: str
    position: int
    propensity: float
    policy: str
    variant: str | None
    reward: float
    context: Mapping[str, Scalar] | None
    explored: bool = False


def kind_of(event: str) -> str:
    """Return the standard kind of an event, or its own name if it has none."""
    return standard_kind(event) or event


def window_of(kind: str, windows: Mapping[str, float]) -> float:
    """Return the window of a kind in seconds."""
    found = windows.get(kind)
    return WINDOWS.get(kind, DEFAULT_WINDOW) if found is None else found


def attribute(
    entries: Iterable[Served | ItemsSeen],
    read: Callable[[int], Iterable[tuple[int, Record]]],
    windows: Mapping[str, float],
) -> list[Attributed]:
    """Attribute events to servings.

    Parameters
    ----------
    entries : iterable
        Entries of the served log, in any order.
    read : callable
        Returns the records of the log from an offset on, as pairs (offset, record).
    windows : mapping of str to float
        Seconds by kind of event, where they differ from `WINDOWS`.

    Returns
    -------
    list of Attributed
        By time of serving. Takes time proportional to the lines and events.
    """
    servings, seen = Servings(), dict[str, set[str]]()
    for entry in entries:
        if isinstance(entry, Served):
            servings.add(entry)
        else:
            seen.setdefault(entry.recommendation_id, set()).update(entry.item_ids)
    if not servings.all:
        return []
    for one in servings.all:
        one.seen = seen.get(one.served.recommendation_id)
    for offset, record in read(min(one.served.offset for one in servings.all)):
        if isinstance(record, Event):
            kind = kind_of(record.event)
            serving = servings.of(record, offset, window_of(kind, windows))
            if serving is not None:
                serving.outcomes.append(Led(kind, record.item_id, record.value, record.timestamp))
    return sorted(servings.all, key=_time_of)


def logged_rows(attributed: Iterable[Attributed], kinds: Iterable[str]) -> list[LoggedRow]:
    """Return the lines of lists with their rewards: 1 for an event of the given kinds."""
    wanted = tuple(kinds)
    rows = []
    for one in attributed:
        served, rewarded = one.served, one.items_with(wanted)
        for at, item_id in one.shown:
            propensity = 1.0 if served.propensities is None else served.propensities[at]
            rows.append(
                LoggedRow(
                    served.recommendation_id,
                    served.user_id,
                    item_id,
                    at + 1,
                    propensity,
                    served.policy,
                    served.teams[at] if served.teams else served.variant,
                    float(item_id in rewarded),
                    served.context,
                    at in served.explored,
                )
            )
    return rows


class Servings:
    """Servings by list, and by user and item.

    Attributes
    ----------
    all : list of Attributed
        In the order in which they were added.
    """

    def __init__(self) -> None:
        self.all: list[Attributed] = []
        self._by_list: dict[str, list[Attributed]] = {}
        self._by_line: dict[tuple[str, str], list[Attributed]] = {}

    def add(self, served: Served) -> Attributed:
        """Add one serving of a list."""
        one = Attributed(served, [], None)
        self.all.append(one)
        for groups, key in self._places_of(served):
            insort(groups.setdefault(key, []), one, key=_time_of)
        return one

    def named(self, recommendation_id: str) -> Sequence[Attributed]:
        """Return the servings of a list, by time."""
        return self._by_list.get(recommendation_id, ())

    def of(self, event: Event, offset: int, window: float) -> Attributed | None:
        """Return the serving that the event at an offset came from; None if there is none."""
        if event.recommendation_id is None:
            found = self._by_line.get((event.user_id, event.item_id), [])
            return _last_before(found, event.timestamp, offset, window)
        found = self._by_list.get(event.recommendation_id, [])
        if not found:
            return None
        first = found[0].served
        if first.user_id not in (None, event.user_id) or event.item_id not in first.item_ids:
            return None
        last = _last_before(found, event.timestamp, offset, window)
        if last is not None:
            return last
        for one in found[bisect_right(found, event.timestamp, key=_time_of) :]:
            if _time_of(one) - event.timestamp > SKEW:
                break
            if one.served.offset <= offset:
                return one
        return None

    def drop(self, before: float) -> None:
        """Remove the servings from before a time (Unix seconds)."""
        old = [one for one in self.all if _time_of(one) < before]
        if not old:
            return
        self.all = [one for one in self.all if _time_of(one) >= before]
        for one in old:
            for groups, key in self._places_of(one.served):
                group = groups.get(key)
                if group is None:  # removed with another serving
                    continue
                del group[: bisect_left(group, before, key=_time_of)]
                if not group:
                    del groups[key]

    def _places_of(self, served: Served) -> Iterator[tuple[dict[Any, list[Attributed]], Any]]:
        """Yield the tables in which a serving stands, each with its key there."""
        yield self._by_list, served.recommendation_id
        if served.user_id is not None:
            for item_id in served.item_ids:
                yield self._by_line, (served.user_id, item_id)


def _time_of(one: Attributed) -> float:
    return one.served.timestamp


def _last_before(
    found: list[Attributed], time: float, offset: int, window: float
) -> Attributed | None:
    at = bisect_right(found, time, key=_time_of)
    while at and time - _time_of(found[at - 1]) <= window:
        at -= 1
        if found[at].served.offset <= offset:
            return found[at]
    return None
