"""Plot of a replay: accuracy over time, and overall accuracy with confidence intervals."""

from pathlib import Path
from typing import TYPE_CHECKING

from nearline.common.pictures import BLUE, GREY, VERMILION, check_picture, new_figure, save_picture
from nearline.replay.policies import POLICIES
from nearline.replay.report import ReplayReport
from nearline.schema import DAY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colours distinguish what a policy updates during the day; models trained only once are dotted.
_COLOURS = {(True, True): BLUE, (True, False): VERMILION, (False, False): GREY}
_STYLES = {
    policy.name: (_COLOURS[policy.follows, policy.learns], "-" if policy.retrained else ":")
    for policy in POLICIES
}


def draw(found: ReplayReport, path: Path, title: str) -> None:
    """Plot a replay and save it as a .png or .svg file.

    Raises
    ------
    InvalidInput
        `path` has another suffix, or its folder does not exist.
    MissingExtra
        matplotlib is not installed.
    """
    check_picture(path)
    figure = new_figure(10, 3.8)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    _draw_windows(left, found)
    _draw_means(right, found)
    save_picture(figure, path, title)


def _draw_windows(axes: "Axes", found: ReplayReport) -> None:
    begin = found.windows[0]["from"]
    middles = [(window["from"] + window["to"]) / 2 - begin for window in found.windows]
    for policy in found.outcome.policies:
        colour, style = _STYLES[policy]
        axes.plot(
            [middle / DAY for middle in middles],
            [window["ndcg"][policy] for window in found.windows],
            style,
            color=colour,
            label=policy,
        )
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"days of replay, {len(found.windows)} windows with equal numbers of events")
    axes.set_ylabel(f"ndcg@{found.outcome.k}")
    axes.legend(frameon=False, fontsize="small")
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_means(axes: "Axes", found: ReplayReport) -> None:
    policies = found.outcome.policies
    for place, policy in enumerate(policies):
        colour, style = _STYLES[policy]
        mean, (low, high) = found.means["ndcg"][policy], found.intervals["ndcg"][policy]
        axes.plot([low, high], [place, place], style, color=colour)
        axes.plot([mean], [place], "o", color=colour)
        axes.annotate(
            f"{mean:.4f}",
            (mean, place),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            fontsize="small",
        )
    axes.set_yticks(range(len(policies)), policies)
    axes.set_ylim(len(policies) - 0.5, -0.7)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"ndcg@{found.outcome.k} of all events, 95 % interval")
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
