"""What all pictures share: their formats, their colours, and how they reach a file."""

from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from nearline.errors import InvalidInput, MissingExtra

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg")
# Of M. Okabe and K. Ito's palette: told apart by colour-blind people too.
BLUE, VERMILION, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#595959"
DPI = 150
# Of a title in matplotlib's own font, with some room left.
LETTERS_AN_INCH = 11


def check_picture(path: Path) -> None:
    """Refuse, before any work, a picture that could not be drawn.

    Raises
    ------
    InvalidInput
        `path` names another format, or its folder is not there.
    MissingExtra
        matplotlib is not installed.
    """
    if path.suffix.lower() not in FORMATS:
        raise InvalidInput(
            f"{path} is no picture that can be drawn; end its name with {' or '.join(FORMATS)}",
            field="picture",
        )
    if not path.parent.is_dir():
        raise InvalidInput(f"there is no folder {path.parent}; make it first", field="picture")
    new_figure(1.0, 1.0)


def new_figure(width: float, height: float) -> "Figure":
    """Make an empty figure of so many inches; `MissingExtra` where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("a picture needs matplotlib: pip install 'nearline[plot]'") from None
    return Figure(figsize=(width, height), layout="constrained")


def save_picture(figure: "Figure", path: Path, title: str) -> None:
    """Write a figure under its title; the same figure gives the same bytes, with no date inside."""
    lines = fill(title, int(LETTERS_AN_INCH * figure.get_figwidth()))
    figure.suptitle(lines, x=0.01, ha="left", fontsize="medium")
    dated = {"Date": None} if path.suffix.lower() == ".svg" else None
    figure.savefig(path, dpi=DPI, metadata=dated)
