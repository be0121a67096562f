"""Building blocks of HTML: tables, figures, and bars that are divided by relation."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

# Colours that differ enough from each other, also for colour-blind readers, on light and dark.
COLOURS = {
    "transitions": "#3b82f6",
    "coengagement": "#10a37f",
    "content": "#d18b16",
    "projected": "#0e9fbf",
    "trending": "#e2622b",
    "context": "#d0408b",
}
VECTOR = "#8b5cf6"
OTHER = "#7c8a9c"
GREY = "rgba(128,128,128,.25)"
_CELL = "text-align:left;padding:3px 10px 3px 0;border-bottom:1px solid rgba(128,128,128,.2)"
_NUMBER = _CELL.replace("left", "right") + ";font-variant-numeric:tabular-nums"


class Bar(str):
    """A fragment of HTML that a table shows as it is; other cells are escaped."""

    __slots__ = ()


class Share(NamedTuple):
    """A part of a bar: its label, its amount and its colour."""

    label: str
    amount: float
    colour: str


def colour_of(relation: str) -> str:
    """Return the colour of a relation or tier."""
    return VECTOR if relation.startswith("vector:") else COLOURS.get(relation, OTHER)


def wrap(title: str, *parts: str) -> str:
    """Return one block with a title."""
    head = f"<div style='font-weight:600;margin:2px 0 6px'>{escape(title)}</div>" if title else ""
    return f"<div style='overflow-x:auto'>{head}{''.join(parts)}</div>"


def table(
    head: Sequence[str], rows: Iterable[Sequence[object]], numbers: Sequence[int] = ()
) -> str:
    """Return a table; `numbers` are the columns that are aligned to the right."""

    def cells(row: Sequence[object], tag: str) -> str:
        made = []
        for at, value in enumerate(row):
            style = _NUMBER if at in numbers else _CELL
            text = value if isinstance(value, Bar) else escape(str(value))
            made.append(f"<{tag} style='{style}'>{text}</{tag}>")
        return f"<tr>{''.join(made)}</tr>"

    body = "".join(cells(row, "td") for row in rows)
    return (
        "<table style='border-collapse:collapse;font-size:13px'>"
        f"<thead>{cells(head, 'th')}</thead><tbody>{body}</tbody></table>"
    )


def tiles(values: Iterable[tuple[str, object]]) -> str:
    """Return key figures with their labels, side by side."""
    boxes = (
        "<div style='border:1px solid rgba(128,128,128,.3);border-radius:8px;padding:6px 12px'>"
        f"<div style='font-size:11px;opacity:.75'>{escape(label)}</div>"
        f"<div style='font-size:17px'>{escape(str(value))}</div></div>"
        for label, value in values
    )
    return f"<div style='display:flex;flex-wrap:wrap;gap:8px;margin:4px 0'>{''.join(boxes)}</div>"


def figures(values: Iterable[tuple[str, object]]) -> str:
    """Return a line of figures: ``label value``, separated by dots."""
    shown = " · ".join(f"{escape(label)} {escape(str(value))}".strip() for label, value in values)
    return f"<div style='font-size:12px;opacity:.75;margin:4px 0'>{shown}</div>"


def score_bar(shares: Iterable[Share], most: float, width: int = 160) -> Bar:
    """Return a bar whose full width is `most`, divided into shares; negative ones are hatched."""
    made = []
    for share in shares:
        part = 100 * min(abs(share.amount) / most, 1.0) if most > 0 else 0.0
        fill = (
            share.colour
            if share.amount >= 0
            else f"repeating-linear-gradient(45deg,{share.colour} 0 3px,transparent 3px 6px)"
        )
        label = escape(f"{share.label} {share.amount:.3g}", quote=True)
        made.append(
            f'<i title="{label}" style="display:inline-block;height:10px;width:{part:.2f}%;'
            f'background:{fill}"></i>'
        )
    return Bar(
        f"<span style='display:inline-block;width:{width}px;height:10px;line-height:0;"
        f"white-space:nowrap;overflow:hidden;border-radius:5px;background:{GREY}'>"
        f"{''.join(made)}</span>"
    )


def interval_bar(mean: float, low: float, high: float, most: float, width: int = 200) -> Bar:
    """Return a bar of a mean whose interval is marked; the full width is `most`."""
    scale = 100 / most if most > 0 else 0.0
    label = escape(f"{mean:.4f} [{low:.4f}, {high:.4f}]", quote=True)
    return Bar(
        f'<span title="{label}" style="display:inline-block;position:relative;width:{width}px;'
        f'height:12px;border-radius:3px;background:{GREY}">'
        f"<i style='position:absolute;left:0;top:0;bottom:0;width:{mean * scale:.2f}%;"
        f"background:{COLOURS['transitions']};border-radius:3px'></i>"
        f"<i style='position:absolute;left:{low * scale:.2f}%;top:5px;height:2px;"
        f"width:{max(high - low, 0.0) * scale:.2f}%;background:currentColor'></i></span>"
    )


def legend(relations: Iterable[str]) -> str:
    """Return the names of relations with their colours."""
    names = (
        f"<span style='margin-right:14px'><i style='display:inline-block;width:9px;height:9px;"
        f"border-radius:50%;margin-right:5px;background:{colour_of(name)}'></i>{escape(name)}</span>"
        for name in relations
    )
    return f"<div style='font-size:12px;margin:2px 0 6px'>{''.join(names)}</div>"
