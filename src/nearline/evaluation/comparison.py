"""Models side by side on one split: how accurate, how dear.

Every model is fitted on the same training part, ranks all items for the same users, and is measured
by the same protocol; the test part is looked at once. Settings are searched, where that is asked
for, on a validation part carved from the training part.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec
import numpy as np

from nearline.common.progress import Progress, no_progress
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
from nearline.evaluation.protocol import Recommend, Report, compare, evaluate
from nearline.models.base import Model, Ranking

# Finds settings for a model, given the training part; returns a model to `refit`.
Tune = Callable[[Model, Dataset], Model]
T = TypeVar("T")


class Named(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...


N = TypeVar("N", bound=Named)


class Contestant(NamedTuple):
    """A model under a name of its own.

    Attributes
    ----------
    name : str
        What the table calls it.
    model : Model
        Not fitted; its settings are where a search starts.
    vectors : bool
        Whether it is shown the items' vector columns.
    """

    name: str
    model: Model
    vectors: bool = True


class Question(NamedTuple):
    """What else all models are asked: lists for other histories, or other things to find.

    Attributes
    ----------
    histories, test : Histories
        One row a user of the training part.
    """

    histories: Histories
    test: Histories


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
    also : dict of str to Report
        Accuracy in what else was asked, by its name.
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
    also: dict[str, Report] = field(default_factory=dict)
    behind: Difference | None = None

    def as_dict(self) -> dict[str, Any]:
        """Everything but the values of single users, ready for JSON."""
        return {
            "model": self.model,
            "settings": self.settings,
            **self.report.as_dict(),
            "also": {name: report.as_dict() for name, report in self.also.items()},
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
    models: Sequence[Model | Contestant],
    split: Split,
    *,
    k: int = 10,
    also: Mapping[str, Question] | None = None,
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
    models : sequence of Model or Contestant
        Not fitted; their settings are where a search starts. A model goes by its own name.
    split : Split
        The history of a user is what `train` holds of it.
    also : mapping of str to Question or None
        What else every model is asked once it is fitted.
    tune : callable or None
        Finds settings for a model on the training part (`nearline.training.search.tuner`); None
        keeps them as they stand.
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

    def enter(one: Contestant) -> Entry:
        told = partial(_tell, progress, one.name)
        return _entry(one, split, k, also or {}, tune, seed=seed, wall=wall, cpu=cpu, progress=told)

    contestants = [
        one if isinstance(one, Contestant) else Contestant(one.name, one) for one in models
    ]
    entries, left_out = collect_or_skip(contestants, enter, required)
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


def collect_or_skip(
    models: Sequence[N], enter: Callable[[N], T], required: Collection[str]
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
    one: Contestant,
    split: Split,
    k: int,
    also: Mapping[str, Question],
    tune: Tune | None,
    *,
    seed: int,
    wall: Clock,
    cpu: Clock,
    progress: Progress,
) -> Entry:
    data = readable(one.model, split.train)
    if not one.vectors:
        data = replace(data, vectors={}, encoder="")
    model = one.model
    start = wall()
    if tune is not None:
        model = tune(model, data)
    tuning_s = wall() - start if tune is not None else 0.0
    warm_up(model, data)
    fitted, cost = measured(
        lambda: model.refit(data, seed=seed, progress=progress), wall=wall, cpu=cpu
    )
    batch = _Timed(fitted, k, wall)
    popularity = np.bincount(split.train.histories.items, minlength=data.n_items)

    def judged(recommend: Recommend, question: Question) -> Report:
        rng = np.random.default_rng(seed)
        told = {"k": k, "popularity": popularity, "rng": rng, "progress": progress}
        return evaluate(recommend, question.histories, question.test, **told)  # type: ignore[arg-type]

    report = judged(batch, Question(data.histories, split.test))
    some = np.random.default_rng(seed).permutation(report.users)[:SINGLE_ANSWERS]
    return Entry(
        model=one.name,
        settings=msgspec.to_builtins(model.config),
        report=report,
        tuning_s=tuning_s,
        fit=cost,
        array_bytes=array_bytes(fitted),
        answers=time_answers(fitted, data.histories.select(some), k, wall=wall),
        batch_s=batch.seconds / report.n_users,
        also={
            name: judged(partial(fitted.recommend_from, k=k), asked) for name, asked in also.items()
        },
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
