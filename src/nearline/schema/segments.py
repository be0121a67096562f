"""Segments of users, for which the weights of relations are learned separately.

A segment is a kind of user in a quarter of the day (UTC): at most twelve. The kind depends only on
the history, so that a list does not depend on who asks for it, and how.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from nearline.schema.histories import Histories

SESSION, NEW, KNOWN = "session", "new", "known"
KINDS = (SESSION, NEW, KNOWN)
HOURS = ("00-06", "06-12", "12-18", "18-24")
SEGMENTS = tuple(f"{kind} {hours}" for kind in KINDS for hours in HOURS)
# Seconds between the last two events of a session, and events from which a user is not new.
PAUSE_SECONDS, FEW = 1_800.0, 5
HOURS_SECONDS, _DAY_SECONDS = 21_600, 86_400

Factors = Mapping[str, float]


def kinds_of(histories: Histories) -> NDArray[np.int64]:
    """Return the kind of user of each history, as an index into `KINDS`: int64 [n].

    A user is in a session if the last two events are at most half an hour apart; otherwise new with
    fewer than five events.
    """
    sizes = np.diff(histories.indptr)
    last = histories.indptr[1:] - 1
    several = sizes >= 2
    gaps = np.full(len(sizes), np.inf)
    gaps[several] = histories.times[last[several]] - histories.times[last[several] - 1]
    kinds: NDArray[np.int64] = np.where(gaps <= PAUSE_SECONDS, 0, np.where(sizes < FEW, 1, 2))
    return kinds


def hours_of(now: float) -> int:
    """Return the quarter of the day (UTC) of a time in Unix seconds, as an index into `HOURS`."""
    return int(now % _DAY_SECONDS // HOURS_SECONDS)


def segment_of(history: Histories, now: float) -> str:
    """Return the segment of a user with one history at a time in Unix seconds."""
    return f"{KINDS[int(kinds_of(history)[0])]} {HOURS[hours_of(now)]}"


def factors_by_hours(overall: Factors, segments: Mapping[str, Factors]) -> tuple[Factors, ...]:
    """Return the factors that a model needs in each quarter of the day.

    The factor of a relation is under its name, and that for a kind of user under ``KIND/NAME``.
    Without segments, the four mappings are the same object.
    """
    if not segments:
        return (overall,) * len(HOURS)
    found = []
    for hours in HOURS:
        flat = dict(overall)
        for kind in KINDS:
            own = segments.get(f"{kind} {hours}", {})
            flat |= {f"{kind}/{name}": factor for name, factor in own.items()}
        found.append(flat)
    return tuple(found)


def by_kind(factors: Factors) -> bool:
    """Return whether factors differ by the kind of user."""
    return any("/" in name for name in factors)


def factors_of_kind(factors: Factors, kind: str, names: tuple[str, ...]) -> dict[str, float]:
    """Return the factor of each relation for a kind of user: its own, or else the overall one."""
    return {name: factors.get(f"{kind}/{name}", factors.get(name, 1.0)) for name in names}
