"""Comparisons as text tables: lists of rows, the first of which is the header."""

from nearline.evaluation.comparison import Comparison
from nearline.evaluation.cost import Cost
from nearline.evaluation.rating_comparison import RatingComparison

Rows = list[list[str]]


def list_rows(found: Comparison) -> tuple[Rows, Rows]:
    """Return two tables of a comparison of ranking models: accuracy and cost."""
    k = found.entries[0].report.k
    metrics = [f"{name}@{k}" for name in ("recall", "precision", "mrr", "coverage", "novelty")]
    accuracy = [["model", found.metric, "behind the best", *metrics]]
    for entry in found.entries:
        means = entry.report.means
        behind = "" if entry.behind is None else _interval_text(*entry.behind)
        accuracy.append(
            [
                entry.model,
                _interval_text(means[found.metric], *entry.report.intervals[found.metric]),
                behind,
                *(f"{means[name]:.4f}" if name in means else "-" for name in metrics),
            ]
        )
    cost = [["model", "tuning s", "fit s", "cpu s", "fit peak MB", "model MB", "answer ms"]]
    cost[0] += ["p99 ms", "batch ms per user"]
    for entry in found.entries:
        cost.append(
            [
                entry.model,
                *_cost_cells(entry.tuning_s, entry.fit),
                f"{entry.array_bytes / 1e6:,.1f}",
                f"{entry.answers.median_s * 1e3:.3f}",
                f"{entry.answers.p99_s * 1e3:.3f}",
                f"{entry.batch_s * 1e3:.4f}",
            ]
        )
    return accuracy, cost


def also_rows(found: Comparison) -> list[Rows]:
    """Return a list with one table of the accuracy in each additional scenario.

    The list is empty if there are no additional scenarios.
    """
    names = list(found.entries[0].also)
    if not names:
        return []
    rows = [["model", *(f"{name}: {found.metric}" for name in names)]]
    for entry in found.entries:
        cells = []
        for name in names:
            report = entry.also[name]
            cells.append(
                _interval_text(report.means[found.metric], *report.intervals[found.metric])
            )
        rows.append([entry.model, *cells])
    counts = (f"{found.entries[0].also[name].n_users:,}" for name in names)
    rows.append(["users evaluated", *counts])
    return [rows]


def rating_rows(found: RatingComparison) -> tuple[Rows, Rows]:
    """Return two tables of a comparison of rating models: accuracy and cost."""
    accuracy = [["model", "rmse", "behind the best", "mae"]]
    cost = [["model", "tuning s", "fit s", "cpu s", "fit peak MB", "model MB", "ns per rating"]]
    for entry in found.entries:
        behind = "" if entry.behind is None else _interval_text(*entry.behind)
        rmse = _interval_text(entry.rmse, *entry.intervals["rmse"])
        mae = _interval_text(entry.mae, *entry.intervals["mae"])
        accuracy.append([entry.model, rmse, behind, mae])
        cells = _cost_cells(entry.tuning_s, entry.fit)
        size = f"{entry.array_bytes / 1e6:,.1f}"
        cost.append([entry.model, *cells, size, f"{entry.predict_s * 1e9:,.0f}"])
    return accuracy, cost


def _cost_cells(tuning_s: float, fit: Cost) -> list[str]:
    """Return cells with the seconds of tuning, and wall-clock and CPU seconds and MB of the fit."""
    peak = "-" if fit.peak_bytes is None else f"{fit.peak_bytes / 1e6:,.1f}"
    return [f"{tuning_s:.1f}", f"{fit.wall_s:.3f}", f"{fit.cpu_s:.3f}", peak]


def _interval_text(mean: float, low: float, high: float) -> str:
    """Format a mean with its interval, such as ``0.0518 [0.0497, 0.0540]``."""
    return f"{mean:.4f} [{low:.4f}, {high:.4f}]"
