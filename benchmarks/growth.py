"""Growth of fit time with interactions, users, items and factors, each at 1x, 4x and 16x.

    python -m benchmarks.growth [--repeats 3] [--picture docs/growth.svg]

Measured: a sweep of implicit ALS, a fit of item-item cosine (100 neighbours), and the 100 best
unseen items of all users, including their fold-in. At 16x there are 69,000 users, 13,500 items, 5
million interactions and 64 factors (256 where the number of factors grows). Data sets with fewer
users or items also have fewer interactions; fewer interactions are drawn at random. Each figure is
the minimum of several runs, each in a process of its own, to reduce the influence of other load.
"""

import argparse
import tempfile
from collections.abc import Iterator
from math import log
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.als import SETTINGS, K, own, save
from benchmarks.item_cosine import own as own_cosine
from benchmarks.machine import write
from benchmarks.synthetic_matrix import synthetic_matrix
from scipy import sparse

SHARE = 1 / 4
FACTORS, MOST_FACTORS = 64, 256
SIZES = (1, 4, 16)
AXES = ("interactions", "users", "items", "factors")
WHAT = ("ALS sweep", "item cosine fit", "top-100 of all users")
# Item cosine has no factors.
PAIRS = [(axis, what) for axis in AXES for what in WHAT if (axis, what) != (AXES[3], WHAT[1])]


def growing(full: "sparse.csr_array") -> Iterator[tuple[str, int, "sparse.csr_array", int]]:
    """Yield axis, size (1x, 4x, 16x), matrix and factors, with one axis growing at a time."""
    rng = np.random.default_rng(0)
    chances = rng.random(full.nnz)
    users = np.repeat(np.arange(full.shape[0]), np.diff(full.indptr))
    for size in SIZES:
        part = SIZES[-1] // size
        kept = chances < 1 / part
        pairs = (users[kept], full.indices[kept])
        ones = np.ones(int(kept.sum()), dtype=np.float32)
        yield "interactions", size, sparse.csr_array((ones, pairs), shape=full.shape), FACTORS
        yield "users", size, full[: full.shape[0] // part], FACTORS
        yield "items", size, full[:, : full.shape[1] // part], FACTORS
        yield "factors", size, full, MOST_FACTORS // part


def seconds(matrix: "sparse.csr_array", factors: int, folder: Path) -> dict[str, float]:
    """Measure each of the three operations once."""
    path, given = save(matrix, folder, "growing"), str(folder / "given.npz")
    asked = {**SETTINGS, "matrix": path, "factors": factors, "given": given}
    fitted = own({**asked, "task": "fit", "iterations": 4})
    lists = own({**asked, "task": "recommend", "k": K, "lists": str(folder / "lists.npz")})
    cosine = own_cosine({"matrix": path, "k": K})
    times = (fitted["sweep"], cosine["wall"], lists["with_fold_in"])
    return dict(zip(WHAT, times, strict=True))


def measure(repeats: int) -> list[dict[str, Any]]:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for axis, size, matrix, factors in growing(synthetic_matrix(SHARE)):
            runs = [seconds(matrix, factors, Path(name)) for _ in range(repeats)]
            best = {what: min(run[what] for run in runs) for what in WHAT}
            sizes = {"users": matrix.shape[0], "items": matrix.shape[1], "factors": factors}
            row = {"axis": axis, "size": size, "interactions": matrix.nnz, **sizes}
            rows.append({**row, "seconds": best})
            print(axis, size, {what: f"{value:.3g}" for what, value in best.items()}, flush=True)
    return rows


def exponents(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the exponent with which time grows from the smallest to the largest size."""
    found = []
    for axis, what in PAIRS:
        one, *_, last = (row for row in rows if row["axis"] == axis)
        times = last["seconds"][what] / one["seconds"][what]
        power = log(times) / log(last["size"] / one["size"])
        found.append({"axis": axis, "what": what, "times": times, "exponent": power})
    return found


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw time against size, both logarithmic, one panel per operation; dotted: linear."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # Colours of the palette of M. Okabe and K. Ito.
    looks = zip(AXES, ("#0072B2", "#D55E00", "#009E73", "#CC79A7"), "osD^", strict=True)
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    panels = figure.subplots(1, len(WHAT))
    for axis, colour, marker in looks:
        times = [row["seconds"] for row in rows if row["axis"] == axis]
        for panel, what in zip(panels, WHAT, strict=True):
            if (axis, what) in PAIRS:
                panel.plot(SIZES, [t[what] for t in times], color=colour, marker=marker, label=axis)
    for panel, what in zip(panels, WHAT, strict=True):
        panel.set_xscale("log", base=2)
        panel.set_yscale("log", base=10)
        low = min(row["seconds"][what] for row in rows)
        panel.plot(SIZES, [low * size for size in SIZES], ":", color="#595959", label="linear")
        panel.set_xticks(SIZES, [f"{size}x" for size in SIZES])
        panel.yaxis.set_major_formatter("{x:g}")
        panel.yaxis.set_minor_formatter("")
        panel.set_title(what, fontsize="medium")
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("seconds")
    panels[0].legend(frameon=False, fontsize="small")
    with mpl.rc_context({"svg.hashsalt": "growth", "svg.fonttype": "none"}):
        dated = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(path, metadata=dated, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--picture", type=Path, help="a .svg or .png file to write")
    asked = parser.parse_args()
    rows = measure(asked.repeats)
    powers = exponents(rows)
    for row in powers:
        print(f"{row['what']:24}{row['axis']:14}{row['times']:8.1f} x  ^{row['exponent']:.2f}")
    if asked.picture:
        draw(rows, asked.picture)
    settings = {"share": SHARE, "repeats": asked.repeats, "k": K}
    print(write("growth", settings, [*rows, *powers]))


if __name__ == "__main__":
    main()
