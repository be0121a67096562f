"""HTML of evaluations, comparisons, replays and imports.

The arguments are texts and numbers, since the packages of the reports stand above this one.
"""

from collections.abc import Mapping, Sequence
from html import escape

from nearline.notebook.html import Bar, figures, interval_bar, table, tiles, wrap

Interval = tuple[float, float]
_LINES = ("#3b82f6", "#d6453d", "#10a37f", "#d18b16", "#8b5cf6", "#7c8a9c")


def bars_html(
    caption: str,
    means: Mapping[str, float],
    intervals: Mapping[str, Interval],
    more: Mapping[str, Sequence[str]] | None = None,
    head: Sequence[str] = (),
    about: Sequence[tuple[str, object]] = (),
) -> str:
    """Return each mean with its interval, and further cells.

    Means with intervals have bars of one scale. Others, such as a coverage or a novelty, may have
    another unit and have none, unless no mean has an interval.
    """
    bounds = {name: intervals.get(name, (mean, mean)) for name, mean in means.items()}
    drawn = {name: high for name, (_, high) in bounds.items() if name in intervals or not intervals}
    most = max(drawn.values(), default=0.0)
    rows = []
    for name, mean in means.items():
        low, high = bounds[name]
        bar = interval_bar(mean, low, high, most) if name in drawn else ""
        text = f"[{low:.4f}, {high:.4f}]" if name in intervals else ""
        rows.append([name, bar, f"{mean:.4f}", text, *((more or {}).get(name, ()))])
    body = table(["", "", "mean", "95 % interval", *head], rows, (2,))
    return wrap(caption, body, figures(about) if about else "")


def tables_html(caption: str, *tables: Sequence[Sequence[str]]) -> str:
    """Return tables whose first rows are their headers."""
    made = (table(rows[0], rows[1:], range(1, len(rows[0]))) for rows in tables)
    return wrap(caption, "<br>".join(made))


def curves_html(caption: str, series: Mapping[str, Sequence[float]], label: str) -> str:
    """Return curves over windows of equal size, as an SVG picture with a legend."""
    width, height = 560, 170
    most = max((value for values in series.values() for value in values), default=0.0) or 1.0
    drawn, names = [], []
    for at, (name, values) in enumerate(series.items()):
        colour = _LINES[at % len(_LINES)]
        step = (width - 10) / max(len(values) - 1, 1)
        points = " ".join(
            f"{5 + x * step:.1f},{height - 8 - (height - 20) * value / most:.1f}"
            for x, value in enumerate(values)
        )
        drawn.append(
            f"<polyline points='{points}' fill='none' stroke='{colour}' stroke-width='2'/>"
        )
        names.append(f"<span style='color:{colour};margin-right:12px'>■ {escape(name)}</span>")
    picture = (
        f"<svg viewBox='0 0 {width} {height}' width='{width}' role='img' "
        f"aria-label='{escape(caption, quote=True)}'><line x1='5' x2='{width - 5}' "
        f"y1='{height - 8}' y2='{height - 8}' stroke='currentColor' stroke-opacity='.4'/>"
        f"<text x='5' y='11' font-size='11' fill='currentColor'>{escape(label)}, "
        f"up to {most:.3f}</text>{''.join(drawn)}</svg>"
    )
    return wrap(caption, f"<div style='font-size:12px'>{''.join(names)}</div>", picture)


def import_html(
    numbers: Sequence[tuple[str, str]], lines: Sequence[str], problems: Sequence[str]
) -> str:
    """Return the summary of an import: key figures, what was found, and what was left out."""
    found = "".join(f"<div style='font-size:13px'>{escape(line)}</div>" for line in lines)
    items = "".join(f"<li>{escape(line)}</li>" for line in problems)
    left_out = f"<ul style='margin:4px 0;font-size:13px'>{items}</ul>" if items else ""
    return wrap("Import", tiles(numbers), found, Bar(left_out))
