"""Plot of the curves in the report of a scenario."""

from pathlib import Path

from nearline.bench.plan import ScenarioReport
from nearline.common.pictures import (
    BLUE,
    GREEN,
    GREY,
    PURPLE,
    VERMILION,
    check_picture,
    new_figure,
    save_picture,
)
from nearline.errors import InvalidInput

COLOURS = (BLUE, VERMILION, GREEN, PURPLE, GREY)


def draw(report: ScenarioReport, path: Path, title: str) -> None:
    """Plot all curves of a report and save the plot as a .png or .svg file.

    Raises
    ------
    InvalidInput
        `path` has another suffix, its folder does not exist, or the scenario has no curves.
    MissingExtra
        matplotlib is not installed.
    """
    check_picture(path)
    if not report.curves:
        raise InvalidInput("this scenario has no picture; mixed and scale have one")
    figure = new_figure(8, 4.5)
    axes = figure.subplots()
    for at, (name, points) in enumerate(report.curves.items()):
        x, y = zip(*points, strict=True)
        mark = "o-" if len(points) < 20 else "-"
        axes.plot(x, y, mark, color=COLOURS[at % len(COLOURS)], label=name)
    axes.set_xlabel(report.axes[0])
    axes.set_ylabel(report.axes[1])
    axes.set_ylim(bottom=0)
    axes.grid(color="#DDDDDD", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    save_picture(figure, path, title)
