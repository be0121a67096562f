"""Models of ratings side by side: how far what they predict is from what was given."""

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from nearline.common.progress import Progress, no_progress
from nearline.data.splits import Split
from nearline.errors import InvalidInput
from nearline.evaluation.bootstrap import LEVEL, RESAMPLES, Difference, Interval, resampled_means
from nearline.evaluation.comparison import Tune, collect_or_skip, readable
from nearline.evaluation.cost import Clock, Cost, array_bytes, measured, warm_up
from nearline.models.base import Model, RatingModel

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class RatingEntry:
    """One model in a comparison of ratings.

    Attributes
    ----------
    model : str
        Its name.
    settings : list of dict
        What it was fitted with on each split.
    n_ratings : int
        Ratings predicted, over all splits.
    rmse, mae : float
        Root mean squared and mean absolute error over all of them.
    intervals : dict of str to Interval
        95 % bootstrap intervals of both; users are drawn, each with all of its ratings.
    tuning_s : float
        Seconds on the wall of all searches.
    fit : Cost
        Mean seconds of a fit; the highest memory of any.
    array_bytes : int
        What the last snapshot takes.
    predict_s : float
        Seconds a rating.
    behind : Difference or None
        RMSE of this model minus that of the best, over the same users; None for the best.
    """

    model: str
    settings: list[dict[str, Any]]
    n_ratings: int
    rmse: float
    mae: float
    intervals: dict[str, Interval]
    tuning_s: float
    fit: Cost
    array_bytes: int
    predict_s: float
    behind: Difference | None = None

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {
            "model": self.model,
            "settings": self.settings,
            "n_ratings": self.n_ratings,
            "means": {"rmse": self.rmse, "mae": self.mae},
            "intervals": {name: list(bounds) for name, bounds in self.intervals.items()},
            "behind_the_best": None if self.behind is None else self.behind._asdict(),
            "tuning_s": self.tuning_s,
            "fit": self.fit._asdict(),
            "array_bytes": self.array_bytes,
            "predict_s_per_rating": self.predict_s,
        }


@dataclass(frozen=True)
class RatingComparison:
    """Models of ratings that were compared, the best first, and why others were not."""

    metric: str
    entries: list[RatingEntry]
    left_out: dict[str, str]


def compare_ratings(
    models: Sequence[Model],
    splits: Iterable[Split],
    *,
    tune: Tune | None = None,
    required: Collection[str] = (),
    seed: int = 0,
    wall: Clock = time.perf_counter,
    cpu: Clock = time.process_time,
    progress: Progress = no_progress,
) -> RatingComparison:
    """Tune, fit and measure each model on every split; errors of all test parts are pooled.

    Parameters
    ----------
    splits : iterable of Split
        One, or the folds of a cross-validation (`nearline.data.random_folds`), of rated data: the
        weights of the test part are ratings.

    Other parameters, and errors, are those of `compare_models`. Settings are searched for each
    split anew, since the test part of one is in the training part of another.
    """
    splits = list(splits)
    truth = [split.test for split in splits]
    users = np.concatenate([np.repeat(np.arange(len(t)), np.diff(t.indptr)) for t in truth])
    ratings = np.concatenate([t.weights for t in truth]).astype(np.float64)
    if not len(ratings) or not np.isfinite(ratings).all():
        raise InvalidInput(
            "the test parts hold no ratings; split rated data, and hold some of it out",
            field="splits",
        )
    errors: dict[str, Doubles] = {}

    def enter(model: Model) -> RatingEntry:
        run = _Run(tune, seed, wall, cpu)
        found = [
            run.predict(model, split, partial(_tell, progress, model.name, number, len(splits)))
            for number, split in enumerate(splits)
        ]
        progress(100 * len(splits), 100 * len(splits), model.name)
        errors[model.name] = np.concatenate(found) - ratings
        return run.entry(model.name, errors[model.name], users)

    entries, left_out = collect_or_skip(models, enter, required)
    entries.sort(key=lambda entry: entry.rmse)
    best, *others = entries
    behind = [
        replace(entry, behind=_difference(errors[entry.model], errors[best.model], users, seed))
        for entry in others
    ]
    return RatingComparison("rmse", [best, *behind], left_out)


class _Run:
    """One model over all splits, and what that costs."""

    def __init__(self, tune: Tune | None, seed: int, wall: Clock, cpu: Clock) -> None:
        self._tune, self._seed, self._wall, self._cpu = tune, seed, wall, cpu
        self._settings: list[dict[str, Any]] = []
        self._costs: list[Cost] = []
        self._tuning_s = self._predicting_s = 0.0
        self._bytes = 0

    def predict(self, model: Model, split: Split, progress: Progress) -> Doubles:
        """Fit on one split and predict its test part, float64 [n]."""
        if not isinstance(model, RatingModel):
            raise InvalidInput(f"{model.name} predicts no ratings", field="models")
        data = readable(model, split.train)
        if self._tune is not None:
            start = self._wall()
            model = self._tune(model, data)
            self._tuning_s += self._wall() - start
        warm_up(model, data)
        fitted, cost = measured(
            lambda: model.refit(data, seed=self._seed, progress=progress),
            wall=self._wall,
            cpu=self._cpu,
        )
        users = np.repeat(np.arange(len(split.test)), np.diff(split.test.indptr))
        start = self._wall()
        predicted = cast(RatingModel, fitted).predict(users.astype(np.int32), split.test.items)
        self._predicting_s += self._wall() - start
        self._settings.append(msgspec.to_builtins(model.config))
        self._costs.append(cost)
        self._bytes = array_bytes(fitted)
        return predicted.astype(np.float64)

    def entry(self, name: str, errors: Doubles, users: NDArray[np.int64]) -> RatingEntry:
        """Sum up."""
        sums = _sums(errors, users)
        rng = np.random.default_rng(self._seed)
        means = resampled_means(sums, rng, resamples=RESAMPLES)
        peaks = [cost.peak_bytes for cost in self._costs if cost.peak_bytes is not None]
        return RatingEntry(
            model=name,
            settings=self._settings,
            n_ratings=len(errors),
            rmse=float(np.sqrt(np.mean(errors**2))),
            mae=float(np.mean(np.abs(errors))),
            intervals={
                "rmse": _interval(np.sqrt(means[:, 0] / means[:, 2])),
                "mae": _interval(means[:, 1] / means[:, 2]),
            },
            tuning_s=self._tuning_s,
            fit=Cost(
                float(np.mean([cost.wall_s for cost in self._costs])),
                float(np.mean([cost.cpu_s for cost in self._costs])),
                max(peaks, default=None),
            ),
            array_bytes=self._bytes,
            predict_s=self._predicting_s / len(errors),
        )


def _sums(errors: Doubles, users: NDArray[np.int64]) -> Doubles:
    """Squared errors, absolute errors and ratings of each user who has any: float64 [n, 3]."""
    _, rows = np.unique(users, return_inverse=True)
    columns = (errors**2, np.abs(errors), np.ones(len(errors)))
    return np.column_stack([np.bincount(rows, column) for column in columns])


def _difference(errors: Doubles, best: Doubles, users: NDArray[np.int64], seed: int) -> Difference:
    """RMSE minus that of the best; the same draws of users for both."""
    both = np.column_stack([_sums(errors, users), _sums(best, users)])
    means = resampled_means(both, np.random.default_rng(seed), resamples=RESAMPLES)
    drawn = np.sqrt(means[:, 0] / means[:, 2]) - np.sqrt(means[:, 3] / means[:, 5])
    rmse, least = np.sqrt(np.mean(errors**2)), np.sqrt(np.mean(best**2))
    return Difference(float(rmse - least), *_interval(drawn))


def _interval(draws: Doubles) -> Interval:
    tail = (1.0 - LEVEL) / 2.0
    low, high = np.quantile(draws, [tail, 1.0 - tail])
    return Interval(float(low), float(high))


def _tell(
    progress: Progress, name: str, number: int, splits: int, done: int, total: int, _what: str
) -> None:
    """Count a fit as a share of all splits, in hundredths."""
    share = done / total if total else 0.0
    progress(int(100 * (number + share)), 100 * splits, name)
