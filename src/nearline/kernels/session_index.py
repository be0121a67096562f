"""Index of sessions by item, which can be updated while others read it.

Each item has a linked list of the sessions that contain it, the last added first. Entries of the
list are never reused, so that one thread may add and remove sessions while others score.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Doubles = NDArray[np.float64]


class SessionIndex(NamedTuple):
    """Sessions, and the list of the sessions of each item.

    Attributes
    ----------
    starts, lengths, distinct : int64, int32, int32 [sessions]
        First event, number of events and number of items of each session; the numbers are 0 for a
        removed session.
    times : float64 [sessions]
        Time of the last event of each session.
    events : int32 [events]
        Items of all sessions; -1 for those of removed sessions.
    heads : int64 [items]
        First entry of the list of each item; -1 for none.
    counts : int64 [items]
        Number of sessions of each item.
    entry_sessions, entry_places, following : int32, int32, int64 [entries]
        Session of each entry of a list, last place of the item in the session, and next entry of
        the list; -1 for none.
    used : int64 [3]
        Number of sessions, events and entries in use; the arrays may be longer.
    """

    starts: Longs
    lengths: Ints
    distinct: Ints
    times: Doubles
    events: Ints
    heads: Longs
    counts: Longs
    entry_sessions: Ints
    entry_places: Ints
    following: Longs
    used: Longs


def empty_index(sessions: int, events: int, items: int) -> SessionIndex:
    """Create an index without sessions, with room for the given numbers."""
    return SessionIndex(
        np.zeros(sessions, dtype=np.int64),
        np.zeros(sessions, dtype=np.int32),
        np.zeros(sessions, dtype=np.int32),
        np.zeros(sessions, dtype=np.float64),
        np.full(events, -1, dtype=np.int32),
        np.full(items, -1, dtype=np.int64),
        np.zeros(items, dtype=np.int64),
        np.zeros(events, dtype=np.int32),
        np.zeros(events, dtype=np.int32),
        np.full(events, -1, dtype=np.int64),
        np.zeros(3, dtype=np.int64),
    )


def grown(index: SessionIndex, sessions: int, events: int, items: int) -> SessionIndex:
    """Return an index with room for more sessions, events and items; all arrays are copied."""
    larger = empty_index(
        max(sessions, len(index.lengths)),
        max(events, len(index.events)),
        max(items, len(index.heads)),
    )
    for name, old in index._asdict().items():
        getattr(larger, name)[: len(old)] = old
    return larger


@njit(nogil=True, cache=True)
def is_last_place(items: Ints, place: int) -> bool:
    """Return whether the item at `place` does not occur at a later place."""
    last = True
    for later in range(place + 1, len(items)):
        last = last and items[later] != items[place]
    return last


@njit(nogil=True, cache=True)
def _add(index: SessionIndex, items: Ints, time: float) -> None:
    session, first, entry = index.used[0], index.used[1], index.used[2]
    index.starts[session] = first
    index.events[first : first + len(items)] = items
    index.times[session] = time
    index.lengths[session] = len(items)
    index.used[0] = session + 1
    index.used[1] = first + len(items)
    for place in range(len(items)):
        if is_last_place(items, place):
            item = items[place]
            index.distinct[session] += 1
            index.entry_sessions[entry] = session
            index.entry_places[entry] = place
            index.following[entry] = index.heads[item]
            index.heads[item] = entry
            index.counts[item] += 1
            entry += 1
    index.used[2] = entry


@njit(nogil=True, cache=True)
def _sort_entries(index: SessionIndex, sorted_: SessionIndex) -> None:
    at = 0
    for item in range(len(index.heads)):
        entry = index.heads[item]
        if entry >= 0:
            sorted_.heads[item] = at
        while entry >= 0:
            sorted_.entry_sessions[at] = index.entry_sessions[entry]
            sorted_.entry_places[at] = index.entry_places[entry]
            entry = index.following[entry]
            sorted_.following[at] = at + 1 if entry >= 0 else -1
            at += 1
    sorted_.used[2] = at


def with_sorted_entries(index: SessionIndex) -> SessionIndex:
    """Return an equal index in which the entries of a list are adjacent, for faster scoring."""
    n = len(index.events)
    result = index._replace(
        heads=np.full(len(index.heads), -1, dtype=np.int64),
        entry_sessions=np.zeros(n, dtype=np.int32),
        entry_places=np.zeros(n, dtype=np.int32),
        following=np.full(n, -1, dtype=np.int64),
        used=index.used.copy(),
    )
    _sort_entries(index, result)
    return result


@njit(nogil=True, cache=True)
def _find(index: SessionIndex, items: Ints, time: float) -> int:
    """Return a session with the given items and time; -1 if there is none."""
    entry = index.heads[items[0]]
    while entry >= 0:
        session = index.entry_sessions[entry]
        if index.lengths[session] == len(items) and index.times[session] == time:
            first = index.starts[session]
            if np.array_equal(index.events[first : first + len(items)], items):
                return int(session)
        entry = index.following[entry]
    return -1


@njit(nogil=True, cache=True)
def _remove(index: SessionIndex, items: Ints, time: float) -> None:
    session = _find(index, items, time)
    if session < 0:
        return
    for place in range(len(items)):
        if not is_last_place(items, place):
            continue
        item, last = items[place], -1
        entry = index.heads[item]
        while index.entry_sessions[entry] != session:
            last, entry = entry, index.following[entry]
        if last < 0:
            index.heads[item] = index.following[entry]
        else:
            index.following[last] = index.following[entry]
        index.counts[item] -= 1
    first = index.starts[session]
    index.lengths[session] = 0
    index.distinct[session] = 0
    index.times[session] = 0.0
    index.events[first : first + len(items)] = -1


@njit(nogil=True, cache=True)
def add_sessions(index: SessionIndex, indptr: Longs, items: Ints, times: Doubles) -> None:
    """Add sessions, for which the index must have room, in place.

    Parameters
    ----------
    index : SessionIndex
    indptr, items, times : int64 [n + 1], int32 [m], float64 [m]
        Items and times of the events of each session, oldest first; empty sessions are ignored.
    """
    for row in range(len(indptr) - 1):
        first, last = indptr[row], indptr[row + 1]
        if last > first:
            _add(index, items[first:last], times[last - 1])


@njit(nogil=True, cache=True)
def remove_sessions(index: SessionIndex, indptr: Longs, items: Ints, times: Doubles) -> None:
    """Remove sessions with the same items and time of the last event; see `add_sessions`.

    Of several equal ones, one is removed. Sessions that are not in the index are ignored.
    """
    for row in range(len(indptr) - 1):
        first, last = indptr[row], indptr[row + 1]
        if last > first:
            _remove(index, items[first:last], times[last - 1])
