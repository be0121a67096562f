"""The events of a user on which a state depends, so that the others need not be applied."""

from collections.abc import Callable, Sequence
from operator import itemgetter

import numpy as np

from nearline.kernels import counted_events as counting
from nearline.schema import Event
from nearline.state.blocks import Columns, columns_of
from nearline.state.config import StateConfig
from nearline.state.vocabulary import Vocabulary

Pairs = Sequence[tuple[int, Event]]


def counted(
    erased: Pairs, left: Pairs, index: Vocabulary, config: StateConfig
) -> tuple[Columns, list[tuple[int, Event]]]:
    """Return the events of a user that counted before an erasure, also as columns of user 0.

    Parameters
    ----------
    erased, left : sequence of (int, Event)
        All events of the user, in order of arrival.
    index : Vocabulary
        Indices of the items.
    config : StateConfig
        Weights of the kinds of events, and which events count.
    """
    most = counting.LIMITS.events  # later events do not count
    first = sorted([*erased[:most], *left[:most]], key=itemgetter(0))[:most]
    rows = [(0, index[e.item_id], config.weight(e.event), e.timestamp) for _, e in first]
    columns = columns_of(rows)
    which = counting.counted_events(*columns, config.limits)
    chosen = [pair for pair, counts in zip(first, which.tolist(), strict=True) if counts]
    users, items, weights, times = columns
    return Columns(users[which], items[which], weights[which], times[which]), chosen


def relevant(events: Pairs, bound: int, weight: Callable[[str], float]) -> Pairs:
    """Return the events of a user that matter, in order of arrival.

    These are the first `CountedLimits.events`, of which some count; the latest `bound`, which the
    history contains; and the first of negative weight, if there is one.

    Parameters
    ----------
    events : sequence of (int, Event)
        All events of the user, in order of arrival.
    bound : int
        Number of events that the history stores.
    weight : callable
        Maps the kind of an event to its weight.
    """
    first = counting.LIMITS.events
    if len(events) <= max(first, bound):
        return events
    times = np.fromiter((event.timestamp for _, event in events), np.float64, len(events))
    chosen = np.zeros(len(events), dtype=np.bool_)
    chosen[:first] = True
    chosen[np.argsort(times, kind="stable")[-bound:]] = True
    kinds = [event.event for _, event in events]
    against = {kind for kind in set(kinds) if weight(kind) < 0}
    if against:
        chosen[next(at for at, kind in enumerate(kinds) if kind in against)] = True
    return [events[at] for at in np.flatnonzero(chosen).tolist()]
