"""Counts of what items led to, kept up to date without counting again.

Lists are counted by the day (UTC) on which they were served. Later entries of the served log and
later events change the counts of lists that are still *open*: served so recently that an event may
follow them. Their number doesn't depend on the length of the log. What belongs to lists that are
closed, such as an event that arrives days late, makes the count begin again at the first day that
it can belong to, so the counts are always equal to a count of everything.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from nearline.schema import DAY, Event, Record
from nearline.served.attribution import (
    CLICKS,
    HOUR,
    SKEW,
    Attributed,
    Led,
    Servings,
    kind_of,
    window_of,
)
from nearline.served.rows import ItemsSeen, Served

# Seconds by which events and reports may be late until closed lists are counted again.
LATENESS = HOUR
# Lists are shorter; a key of the counts is the number of an item times this, plus the position.
MAX_PLACES = 4_096
# Parts of scores are counted in units of 1 / UNITS, so that their sums are exact.
UNITS = 2**16

Longs = NDArray[np.int64]
Doubles = NDArray[np.float64]
Read = Callable[[int], Iterable[tuple[int, Record]]]


class LinearSums(Struct):
    """Sums over lines, for a linear model of the click-through.

    Attributes
    ----------
    squares : int64 [relations, relations]
        Sum of x x^T, where x are the parts of a line in `UNITS`.
    clicked : int64 [relations]
        Sum of x of the lines that were clicked.
    """

    squares: Longs
    clicked: Longs


class DayCounts(Struct):
    """Showings and clicks of the lists of one day.

    Attributes
    ----------
    shown, clicked : dict of int to int
        By number of the item times `MAX_PLACES` plus position.
    linear : dict
        By names of the relations.
    """

    shown: dict[int, int] = field(default_factory=dict)
    clicked: dict[int, int] = field(default_factory=dict)
    linear: dict[tuple[str, ...], LinearSums] = field(default_factory=dict)


class Counted(NamedTuple):
    """The counts of some days, weighted by their age.

    Attributes
    ----------
    items, places : int64 [n]
        Numbers of items and positions from 0; each pair occurs at most once.
    shown, clicked : float64 [n]
        Weighted showings and clicks.
    linear : dict
        Weighted sums of x x^T, and of x of the clicked lines, by names of the relations.
    """

    items: Longs
    places: Longs
    shown: Doubles
    clicked: Doubles
    linear: dict[tuple[str, ...], tuple[Doubles, Doubles]]


class OutcomeCounts:
    """Counts the showings and clicks of the lists of the last days.

    A report of what was seen of a list counts for its servings before the report, for as long as a
    click could follow: the longest window of a kind of click, and `LATENESS`.

    Parameters
    ----------
    entries : callable
        Returns the entries of the served log that were added since the last call; with a time
        (Unix seconds), those from this time on.
    read : callable
        Returns the records of the log from an offset on.
    end : callable
        Returns the end of the log.
    windows : mapping of str to float
        Windows of attribution by kind of event.
    days : int
        Number of days that count, including the present one.

    Attributes
    ----------
    item_ids : list of str
        IDs of items by number.
    """

    def __init__(
        self,
        entries: Callable[[float | None], Iterable[Served | ItemsSeen]],
        read: Read,
        end: Callable[[], int],
        windows: Mapping[str, float],
        days: int,
    ) -> None:
        self.item_ids: list[str] = []
        self._entries, self._read, self._end, self._length = entries, read, end, days
        self._windows = {kind: window_of(kind, windows) for kind in CLICKS}
        self._horizon = max(self._windows.values()) + LATENESS
        self._numbers: dict[str, int] = {}
        self._days: dict[int, DayCounts] = {}
        self._servings = Servings()
        self._offset = 0
        # Lists from the first time on are open; entries and events before the second are counted;
        # lists from the third on count.
        self._open_from, self._until = -math.inf, -math.inf
        self._first = -math.inf
        self._later: list[Served | ItemsSeen] = []
        self._pending: list[tuple[int, Event]] = []

    def advance(self, at: float) -> None:
        """Count what was served and happened before a time (Unix seconds) and isn't counted yet."""
        self._first = first = (at // DAY - self._length + 1) * DAY
        for day in [day for day in self._days if day * DAY < first]:
            del self._days[day]
        self._close(first)
        missed = first if self._until == -math.inf else self._catch_up(at)
        if missed < math.inf:
            self._restart(max(missed // DAY * DAY, first))
            self._catch_up(at)
        self._close(at - self._horizon)
        self._until = at

    def counted(self, weight: Callable[[float], float]) -> Counted:
        """Return the counts of all days, each with the weight of its begin (Unix seconds)."""
        keys, shown, clicked = list[Longs](), list[Doubles](), list[Doubles]()
        linear: dict[tuple[str, ...], tuple[Doubles, Doubles]] = {}
        for day, counts in sorted(self._days.items()):
            factor, n = weight(day * DAY), len(counts.shown)
            keys.append(np.fromiter(counts.shown.keys(), np.int64, n))
            shown.append(factor * np.fromiter(counts.shown.values(), np.float64, n))
            hits = (counts.clicked.get(key, 0) for key in counts.shown)
            clicked.append(factor * np.fromiter(hits, np.float64, n))
            for names, sums in counts.linear.items():
                n = len(names)
                squares, moments = linear.setdefault(names, (np.zeros((n, n)), np.zeros(n)))
                squares += factor / UNITS**2 * sums.squares
                moments += factor / UNITS * sums.clicked
        if not keys:
            none, empty = np.empty(0, np.int64), np.empty(0)
            return Counted(none, none, empty, empty, {})
        unique, where = np.unique(np.concatenate(keys), return_inverse=True)
        return Counted(
            unique // MAX_PLACES,
            unique % MAX_PLACES,
            np.asarray(np.bincount(where, np.concatenate(shown), len(unique)), np.float64),
            np.asarray(np.bincount(where, np.concatenate(clicked), len(unique)), np.float64),
            linear,
        )

    def _catch_up(self, at: float) -> float:
        """Count the news before `at`; return the time from which must be counted again, or inf."""
        end, missed, later = self._end(), math.inf, list[Served | ItemsSeen]()
        # Read after the end of the log, so that they contain the lists of all events before it.
        news = [*self._later, *self._entries(None)]
        for entry in sorted(news, key=lambda one: one.timestamp):
            if entry.timestamp >= at:
                later.append(entry)
            elif entry.timestamp < self._until:  # the clock was set back
                if entry.timestamp >= self._first:
                    missed = min(missed, entry.timestamp - self._horizon)
            elif entry.timestamp >= self._first:
                self._add(entry)
        self._later = later
        pending, self._pending = self._pending, []
        for offset, event in (*pending, *self._events(end)):
            missed = min(missed, self._learn(event, offset, at))
        return missed

    def _restart(self, first: float) -> None:
        """Forget the days from `first` (Unix seconds) on, and let them be counted again."""
        for day in [day for day in self._days if day * DAY >= first]:
            del self._days[day]
        self._servings, self._pending = Servings(), []
        self._open_from, self._until = first, -math.inf
        end = self._end()
        self._later = list(self._entries(first))
        lists = [entry for entry in self._later if isinstance(entry, Served)]
        self._offset = min((one.offset for one in lists), default=end)

    def _close(self, before: float) -> None:
        """Forget which lists were served before a time; their counts remain."""
        self._servings.drop(before)
        self._open_from = max(self._open_from, before)

    def _events(self, end: int) -> Iterator[tuple[int, Event]]:
        """Yield the events from the last offset on, before `end`, with their offsets."""
        if self._offset < end:
            for offset, record in self._read(self._offset):
                if offset >= end:
                    break
                if isinstance(record, Event):
                    yield offset, record
            self._offset = end

    def _add(self, entry: Served | ItemsSeen) -> None:
        if isinstance(entry, Served):
            self._count(self._servings.add(entry), 1)
            return
        for one in self._servings.named(entry.recommendation_id):
            if entry.timestamp - one.served.timestamp <= self._horizon:
                self._count(one, -1)
                one.seen = (one.seen or set()).union(entry.item_ids)
                self._count(one, 1)

    def _learn(self, event: Event, offset: int, at: float) -> float:
        """Count an event; return the time from which must be counted again, or inf."""
        kind = kind_of(event.event)
        window = self._windows.get(kind)
        if window is None:
            return math.inf
        if event.timestamp >= at:
            self._pending.append((offset, event))
            return math.inf
        one = self._servings.of(event, offset, window)
        if one is None:
            if event.recommendation_id is not None and event.timestamp + SKEW >= at:
                self._pending.append((offset, event))  # the list may have been served just after it
            # It may belong to a list that is closed, unless that is counted again just now.
            begin = max(event.timestamp - window, self._first)
            late = begin < self._open_from and event.timestamp + SKEW >= self._first
            return begin if late and self._until > -math.inf else math.inf
        if all(led.item_id != event.item_id for led in one.outcomes):
            self._count(one, -1)
            one.outcomes.append(Led(kind, event.item_id, event.value, event.timestamp))
            self._count(one, 1)
        return math.inf

    def _count(self, one: Attributed, sign: int) -> None:
        """Add a serving to the counts of its day, or subtract what was added before."""
        served = one.served
        counts = self._days.setdefault(int(served.timestamp // DAY), DayCounts())
        hits, lines = {led.item_id for led in one.outcomes}, one.shown
        for place, item_id in lines:
            key = self._number(item_id) * MAX_PLACES + place
            _change(counts.shown, key, sign)
            if item_id in hits:
                _change(counts.clicked, key, sign)
        if served.parts and lines:
            names = tuple(sorted(served.parts))
            places = [place for place, _ in lines]
            parts = np.array([served.parts[name] for name in names])[:, places]
            x = np.rint(parts * UNITS).astype(np.int64)
            hit = np.array([item_id in hits for _, item_id in lines])
            sums = counts.linear.setdefault(
                names,
                LinearSums(np.zeros((len(names),) * 2, np.int64), np.zeros(len(names), np.int64)),
            )
            sums.squares += sign * (x @ x.T)
            sums.clicked += sign * x[:, hit].sum(axis=1)

    def _number(self, item_id: str) -> int:
        number = self._numbers.get(item_id)
        if number is None:
            number = self._numbers[item_id] = len(self.item_ids)
            self.item_ids.append(item_id)
        return number


def _change(counts: dict[int, int], key: int, by: int) -> None:
    """Add to a count; remove it if it becomes 0."""
    changed = counts.get(key, 0) + by
    if changed:
        counts[key] = changed
    else:
        del counts[key]
