"""Common parts of all plots: formats, colours, and how a figure is saved."""

from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from nearline.errors import InvalidInput, MissingExtra

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg")
# Colour-blind-safe palette of M. Okabe and K. Ito.
BLUE, VERMILION, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#595959"
DPI = 150
# Characters per inch of a title in matplotlib's default font, with some margin.
CHARACTERS_PER_INCH = 11


def check_picture(path: Path) -> None:
    """Check, before any expensive work, that a plot can be saved to `path`.

    Raises
    ------
    InvalidInput
        The suffix of `path` is neither .png nor .svg, or its folder does not exist.
    MissingExtra
        matplotlib is not installed.
    """
    if path.suffix.lower() not in FORMATS:
        raise InvalidInput(
            f"{path} has no supported picture format; end its name with {' or '.join(FORMATS)}",
            field="picture",
        )
    if not path.parent.is_dir():
        raise InvalidInput(f"there is no folder {path.parent}; create it first", field="picture")
    new_figure(1.0, 1.0)


def new_figure(width: float, height: float) -> "Figure":
    """Create an empty matplotlib figure.

    Parameters
    ----------
    width, height : float
        Size of the figure in inches.

    Raises
    ------
    MissingExtra
        matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("a picture needs matplotlib: pip install 'nearline[plot]'") from None
    return Figure(figsize=(width, height), layout="constrained")


def save_picture(figure: "Figure", path: Path, title: str) -> None:
    """Add a title to a figure and save it in the format that the suffix of `path` names.

    The title is wrapped to the width of the figure. The file contains no date, so equal figures
    give equal bytes.
    """
    lines = fill(title, int(CHARACTERS_PER_INCH * figure.get_figwidth()))
    figure.suptitle(lines, x=0.01, ha="left", fontsize="medium")
    dated = {"Date": None} if path.suffix.lower() == ".svg" else None
    figure.savefig(path, dpi=DPI, metadata=dated)
