"""Parameters and results of benchmark scenarios."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from msgspec import Struct, structs

from nearline.common.progress import Progress, no_progress


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Parameters of a benchmark run.

    Attributes
    ----------
    folder : Path
        Scratch folder, in which a store is created once per size and copied for each server.
    users, items, history : int
        Number of users and items of the synthetic shop, and mean number of events per user.
    seconds : float
        Duration of one measurement in seconds.
    connections : int
        Number of connections of the load generator.
    rate : float
        Requests per second of scenarios with a fixed rate.
    repeats : int
        Number of measurements, of which figures are medians.
    seed : int
        Seed of all random choices.
    progress : callable
        Progress callback.
    """

    folder: Path
    users: int = 100_000
    items: int = 100_000
    history: int = 10
    seconds: float = 10.0
    connections: int = 32
    rate: float = 1_000.0
    repeats: int = 3
    seed: int = 0
    progress: Progress = no_progress

    def sized(self, **sizes: int) -> "Plan":
        """Return a copy of the plan with other values of the given fields."""
        return replace(self, **sizes)  # type: ignore[arg-type]

    def settings(self) -> dict[str, object]:
        """Return the parameters that affect the figures, by name."""
        names = ("users", "items", "history", "seconds", "connections", "rate", "repeats", "seed")
        return {name: getattr(self, name) for name in names}


class Figure(Struct, frozen=True, kw_only=True):
    """Result of a measurement, with its target if there is one.

    Attributes
    ----------
    name, unit : str
        Name and unit of the figure.
    value, low, high : float
        Median, minimum and maximum over the repeats.
    target : float or None
        Target for two CPU cores and the default sizes; None if there is none.
    at_most : bool
        Whether `target` is an upper bound; otherwise, it is a lower bound.
    """

    name: str
    unit: str
    value: float
    low: float
    high: float
    target: float | None = None
    at_most: bool = True

    @property
    def met(self) -> bool | None:
        """Whether the median meets the target; None if there is none."""
        if self.target is None:
            return None
        return self.value <= self.target if self.at_most else self.value >= self.target


def figure(
    name: str,
    unit: str,
    value: float,
    *,
    at_most: float | None = None,
    at_least: float | None = None,
) -> Figure:
    """Create the figure of one measurement.

    Parameters
    ----------
    name, unit : str
        Name and unit of the figure.
    value : float
        Measured value.
    at_most, at_least : float or None
        Target as an upper or as a lower bound; at most one of them.
    """
    return Figure(
        name=name,
        unit=unit,
        value=value,
        low=value,
        high=value,
        target=at_least if at_most is None else at_most,
        at_most=at_least is None,
    )


@dataclass(frozen=True, kw_only=True)
class ScenarioReport:
    """Results of a scenario.

    Attributes
    ----------
    figures : list of Figure
        Measured figures, in the order of the report.
    notes : list of str
        Conditions of the measurement, such as the load generator.
    curves : dict of str to list of (float, float)
        Points (x, y) of each curve by its label, if the scenario has a plot.
    axes : (str, str)
        Labels of the x and y axis.
    """

    figures: list[Figure]
    notes: list[str] = field(default_factory=list)
    curves: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    axes: tuple[str, str] = ("", "")

    def __getitem__(self, name: str) -> float:
        return next(one.value for one in self.figures if one.name == name)

    def without_targets(self) -> "ScenarioReport":
        """Return the report without targets for the default sizes; a target of 0 always holds."""
        figures = [structs.replace(one, target=None) if one.target else one for one in self.figures]
        return replace(self, figures=figures)

    def as_dict(self) -> dict[str, object]:
        """Return the report as JSON-serialisable types."""
        rows = [
            {
                "name": one.name,
                "unit": one.unit,
                "value": one.value,
                "low": one.low,
                "high": one.high,
                "target": one.target,
                "bound": None if one.target is None else ("<=" if one.at_most else ">="),
                "met": one.met,
            }
            for one in self.figures
        ]
        curves = {name: [list(point) for point in points] for name, points in self.curves.items()}
        return {"figures": rows, "notes": self.notes, "curves": curves}


def repeated(plan: Plan, what: str, measure: Callable[[], Sequence[Figure]]) -> list[Figure]:
    """Repeat a measurement and summarise its figures.

    Parameters
    ----------
    plan : Plan
        Number of repeats, and progress callback.
    what : str
        Name of the measurement for the progress callback.
    measure : callable
        Performs the measurement once and returns its figures, each time in the same order.

    Returns
    -------
    list of Figure
        Median, minimum and maximum of each figure.
    """
    rounds = []
    for number in range(plan.repeats):
        plan.progress(number, plan.repeats, what)
        rounds.append(measure())
    plan.progress(plan.repeats, plan.repeats, what)
    return [_merged(same) for same in zip(*rounds, strict=True)]


def _merged(same: Sequence[Figure]) -> Figure:
    values = [one.value for one in same]
    first = same[0]
    return Figure(
        name=first.name,
        unit=first.unit,
        value=statistics.median(values),
        low=min(values),
        high=max(values),
        target=first.target,
        at_most=first.at_most,
    )
