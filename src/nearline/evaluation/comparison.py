"""Comparison of ranking models on one split: accuracy and cost.

All models are fitted on the same training part and rank all items for the same users. The test part
is used only for the final measurement; an optional search of settings uses a validation part of the
training data.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from nearline.common.progress import Progress, no_progress
from nearline.data.dataset import Histories
from nearline.data.splits import Split
from nearline.evaluation.bootstrap import Difference
from nearline.evaluation.cost import (
    SINGLE_ANSWERS,
    AnswerTimes,
    Clock,
    Cost,
    array_bytes,
    time_answers,
)
from nearline.evaluation.fitting import Fitter, Tune, data_for, rank_models
from nearline.evaluation.protocol import Recommend, Report, compare, evaluate
from nearline.models.base import Model, Ranking
from nearline.notebook.reports import bars_html, tables_html


class Contestant(NamedTuple):
    """A model to compare, with its name in the results.

    Attributes
    ----------
    name : str
        Name in the results.
    model : Model
        Unfitted model; its settings are the starting point of a search.
    vectors : bool
        Whether the model may use the items' vector columns.
    """

    name: str
    model: Model
    vectors: bool = True


class Scenario(NamedTuple):
    """An additional evaluation of the fitted models, such as one on cold users or rare items.

    Attributes
    ----------
    histories, test : Histories
        Known and held-out interactions, one row per user of the training part.
    """

    histories: Histories
    test: Histories


@dataclass(frozen=True)
class Entry:
    """Results of one model in a comparison.

    Attributes
    ----------
    model : str
        Name of the model.
    settings : dict
        Settings of the fit, after the search if there was one.
    report : Report
        Accuracy with confidence intervals, coverage, exposure and novelty.
    tuning_s : float
        Wall-clock seconds of the search; 0 without one.
    fit : Cost
        Cost of the final fit.
    array_bytes : int
        Size of the fitted arrays.
    answers : AnswerTimes
        Response time for single users.
    batch_s : float
        Seconds per user when all users are ranked in batches.
    also : dict of str to Report
        Reports of the additional scenarios, by name.
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
        """Return all fields except per-user values, as JSON-serialisable types."""
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
    """Result of a comparison of ranking models.

    Attributes
    ----------
    metric : str
        Name of the metric by which the models are sorted, such as ``ndcg@10``.
    entries : list of Entry
        Results of the models, the best first.
    left_out : dict of str to str
        Names of models that could not be compared, each with the reason.
    """

    metric: str
    entries: list[Entry]
    left_out: dict[str, str]

    def _repr_html_(self) -> str:
        from nearline.evaluation.comparison_tables import list_rows

        reports = {entry.model: entry.report for entry in self.entries}
        means = {name: report.means[self.metric] for name, report in reports.items()}
        bounds = {name: report.intervals[self.metric] for name, report in reports.items()}
        return bars_html(self.metric, means, bounds) + tables_html("", *list_rows(self))


def compare_models(
    models: Sequence[Model | Contestant],
    split: Split,
    *,
    k: int = 10,
    also: Mapping[str, Scenario] | None = None,
    tune: Tune | None = None,
    required: Collection[str] = (),
    exclude_seen: bool = True,
    seed: int = 0,
    wall: Clock = time.perf_counter,
    cpu: Clock = time.process_time,
    progress: Progress = no_progress,
) -> Comparison:
    """Tune, fit and evaluate models on the same split, and sort them by NDCG.

    Parameters
    ----------
    models : sequence of Model or Contestant
        Unfitted models; their settings are the starting point of a search. A `Model` appears
        under its own name.
    split : Split
        Training and test part. The training part contains the histories of the users.
    also : mapping of str to Scenario or None
        Additional scenarios in which each fitted model is evaluated, by name.
    tune : callable or None
        Searches settings of a model on the training part (`nearline.training.search.tuner`);
        None keeps the given settings.
    required : collection of str
        Names of models whose failure is an error; other models are left out if they fail.
    exclude_seen : bool
        Whether items of the history are masked.
    wall, cpu : callable
        Clocks, in seconds.
    progress : callable
        Progress callback. Its third argument is the name of the model.

    Raises
    ------
    InvalidInput, MissingExtra
        A required model cannot be fitted, no model can, or no user has a held-out item.
    """
    fitter = Fitter(tune, seed, wall, cpu)
    contestants = [
        one if isinstance(one, Contestant) else Contestant(one.name, one) for one in models
    ]

    def enter(one: Contestant) -> Entry:
        tell = partial(_report, progress, one.name)
        return _entry(one, split, k, also or {}, fitter, tell, exclude_seen=exclude_seen)

    def difference(entry: Entry, best: Entry) -> Difference:
        return compare(entry.report, best.report, np.random.default_rng(seed))[metric]

    metric = f"ndcg@{k}"
    ranked, left_out = rank_models(
        contestants,
        enter,
        required,
        loss=lambda entry: -entry.report.means[metric],
        difference=difference,
    )
    return Comparison(metric, ranked, left_out)


def _entry(
    one: Contestant,
    split: Split,
    k: int,
    also: Mapping[str, Scenario],
    fitter: Fitter,
    progress: Progress,
    *,
    exclude_seen: bool,
) -> Entry:
    """Fit one model and measure its accuracy and cost; see `compare_models`."""
    data = data_for(one.model, split.train)
    if not one.vectors:
        data = replace(data, vectors={}, encoder="")
    fitted = fitter.fit(one.model, data, progress)
    model, wall, seed = fitted.model, fitter.wall, fitter.seed
    batch = _Timed(model, k, wall, exclude_seen=exclude_seen)
    popularity = np.bincount(split.train.histories.items, minlength=data.n_items)

    def judged(recommend: Recommend, scenario: Scenario) -> Report:
        return evaluate(
            recommend,
            scenario.histories,
            scenario.test,
            k=k,
            popularity=popularity,
            exclude_seen=exclude_seen,
            rng=np.random.default_rng(seed),
            progress=progress,
        )

    report = judged(batch, Scenario(data.histories, split.test))
    sample = np.random.default_rng(seed).permutation(report.users)[:SINGLE_ANSWERS]
    return Entry(
        model=one.name,
        settings=fitted.settings,
        report=report,
        tuning_s=fitted.tuning_s,
        fit=fitted.cost,
        array_bytes=array_bytes(model),
        answers=time_answers(model, data.histories.select(sample), k, wall=wall),
        batch_s=batch.seconds / report.n_users,
        also={
            name: judged(partial(model.recommend_from, k=k, exclude_seen=exclude_seen), scenario)
            for name, scenario in also.items()
        },
    )


class _Timed:
    """Callable that ranks items with a model and adds up the seconds in the attribute `seconds`."""

    def __init__(self, model: Model, k: int, wall: Clock, *, exclude_seen: bool) -> None:
        self._model, self._k, self._wall, self._masks = model, k, wall, exclude_seen
        self.seconds = 0.0

    def __call__(self, histories: Histories) -> Ranking:
        start = self._wall()
        lists = self._model.recommend_from(histories, self._k, exclude_seen=self._masks)
        self.seconds += self._wall() - start
        return lists


def _report(progress: Progress, name: str, done: int, total: int, _what: str) -> None:
    """Report progress with the name of the model instead of that of the current step."""
    progress(done, total, name)
