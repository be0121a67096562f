"""Events on an item over time."""

import numpy as np

from nearline.errors import InvalidInput
from nearline.recommend.lists import View
from nearline.recommend.lookups import known_item
from nearline.schema import DAY
from nearline.schema.answers import ItemTrend, TrendDay

MAX_DAYS = 366


def trend(item_id: str, days: int, view: View) -> ItemTrend:
    """Count the events on an item in each of the last days, the current one included.

    Days are those of UTC. Events are taken from the stored histories, which hold the newest events
    of each user. Reading them takes about 20 nanoseconds for each event.
    """
    item = known_item(item_id, view.state)
    if not 1 <= days <= MAX_DAYS:
        raise InvalidInput(f"days is {days}; it must be 1 to {MAX_DAYS}", field="days")
    rows = view.state.histories_of(view.state.user_ids())
    times = rows.times[rows.items == item]
    last = int(view.now // DAY)
    ages = last - np.floor_divide(times, DAY).astype(np.int64)
    counts = np.bincount(ages[(ages >= 0) & (ages < days)], minlength=days)[::-1]
    first = last - days + 1
    return ItemTrend(
        item_id=item_id,
        days=tuple(
            TrendDay(start=(first + at) * DAY, events=int(count)) for at, count in enumerate(counts)
        ),
    )
