"""Counts of what items led to, by the definition: every list and event anew, in the slowest way."""

from collections import Counter
from collections.abc import Sequence

from nearline.schema import DAY, Event
from nearline.served import Served
from nearline.served.attribution import CLICKS, HOUR, SKEW, kind_of, window_of
from nearline.served.rows import ItemsSeen

Counts = dict[tuple[int, str, int], tuple[int, int]]


def naive_counts(
    entries: Sequence[Served | ItemsSeen], events: Sequence[Event], at: float, days: int
) -> Counts:
    """Return showings and clicks by day, item and position, from before a time (Unix seconds)."""
    first = (at // DAY - days + 1) * DAY
    numbered = [
        (place, one)
        for place, one in enumerate(entries)
        if isinstance(one, Served) and first <= one.timestamp < at
    ]
    places, lists = [place for place, _ in numbered], [one for _, one in numbered]
    horizon = max(window_of(kind, {}) for kind in CLICKS) + HOUR
    hits = {number: set[str]() for number in range(len(lists))}
    for offset, event in enumerate(events):
        kind = kind_of(event.event)
        if kind in CLICKS and event.timestamp < at:
            number = _serving_of(event, offset, lists, window_of(kind, {}))
            if number is not None:
                hits[number].add(event.item_id)
    shown, clicked = Counter[tuple[int, str, int]](), Counter[tuple[int, str, int]]()
    for number, one in enumerate(lists):
        reports = [
            set(report.item_ids)
            for place, report in enumerate(entries)
            if isinstance(report, ItemsSeen)
            and report.recommendation_id == one.recommendation_id
            and report.timestamp < at
            and (one.timestamp, places[number]) < (report.timestamp, place)
            and report.timestamp <= one.timestamp + horizon
        ]
        for line, item in enumerate(one.item_ids):
            if not reports or any(item in report for report in reports):
                key = int(one.timestamp // DAY), item, line
                shown[key] += 1
                clicked[key] += item in hits[number]
    return {key: (count, clicked[key]) for key, count in shown.items()}


def _serving_of(event: Event, offset: int, lists: Sequence[Served], window: float) -> int | None:
    fit = [
        (one.timestamp, number)
        for number, one in enumerate(lists)
        if event.item_id in one.item_ids
        and one.offset <= offset
        and (
            one.user_id == event.user_id
            if event.recommendation_id is None
            else one.recommendation_id == event.recommendation_id
            and one.user_id in (None, event.user_id)
        )
    ]
    before = [pair for pair in fit if 0 <= event.timestamp - pair[0] <= window]
    if before:
        return max(before)[1]
    after = [pair for pair in fit if 0 < pair[0] - event.timestamp <= SKEW]
    return min(after)[1] if after and event.recommendation_id is not None else None
