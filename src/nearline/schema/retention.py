"""Retention: how long events of each kind are kept."""

import re
from collections.abc import Mapping
from typing import Any

from nearline.errors import InvalidInput
from nearline.schema.records import Event, ItemsShown, Record

# Kind of `ItemsShown`, and the name for all kinds without a period of their own.
IMPRESSION, OTHERS = "impression", "*"
UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400, "y": 365 * 86_400}
LONGEST_SECONDS = 200 * UNITS["y"]
# Smaller times are positions in tables without dates, see `nearline.data.clock`.
FIRST_TIME = 1e8
_PERIOD = re.compile(r"([0-9]{1,9})([smhdwy])")

# Time in Unix seconds before which events of a kind are expired, by kind.
Cutoffs = Mapping[str, float]


def check_retention(retention: Mapping[str, Any]) -> dict[str, int]:
    """Return the seconds for which events of each kind are kept.

    Parameters
    ----------
    retention : mapping of str to str
        Period of each kind of event, such as ``{"view": "90d"}``.

    Raises
    ------
    InvalidInput
        A period is not a whole number of at least 1 with a unit.
    """
    return {kind: _seconds(kind, text) for kind, text in retention.items()}


def _seconds(kind: str, text: object) -> int:
    found = _PERIOD.fullmatch(text) if isinstance(text, str) else None
    seconds = int(found[1]) * UNITS[found[2]] if found else 0
    if not kind or not 0 < seconds <= LONGEST_SECONDS:
        raise InvalidInput(
            f"retention of {kind!r:.100} is {text!r:.100}; give a kind of event and a whole number "
            'with a unit (s, m, h, d, w or y) up to 200y, such as view = "90d"',
            field="retention",
        )
    return seconds


def cutoffs_at(retention: Mapping[str, Any], now: float) -> dict[str, float]:
    """Return the time before which events of each kind are expired at the time `now`."""
    return {kind: now - seconds for kind, seconds in check_retention(retention).items()}


def cutoff_of(record: Record, cutoffs: Cutoffs) -> float | None:
    """Return the time before which a record is expired; None if records like it are kept."""
    if isinstance(record, Event):
        kind = record.event
    elif isinstance(record, ItemsShown):
        kind = IMPRESSION
    else:
        return None
    return cutoffs.get(kind, cutoffs.get(OTHERS))


def is_expired(record: Record, cutoffs: Cutoffs) -> bool:
    """Return whether a record is expired. Events without a real time never are."""
    cutoff = cutoff_of(record, cutoffs)
    if cutoff is None or not isinstance(record, Event | ItemsShown):
        return False
    return FIRST_TIME <= record.timestamp < cutoff
