"""Changes of the counts if new opinions supersede earlier events."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.kernels.opinions import superseded, superseded_after
from nearline.schema.histories import Histories


class CountedEvents(NamedTuple):
    """Events to count or to subtract: items, weights and times, [n] each."""

    items: NDArray[np.int32]
    weights: NDArray[np.float32]
    times: NDArray[np.float64]


class Change(NamedTuple):
    """Change of the counts: events that no longer count, and events that count now."""

    removed: CountedEvents
    added: CountedEvents


def change_of_counts(before: Histories, events: Histories) -> Change:
    """Return the change of the counts by new events of users with negative opinions.

    Parameters
    ----------
    before : Histories
        All earlier events of the users that count, see `kernels.counted_events`, sorted by time.
    events : Histories
        New events of the same users, in order of arrival; those that do not count have the weight
        0.
    """
    was = ~superseded(before.indptr, before.items, before.weights)
    old, new = superseded_after(
        *(before.indptr, before.items, before.weights, before.times),
        *(events.indptr, events.items, events.weights, events.times),
    )
    again, fresh = _chosen(before, ~old & ~was), _chosen(events, ~new)
    added = CountedEvents(
        np.concatenate((again.items, fresh.items)),
        np.concatenate((again.weights, fresh.weights)),
        np.concatenate((again.times, fresh.times)),
    )
    return Change(_chosen(before, was & old), added)


def current(rows: Histories) -> CountedEvents:
    """Return the events of complete histories that are not superseded."""
    rows = rows.without_superseded()
    return CountedEvents(rows.items, rows.weights, rows.times)


def _chosen(rows: Histories, chosen: NDArray[np.bool_]) -> CountedEvents:
    return CountedEvents(rows.items[chosen], rows.weights[chosen], rows.times[chosen])
