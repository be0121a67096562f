"""Tuning, fitting and timing of models, common to all comparisons."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

import msgspec
import numpy as np

from nearline.common.progress import Progress
from nearline.data.dataset import Dataset
from nearline.errors import InvalidInput, MissingExtra
from nearline.evaluation.bootstrap import Difference
from nearline.evaluation.cost import Clock, Cost, measured, warm_up
from nearline.models.base import Model

# Searches settings of a model on the training part; returns an unfitted model with these settings.
Tune = Callable[[Model, Dataset], Model]


class Named(Protocol):
    """Protocol of objects with a name."""

    @property
    def name(self) -> str:
        """Name of the object."""
        ...


class Compared(Protocol):
    """Protocol of dataclasses that describe one model of a comparison."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def behind(self) -> Difference | None:
        """Difference between this model and the best one; None for the best."""
        ...


N = TypeVar("N", bound=Named)
C = TypeVar("C", bound=Compared)


class FittedModel(NamedTuple):
    """A fitted model and the cost of fitting it.

    Attributes
    ----------
    model : Model
        The fitted model.
    settings : dict
        Settings of the fit, after the search if there was one.
    tuning_s : float
        Wall-clock seconds of the search; 0 without one.
    cost : Cost
        Cost of the final fit.
    """

    model: Model
    settings: dict[str, Any]
    tuning_s: float
    cost: Cost


@dataclass(frozen=True)
class Fitter:
    """Tuning and fitting of models with the same seed, with measurement of the cost.

    Attributes
    ----------
    tune : callable or None
        Searches settings of a model on the training part; None disables the search.
    seed : int
        Seed of every fit.
    wall, cpu : callable
        Clocks of wall-clock and CPU time, in seconds.
    """

    tune: Tune | None
    seed: int
    wall: Clock
    cpu: Clock

    def fit(self, model: Model, data: Dataset, progress: Progress) -> FittedModel:
        """Search the settings of `model` if `tune` is set, then fit it and measure the cost."""
        tuning_s = 0.0
        if self.tune is not None:
            start = self.wall()
            model = self.tune(model, data)
            tuning_s = self.wall() - start
        warm_up(model, data)
        fitted, cost = measured(
            lambda: model.refit(data, seed=self.seed, progress=progress),
            wall=self.wall,
            cpu=self.cpu,
        )
        return FittedModel(fitted, msgspec.to_builtins(model.config), tuning_s, cost)


def data_for(model: Model, data: Dataset) -> Dataset:
    """Return `data` in the form that `model` needs.

    For a model that needs ratings, they become the weights of the interactions.

    Raises
    ------
    InvalidInput
        The model needs ratings, and some interaction has none.
    """
    if not model.needs_ratings:
        return data
    rated = np.isfinite(data.values)
    if not rated.all() or not len(rated):
        raise InvalidInput(
            f"{model.name} needs ratings; {int(rated.sum()):,} of {len(rated):,} interactions have "
            "a value",
            field="values",
        )
    return data.rated()


def rank_models(
    models: Sequence[N],
    evaluate: Callable[[N], C],
    required: Collection[str],
    *,
    loss: Callable[[C], float],
    difference: Callable[[C, C], Difference],
) -> tuple[list[C], dict[str, str]]:
    """Evaluate each model and sort the results by ascending loss.

    Parameters
    ----------
    models : sequence
        Models to evaluate.
    evaluate : callable
        Evaluates one model and returns its result.
    required : collection of str
        Names of models whose failure is an error; other models are left out if they fail.
    loss : callable
        Returns the number by which results are sorted; the smallest is the best.
    difference : callable
        Returns the difference between a result and the best one.

    Returns
    -------
    list, dict of str to str
        The results, best first, with the field `behind` set for all but the best; and the names of
        models that were left out, each with the reason.

    Raises
    ------
    InvalidInput, MissingExtra
        A required model failed, or all models did.
    """
    entries, left_out = [], {}
    for model in models:
        try:
            entries.append(evaluate(model))
        except (InvalidInput, MissingExtra) as error:
            if model.name in required:
                raise
            left_out[model.name] = str(error)
    if not entries:
        reasons = "; ".join(f"{name}: {why}" for name, why in left_out.items()) or "none was given"
        raise InvalidInput(f"there is no model to compare: {reasons}", field="models")
    best, *others = sorted(entries, key=loss)
    ranked = [best, *(replace(entry, behind=difference(entry, best)) for entry in others)]
    return ranked, left_out
