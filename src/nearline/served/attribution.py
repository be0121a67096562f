"""What served lists led to: events are attributed to the list that they came from.

An event that names a list (`recommendation_id`) counts for its last serving before the event, if
the list has the item and was made for the user. An event without a name counts for the last list
with the item that the user was served. In both cases the event must follow within the window of its
kind. An event counts for one serving at most.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

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


class Led(NamedTuple):
    """An event that a serving led to: its kind, item, value and time in Unix seconds."""

    kind: str
    item_id: str
    value: float | None
    timestamp: float


class Attributed(NamedTuple):
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
    servings = _Servings(entries)
    if not servings.all:
        return []
    for _, record in read(min(one.served.offset for one in servings.all)):
        if isinstance(record, Event):
            kind = kind_of(record.event)
            serving = servings.of(record, window_of(kind, windows))
            if serving is not None:
                serving.outcomes.append(Led(kind, record.item_id, record.value, record.timestamp))
    return servings.all


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


class _Servings:
    """Servings by list, and by user and item."""

    def __init__(self, entries: Iterable[Served | ItemsSeen]) -> None:
        lists, seen = list[Served](), dict[str, set[str]]()
        for entry in entries:
            if isinstance(entry, Served):
                lists.append(entry)
            else:
                seen.setdefault(entry.recommendation_id, set()).update(entry.item_ids)
        lists.sort(key=lambda one: one.timestamp)
        self.all = [Attributed(one, [], seen.get(one.recommendation_id)) for one in lists]
        self._by_list: dict[str, list[Attributed]] = {}
        self._by_line: dict[tuple[str, str], list[Attributed]] = {}
        for one in self.all:
            served = one.served
            self._by_list.setdefault(served.recommendation_id, []).append(one)
            if served.user_id is not None:
                for item_id in served.item_ids:
                    self._by_line.setdefault((served.user_id, item_id), []).append(one)

    def of(self, event: Event, window: float) -> Attributed | None:
        """Return the serving that an event came from; None if there is none."""
        if event.recommendation_id is None:
            found = self._by_line.get((event.user_id, event.item_id), ())
            return _last_before(found, event.timestamp, window)
        found = self._by_list.get(event.recommendation_id, ())
        if not found:
            return None
        first = found[0].served
        if first.user_id not in (None, event.user_id) or event.item_id not in first.item_ids:
            return None
        last = _last_before(found, event.timestamp, window)
        if last is None and 0 < first.timestamp - event.timestamp <= SKEW:
            return found[0]
        return last


def _last_before(
    found: "list[Attributed] | tuple[()]", time: float, window: float
) -> Attributed | None:
    at = bisect_right(found, time, key=lambda one: one.served.timestamp)
    if not at or time - found[at - 1].served.timestamp > window:
        return None
    return found[at - 1]
