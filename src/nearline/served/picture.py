"""Picture of a report: click-through and conversion by position, tier, scenario and variant."""

from pathlib import Path

from nearline.common.pictures import BLUE, VERMILION, new_figure, save_picture
from nearline.served.report import ServedReport

SHOWN = ("position", "tier", "scenario", "variant")
MOST_BARS = 15


def draw_report(report: ServedReport, path: Path) -> None:
    """Save the picture of a report as PNG or SVG.

    Raises
    ------
    MissingExtra
        matplotlib is not installed.
    """
    figure = new_figure(9.0, 6.0)
    for at, grouping in enumerate(SHOWN, start=1):
        axes = figure.add_subplot(2, 2, at)
        lines = report.by[grouping][:MOST_BARS]
        places = list(range(len(lines)))
        clicks = [line.click_through for line in lines]
        axes.bar([x - 0.2 for x in places], clicks, 0.4, color=BLUE, label="click-through")
        buys = [line.conversion for line in lines]
        axes.bar([x + 0.2 for x in places], buys, 0.4, color=VERMILION, label="conversion")
        names = [line.value or "(none)" for line in lines]
        axes.set_xticks(places, [name[:16] for name in names], rotation=45, ha="right")
        axes.set_title(f"by {grouping}", fontsize="medium")
        axes.yaxis.set_major_formatter(lambda share, _: f"{share:.1%}")
        if at == 1:
            axes.legend(fontsize="small")
    total = report.total
    save_picture(
        figure,
        path,
        f"{total.lists:,} lists to {report.users:,} users: click-through "
        f"{total.click_through:.2%}, conversion {total.conversion:.2%}",
    )
