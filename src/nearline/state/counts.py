"""Changes of the counts if new opinions supersede earlier events."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.kernels.opinions import counted_after, superseded
from nearline.schema.histories import Histories
from nearline.state.blocks import Columns, by_user


class Counted(NamedTuple):
    """Events to count or to subtract: items, weights and times, [n] each."""

    items: NDArray[np.int32]
    weights: NDArray[np.float32]
    times: NDArray[np.float64]


class Change(NamedTuple):
    """Change of the counts: events that no longer count, and events that count now."""

    removed: Counted
    added: Counted


def change_of_counts(before: Histories, events: Histories, bound: int) -> Change:
    """Return the change of the counts by new events of users with negative opinions.

    Parameters
    ----------
    before : Histories
        Histories of the users, of at most `bound` events each.
    events : Histories
        New events of the same users, in order of arrival.
    bound : int
        Maximum length of a history. Events that left a history before remain counted as they were.
    """
    was = ~superseded(before.indptr, before.items, before.weights)
    now, new = counted_after(
        *(before.indptr, before.items, before.weights, before.times, was),
        *(events.indptr, events.items, events.weights, events.times, bound),
    )
    again, fresh = _chosen(before, now & ~was), _chosen(events, new)
    added = Counted(
        np.concatenate((again.items, fresh.items)),
        np.concatenate((again.weights, fresh.weights)),
        np.concatenate((again.times, fresh.times)),
    )
    return Change(_chosen(before, was & ~now), added)


def counted_of(columns: Columns, bound: int) -> Counted:
    """Return the counted events of one user, from all events in order of arrival."""
    if not (columns.weights < 0).any():
        return Counted(columns.items, columns.weights, columns.times)
    _, events = by_user(columns)
    nothing = events.take(np.zeros(len(events.items), dtype=np.bool_))
    return change_of_counts(nothing, events, bound).added


def _chosen(rows: Histories, chosen: NDArray[np.bool_]) -> Counted:
    return Counted(rows.items[chosen], rows.weights[chosen], rows.times[chosen])
