"""Complete rows of users with attributes: the events that count, from the state or the log."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nearline.data import Histories
from nearline.deployment.changes import stacked
from nearline.kernels import counted_events
from nearline.log import Log
from nearline.models.capabilities import LearnsUsers
from nearline.state import State, UsersChanged


def counted_from_log(log: Log, state: State, user_id: str, end: int) -> Histories:
    """Return the events of a user before an offset that count, as one row sorted by time."""
    found = [event for offset, event in log.events_of(user_id) if offset < end]
    found = found[: counted_events.LIMITS.events]
    weight = state.config.weight
    items = np.array([state.items[event.item_id] for event in found], dtype=np.int32)
    nobody = np.zeros(len(found), dtype=np.int64)
    times = np.array([event.timestamp for event in found], dtype=np.float64)
    weights = np.array([weight(event.event) for event in found], dtype=np.float32)
    limits = state.config.limits
    counts = counted_events.counted_events(nobody, items, weights, times, limits)
    order = np.argsort(times, kind="stable")
    order = order[counts[order]]
    indptr = np.array([0, len(order)], dtype=np.int64)
    return Histories(indptr, items[order], weights[order], times[order])


def with_complete_rows(changed: UsersChanged, rows: Histories, log: Log, state: State) -> Histories:
    """Return rows of `changed` in which incomplete ones are read from the log."""
    return _completed(rows, changed.complete, changed.user_ids, log, state, changed.offset)


def all_users(state: State, log: Log, model: LearnsUsers) -> Histories | None:
    """Return the events that count and the features of all users with attributes.

    None if the model uses no attributes. The lock of the state must be held.
    """
    user_ids = state.profiles.user_ids()
    if model.user_features([]) is None:
        return None
    counted, every, arrived = state.counted_of(user_ids)
    complete = every | (arrived <= counted_events.LIMITS.events)
    rows = _completed(counted, complete, user_ids, log, state, state.offset)
    features = model.user_features([state.user_attributes(user_id) for user_id in user_ids])
    return Histories(rows.indptr, rows.items, rows.weights, rows.times, features)


def _completed(
    rows: Histories,
    complete: NDArray[np.bool_],
    user_ids: Sequence[str],
    log: Log,
    state: State,
    end: int,
) -> Histories:
    if complete.all():
        return rows
    size = len(rows)
    others = [
        counted_from_log(log, state, user_ids[at], end) for at in np.flatnonzero(~complete).tolist()
    ]
    order = np.arange(size)
    order[~complete] = np.arange(size, size + len(others))
    return stacked([rows, *others]).select(order)
