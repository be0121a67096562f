"""The curves of a report as a picture."""

from pathlib import Path

from nearline.bench.plan import Report
from nearline.errors import InvalidInput, MissingExtra

FORMATS = (".png", ".svg")
# Of M. Okabe and K. Ito's palette: told apart by colour-blind people too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#595959")
DPI = 150


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
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise MissingExtra("a picture needs matplotlib: pip install 'nearline[plot]'") from None


def draw(report: Report, path: Path, title: str) -> None:
    """Draw every curve of the report as a line over the same axes.

    Raises
    ------
    InvalidInput, MissingExtra
        As `check_picture`; or the scenario has no curves.
    """
    check_picture(path)
    if not report.curves:
        raise InvalidInput("this scenario has no picture; mixed and scale have one")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
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
    figure.suptitle(title, x=0.01, ha="left", fontsize="medium")
    dated = {"Date": None} if path.suffix.lower() == ".svg" else None
    figure.savefig(path, dpi=DPI, metadata=dated)
