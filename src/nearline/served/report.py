"""Report on served lists: click-through and conversion, by position, tier, scenario and more."""

from collections.abc import Callable, Iterable
from html import escape
from typing import Any

from msgspec import Struct

from nearline.served.attribution import CLICKS, CONVERSIONS, Attributed

# Largest number of values of one grouping; those with the most items are shown.
MAX_VALUES = 100
GROUPINGS = ("position", "tier", "scenario", "variant", "model", "policy", "chosen")
HEADER = ("", "lists", "items", "clicked", "click-through", "bought", "conversion")


class ReportLine(Struct, frozen=True, kw_only=True):
    """Numbers of some of the served lines.

    Attributes
    ----------
    value : str
        Position (from 1), tier, scenario, ... of the lines; empty for all lines.
    lists, items : int
        Servings with at least one such line, and lines that were shown.
    clicked, converted : int
        Lines with at least one event that opens the item, and that buys it.
    click_through, conversion : float
        `clicked` and `converted`, divided by `items`; 0 without items.
    """

    value: str
    lists: int
    items: int
    clicked: int
    converted: int
    click_through: float
    conversion: float


class ServedReport(Struct, frozen=True, kw_only=True):
    """What served lists led to.

    Attributes
    ----------
    since, until : float or None
        Times between which the lists were served, in Unix seconds.
    users : int
        Number of different users.
    seen : int
        Number of servings of which the shop reported the items that were seen; of the others, all
        items count as shown.
    explored : int
        Lines that differ from the list without exploration.
    events : dict of str to int
        Number of attributed events by kind.
    total : ReportLine
    by : dict of str to list of ReportLine
        Lines by position, tier, scenario, variant (``EXPERIMENT: VARIANT``), model, policy and
        chosen policy (``SCENARIO: POLICY``).
    """

    since: float | None
    until: float | None
    users: int
    seen: int
    explored: int
    events: dict[str, int]
    total: ReportLine
    by: dict[str, list[ReportLine]]

    def table(self, grouping: str) -> list[list[str]]:
        """Return a grouping as rows of text, with a header and the total at the end."""
        lines = [*self.by.get(grouping, ()), self.total]
        rows = [[grouping, *HEADER[1:]]]
        for line in lines:
            rows.append(
                [
                    "total" if line is self.total else line.value,
                    f"{line.lists:,}",
                    f"{line.items:,}",
                    f"{line.clicked:,}",
                    f"{line.click_through:.2%}",
                    f"{line.converted:,}",
                    f"{line.conversion:.2%}",
                ]
            )
        return rows

    def _repr_html_(self) -> str:
        parts = []
        for grouping, lines in self.by.items():
            if lines:
                header, *rows = self.table(grouping)
                head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
                body = "".join(
                    f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>"
                    for row in rows
                )
                parts.append(f"<table><tr>{head}</tr>{body}</table>")
        return "".join(parts)


class _Sum:
    """Counts of one value."""

    def __init__(self) -> None:
        self.lists, self.items, self.clicked, self.converted = 0, 0, 0, 0
        self._last: Attributed | None = None

    def add(self, one: Attributed, *, clicked: bool, converted: bool) -> None:
        self.lists += self._last is not one
        self._last = one
        self.items += 1
        self.clicked += clicked
        self.converted += converted

    def line(self, value: str) -> ReportLine:
        n = max(self.items, 1)
        return ReportLine(
            value=value,
            lists=self.lists,
            items=self.items,
            clicked=self.clicked,
            converted=self.converted,
            click_through=self.clicked / n,
            conversion=self.converted / n,
        )


def _values(one: Attributed, at: int) -> dict[str, tuple[str, ...]]:
    served = one.served
    variants = tuple(f"{name}: {variant}" for name, variant in sorted(served.experiments.items()))
    if served.teams:
        variants = (*variants, f"team: {served.teams[at]}")
    return {
        "position": (str(at + 1),),
        "tier": (served.tiers[at],),
        "scenario": (served.scenario or "",),
        "variant": variants,
        "model": (served.model,),
        "policy": (served.policy,),
        "chosen": () if served.chosen is None else (f"{served.scenario}: {served.chosen}",),
    }


def make_report(
    attributed: Iterable[Attributed],
    *,
    since: float | None = None,
    until: float | None = None,
    scenario: str | None = None,
) -> ServedReport:
    """Summarise servings and what they led to.

    Parameters
    ----------
    since, until : float or None
        Only lists that were served from `since` on and before `until`, in Unix seconds.
    scenario : str or None
        Only lists of this scenario.
    """
    total, sums = _Sum(), {name: dict[str, _Sum]() for name in GROUPINGS}
    users, events, seen, explored = set[str](), dict[str, int](), 0, 0
    for one in attributed:
        served = one.served
        if not _within(served.timestamp, since, until) or scenario not in (None, served.scenario):
            continue
        if served.user_id is not None:
            users.add(served.user_id)
        seen += one.seen is not None
        for outcome in one.outcomes:
            events[outcome.kind] = events.get(outcome.kind, 0) + 1
        clicks, buys = one.items_with(CLICKS), one.items_with(CONVERSIONS)
        for at, item_id in one.shown:
            explored += at in served.explored
            hit = {"clicked": item_id in clicks, "converted": item_id in buys}
            total.add(one, **hit)
            for grouping, values in _values(one, at).items():
                for value in values:
                    sums[grouping].setdefault(value, _Sum()).add(one, **hit)
    return ServedReport(
        since=since,
        until=until,
        users=len(users),
        seen=seen,
        explored=explored,
        events=dict(sorted(events.items())),
        total=total.line(""),
        by={grouping: _lines(found, grouping) for grouping, found in sums.items()},
    )


def _lines(found: dict[str, _Sum], grouping: str) -> list[ReportLine]:
    most = sorted(found.items(), key=lambda pair: -pair[1].items)[:MAX_VALUES]
    order: Callable[[tuple[str, _Sum]], Any] = (
        (lambda pair: int(pair[0])) if grouping == "position" else (lambda pair: pair[0])
    )
    return [one.line(value) for value, one in sorted(most, key=order)]


def _within(time: float, since: float | None, until: float | None) -> bool:
    return (since is None or time >= since) and (until is None or time < until)
