"""Comparison of the item IDs in events with those in the catalogue."""

from typing import Any, NamedTuple

import numpy as np

from nearline.common.counts import count
from nearline.state.state import State

SHOWN = 3


class CatalogueMatch(NamedTuple):
    """Number of items that occur in events, in the catalogue and in both.

    Attributes
    ----------
    in_events : int
        Number of items with an event of positive weight.
    matched : int
        Number of these items that have a catalogue entry.
    in_catalogue : int
        Number of catalogue entries.
    events_only, catalogue_only : list of str
        Up to three IDs of items that occur only in events, and only in the catalogue.
    similar : tuple of (str, str) or None
        An ID in the events and one in the catalogue that differ only in leading zeros, case, spaces
        or a final ``.0``.
    """

    in_events: int
    matched: int
    in_catalogue: int
    events_only: list[str]
    catalogue_only: list[str]
    similar: tuple[str, str] | None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return self._asdict()

    def __str__(self) -> str:
        if not (self.in_events and self.in_catalogue):
            return ""
        lines = [
            f"{self.matched:,} of {count(self.in_events, 'item')} in the events "
            f"{'is' if self.in_events == 1 else 'are'} in the catalogue, which has "
            f"{count(self.in_catalogue, 'item')}."
        ]
        for where, ids in (
            ("only in the events", self.events_only),
            ("only in the catalogue", self.catalogue_only),
        ):
            if ids:
                lines.append(f"Found {where}: {', '.join(map(repr, ids))}.")
        if self.similar:
            lines.append(
                f"{self.similar[0]!r} in the events may be {self.similar[1]!r} in the catalogue: "
                "write ids the same way in both files."
            )
        return "\n".join(lines)


def match_catalogue(state: State) -> CatalogueMatch:
    """Compare the items of events with the entries of the catalogue.

    Notes
    -----
    O(items) time; the lock of the state is held while numbers are copied.
    """
    with state.lock:
        totals = state.counters.totals()
        entries = np.zeros(len(totals), dtype=np.bool_)
        entries[[index for index, _ in state.catalogue.entries()]] = True
        ids = state.items.table()
    wanted = totals > 0
    events_only, catalogue_only = (
        np.flatnonzero(wanted & ~entries),
        np.flatnonzero(entries & ~wanted),
    )
    return CatalogueMatch(
        int(wanted.sum()),
        int((wanted & entries).sum()),
        int(entries.sum()),
        [ids[index] for index in events_only[:SHOWN]],
        [ids[index] for index in catalogue_only[:SHOWN]],
        _similar([ids[at] for at in events_only], [ids[at] for at in catalogue_only]),
    )


def _similar(events: list[str], catalogue: list[str]) -> tuple[str, str] | None:
    plain = {_plain(item_id): item_id for item_id in reversed(catalogue)}
    for item_id in events:
        if _plain(item_id) in plain:
            return item_id, plain[_plain(item_id)]
    return None


def _plain(item_id: str) -> str:
    return item_id.strip().casefold().removesuffix(".0").lstrip("0")
