"""Compare the item ids of events with those of the catalogue."""

from typing import Any, NamedTuple

import numpy as np

from nearline.common.counts import count
from nearline.state.state import State

SHOWN = 3


class CatalogueMatch(NamedTuple):
    """How the items of events and the entries of the catalogue match.

    Attributes
    ----------
    in_events : int
        Items that events name (those with an event of positive weight).
    matched : int
        Of these, the items that the catalogue has an entry for.
    in_catalogue : int
        Entries of the catalogue.
    events_only, catalogue_only : list of str
        Up to three ids of items that are on one side alone.
    similar : tuple of (str, str) or None
        An id of the events and one of the catalogue that differ by leading zeros, case, spaces or
        a final ``.0`` alone.
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
            ("in the events alone", self.events_only),
            ("in the catalogue alone", self.catalogue_only),
        ):
            if ids:
                lines.append(f"Found {where}: {', '.join(map(repr, ids))}.")
        if self.similar:
            lines.append(
                f"{self.similar[0]!r} of the events may be {self.similar[1]!r} of the catalogue: "
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
