"""Models side by side on one split: how accurate, how dear.

Every model is fitted on the same training part, ranks all items for the same users, and is measured
by the same protocol; the test part is looked at once. Settings are searched, where that is asked
for, on a validation part carved from the training part.
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import msgspec
import numpy as np

from nearline.data.dataset import Dataset, Histories
from nearline.data.splits import Split
from nearline.errors import InvalidInput, MissingExtra
from nearline.evaluation.bootstrap import Difference
from nearline.evaluation.cost import (
    SINGLE_ANSWERS,
    AnswerTimes,
    Clock,
    Cost,
    array_bytes,
    measured,
    time_answers,
    warm_up,
)
from nearline.evaluation.protocol import Report, compare, evaluate
from nearline.models.base import Model, Ranking
from nearline.progress import Progress, no_progress

# Finds settings for a model, given the training part.
Tune = Callable[[Model, Dataset], msgspec.Struct]
T = TypeVar("T")


@dataclass(frozen=True)
class Entry:
    """One model in a comparison.

    Attributes
    ----------
    model : str
        Its name.
    settings : dict
        What it was fitted with, searched or not.
    report : Report
        Accuracy with intervals, coverage, novelty.
    tuning_s : float
        Seconds on the wall of the search; 0 where there was none.
    fit : Cost
        Of the one fit with these settings.
    array_bytes : int
        What its snapshot takes.
    answers : AnswerTimes
        Seconds of one answer for one user.
    batch_s : float
        Seconds a user where all are asked for at once.
    behind : Difference or None
        NDCG of this model minus that of the best, over the same users; None for the best.
    """

    model: str
    settings: dict[str, Any]
    report: Report
    tuning_s: float
    fit: Cost
    array_bytes: int
    answers: AnswerTimes
    batch_s: float
    behind: Difference | None = None

    def as_dict(self) -> dict[str, Any]:
        """Everything but the values of single users, ready for JSON."""
        return {
            "model": self.model,
            "settings": self.settings,
            **self.report.as_dict(),
            "behind_the_best": None if self.behind is None else self.behind._asdict(),
            "tuning_s": self.tuning_s,
            "fit": self.fit._asdict(),
            "array_bytes": self.array_bytes,
            "answer": self.answers._asdict(),
            "batch_s_per_user": self.batch_s,
        }


@dataclass(frozen=True)
class Comparison:
    """Models that were compared, the best first, and why others were not."""

    metric: str
    entries: list[Entry]
    left_out: dict[str, str]


def compare_models(
    models: Sequence[Model],
    split: Split,
    *,
    k: int = 10,
    tune: Tune | None = None,
    required: Collection[str] = (),
    seed: int = 0,
    wall: Clock = time.perf_counter,
    cpu: Clock = time.process_time,
    progress: Progress = no_progress,
) -> Comparison:
    """Tune, fit and measure each model on the same split.

    Parameters
    ----------
    models : sequence of Model
        Not fitted; their settings are where a search starts.
    split : Split
        The history of a user is what `train` holds of it.
    tune : callable or None
        Finds settings for a model on the training part (`nearline.search.tuner`); None keeps them
        as they stand.
    required : collection of str
        Names of models that must not be left out.
    wall, cpu : callable
        Clocks, in seconds.
    progress : callable
        Told the progress of a model under its name.

    Raises
    ------
    InvalidInput, MissingExtra
        A required model cannot be fitted, or no model can; no user has anything held out.
    """

    def enter(model: Model) -> Entry:
        told = partial(_tell, progress, model.name)
        return _entry(model, split, k, tune, seed=seed, wall=wall, cpu=cpu, progress=told)

    entries, left_out = each_or_why(models, enter, required)
    metric = f"ndcg@{k}"
    entries.sort(key=lambda entry: -entry.report.means[metric])
    best, *others = entries
    behind = [
        replace(
            entry, behind=compare(entry.report, best.report, np.random.default_rng(seed))[metric]
        )
        for entry in others
    ]
    return Comparison(metric, [best, *behind], left_out)


def each_or_why(
    models: Sequence[Model], enter: Callable[[Model], T], required: Collection[str]
) -> tuple[list[T], dict[str, str]]:
    """Collect what `enter` makes of each model, and why the others refused.

    Raises
    ------
    InvalidInput, MissingExtra
        A model of `required` refused, or all did.
    """
    entries, left_out = [], {}
    for model in models:
        try:
            entries.append(enter(model))
        except (InvalidInput, MissingExtra) as error:
            if model.name in required:
                raise
            left_out[model.name] = str(error)
    if not entries:
        reasons = "; ".join(f"{name}: {why}" for name, why in left_out.items()) or "none was given"
        raise InvalidInput(f"there is no model to compare: {reasons}", field="models")
    return entries, left_out


def readable(model: Model, data: Dataset) -> Dataset:
    """Give `data` as `model` takes it: rated, for a model of ratings.

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


def _entry(
    model: Model,
    split: Split,
    k: int,
    tune: Tune | None,
    *,
    seed: int,
    wall: Clock,
    cpu: Clock,
    progress: Progress,
) -> Entry:
    data = readable(model, split.train)
    start = wall()
    settings = model.config if tune is None else tune(model, data)
    tuning_s = wall() - start if tune is not None else 0.0
    model = type(model)(settings)
    warm_up(model, data)
    fitted, cost = measured(
        lambda: model.fit(data, seed=seed, progress=progress), wall=wall, cpu=cpu
    )
    batch = _Timed(fitted, k, wall)
    report = evaluate(
        batch,
        data.histories,
        split.test,
        k=k,
        popularity=np.bincount(split.train.histories.items, minlength=data.n_items),
        rng=np.random.default_rng(seed),
        progress=progress,
    )
    some = np.random.default_rng(seed).permutation(report.users)[:SINGLE_ANSWERS]
    return Entry(
        model=model.name,
        settings=msgspec.to_builtins(settings),
        report=report,
        tuning_s=tuning_s,
        fit=cost,
        array_bytes=array_bytes(fitted),
        answers=time_answers(fitted, data.histories.select(some), k, wall=wall),
        batch_s=batch.seconds / report.n_users,
    )


class _Timed:
    """A model's lists, and how long they took."""

    def __init__(self, model: Model, k: int, wall: Clock) -> None:
        self._model, self._k, self._wall = model, k, wall
        self.seconds = 0.0

    def __call__(self, histories: Histories) -> Ranking:
        start = self._wall()
        lists = self._model.recommend_from(histories, self._k)
        self.seconds += self._wall() - start
        return lists


def _tell(progress: Progress, name: str, done: int, total: int, _what: str) -> None:
    progress(done, total, name)
