"""Plots of comparisons: accuracy with confidence intervals, and response or fit times."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nearline.common.pictures import BLUE, GREY, VERMILION, check_picture, new_figure, save_picture
from nearline.evaluation.comparison import Comparison
from nearline.evaluation.rating_comparison import RatingComparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class _Line(NamedTuple):
    """One model of the plot.

    Attributes
    ----------
    name : str
        Label of the model.
    mean, low, high : float
        Accuracy, and bounds of its interval.
    seconds, slow : float
        Ends of the line of times: median and 99th percentile of the response time in
        milliseconds, or twice the fit time in seconds.
    """

    name: str
    mean: float
    low: float
    high: float
    seconds: float
    slow: float


def draw(found: Comparison | RatingComparison, path: Path, title: str) -> None:
    """Plot a comparison, with the best model on top, and save it as a .png or .svg file.

    Raises
    ------
    InvalidInput
        `path` has another suffix, or its folder does not exist.
    MissingExtra
        matplotlib is not installed.
    """
    check_picture(path)
    if isinstance(found, RatingComparison):
        lines = [
            _Line(e.model, e.rmse, *e.intervals["rmse"], e.fit.wall_s, e.fit.wall_s)
            for e in found.entries
        ]
        time_label = "Fit time (s)"
    else:
        lines = [
            _Line(
                e.model,
                e.report.means[found.metric],
                *e.report.intervals[found.metric],
                e.answers.median_s * 1e3,
                e.answers.p99_s * 1e3,
            )
            for e in found.entries
        ]
        time_label = "Response time (ms), median to p99"
    figure = new_figure(10, 1.4 + 0.34 * len(lines))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    _draw_accuracy(left, lines, found.metric, from_zero=isinstance(found, Comparison))
    _draw_times(right, lines, time_label)
    left.set_yticks(range(len(lines)), [line.name for line in lines])
    left.invert_yaxis()
    save_picture(figure, path, title)


def _draw_accuracy(axes: "Axes", lines: list[_Line], metric: str, *, from_zero: bool) -> None:
    """Draw the accuracy as bars, or as points if the axis does not start at zero."""
    places = range(len(lines))
    means = [line.mean for line in lines]
    errors = [
        [line.mean - line.low for line in lines],
        [line.high - line.mean for line in lines],
    ]
    if from_zero:
        axes.barh(places, means, height=0.6, color=BLUE)
    axes.errorbar(
        means,
        places,
        xerr=errors,
        fmt="none" if from_zero else "o",
        color=BLUE,
        ecolor="black",
        elinewidth=1.2,
        capsize=3,
    )
    for place, line in zip(places, lines, strict=True):
        axes.annotate(
            f"{line.mean:.4f}",
            (line.high, place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize="small",
            color=GREY,
        )
    axes.margins(x=0.15)
    if from_zero:
        axes.set_xlim(left=0)
    axes.set_xlabel(f"{metric}, 95 % interval" + ("" if from_zero else " (lower is better)"))
    _plain(axes)


def _draw_times(axes: "Axes", lines: list[_Line], label: str) -> None:
    places = range(len(lines))
    axes.hlines(places, [x.seconds for x in lines], [x.slow for x in lines], color=VERMILION)
    axes.plot([line.seconds for line in lines], places, "o", color=VERMILION)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel(label)
    axes.tick_params(left=False)
    _plain(axes)


def _plain(axes: "Axes") -> None:
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
