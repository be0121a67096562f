"""Comparison of rating models: error of the predicted ratings, and cost."""

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.common.progress import Progress, no_progress
from nearline.data.splits import Split
from nearline.errors import InvalidInput
from nearline.evaluation.bootstrap import LEVEL, RESAMPLES, Difference, Interval, resampled_means
from nearline.evaluation.cost import Clock, Cost, array_bytes
from nearline.evaluation.fitting import Fitter, Tune, data_for, rank_models
from nearline.models.base import Model
from nearline.models.capabilities import PredictsRatings, predict
from nearline.notebook.reports import tables_html

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class RatingEntry:
    """Results of one model in a comparison of rating models.

    Attributes
    ----------
    model : str
        Name of the model.
    settings : list of dict
        Settings of the fit on each split.
    n_ratings : int
        Number of predicted ratings, over all splits.
    rmse, mae : float
        Root mean squared error and mean absolute error over all predicted ratings.
    intervals : dict of str to Interval
        95 % bootstrap intervals of ``rmse`` and ``mae``; users are resampled with all their
        ratings.
    tuning_s : float
        Wall-clock seconds of all searches.
    fit : Cost
        Mean times of the fits, and the largest peak of memory.
    array_bytes : int
        Size of the arrays of the model that was fitted on the last split.
    predict_s : float
        Wall-clock seconds per predicted rating.
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
        """Return all fields as JSON-serialisable types."""
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
    """Result of a comparison of rating models.

    Attributes
    ----------
    metric : str
        Name of the metric by which the models are sorted: ``rmse``.
    entries : list of RatingEntry
        Results of the models, the best first.
    left_out : dict of str to str
        Names of models that could not be compared, each with the reason.
    """

    metric: str
    entries: list[RatingEntry]
    left_out: dict[str, str]

    def _repr_html_(self) -> str:
        from nearline.evaluation.comparison_tables import rating_rows

        return tables_html("Comparison of rating models", *rating_rows(self))


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
    """Tune, fit and evaluate rating models on one or more splits, and sort them by RMSE.

    Parameters
    ----------
    splits : iterable of Split
        One split, or the folds of a cross-validation (`nearline.data.random_folds`), of data with
        ratings, which are the weights of the test part. The errors of all test parts are pooled.

    Notes
    -----
    The other parameters and the errors are those of `compare_models`. Settings are searched
    separately for each split, since the test part of one is in the training part of another.
    """
    splits = list(splits)
    truth = [split.test for split in splits]
    users = np.concatenate([np.repeat(np.arange(len(t)), np.diff(t.indptr)) for t in truth])
    ratings = np.concatenate([t.weights for t in truth]).astype(np.float64)
    if not len(ratings) or not np.isfinite(ratings).all():
        raise InvalidInput(
            "the test parts contain no ratings; split rated data, and hold some of it out",
            field="splits",
        )
    errors: dict[str, Doubles] = {}

    fitter = Fitter(tune, seed, wall, cpu)

    def enter(model: Model) -> RatingEntry:
        run = _RatingRun(fitter)
        found = [
            run.predict(model, split, partial(_report, progress, model.name, number, len(splits)))
            for number, split in enumerate(splits)
        ]
        progress(100 * len(splits), 100 * len(splits), model.name)
        errors[model.name] = np.concatenate(found) - ratings
        return run.entry(model.name, errors[model.name], users)

    def difference(entry: RatingEntry, best: RatingEntry) -> Difference:
        return _difference(errors[entry.model], errors[best.model], users, seed)

    ranked, left_out = rank_models(
        models, enter, required, loss=lambda entry: entry.rmse, difference=difference
    )
    return RatingComparison("rmse", ranked, left_out)


class _RatingRun:
    """Fits of one model on several splits, with their total cost."""

    def __init__(self, fitter: Fitter) -> None:
        self._fitter = fitter
        self._settings: list[dict[str, Any]] = []
        self._costs: list[Cost] = []
        self._tuning_s = self._predicting_s = 0.0
        self._bytes = 0

    def predict(self, model: Model, split: Split, progress: Progress) -> Doubles:
        """Fit `model` on the training part of a split; return predictions of the test part.

        The result is float64 [n], one value for each of the n ratings of the test part.
        """
        if not isinstance(model, PredictsRatings):
            raise InvalidInput(f"{model.name} predicts no ratings", field="models")
        fitted = self._fitter.fit(model, data_for(model, split.train), progress)
        self._settings.append(fitted.settings)
        self._costs.append(fitted.cost)
        self._tuning_s += fitted.tuning_s
        self._bytes = array_bytes(fitted.model)
        users = np.repeat(np.arange(len(split.test)), np.diff(split.test.indptr))
        start = self._fitter.wall()
        predicted = predict(fitted.model, users.astype(np.int32), split.test.items)
        self._predicting_s += self._fitter.wall() - start
        return predicted.astype(np.float64)

    def entry(self, name: str, errors: Doubles, users: NDArray[np.int64]) -> RatingEntry:
        """Summarise the errors and the cost of all splits.

        Parameters
        ----------
        name : str
            Name of the model.
        errors : float64 [n]
            Predicted minus true rating, for all splits.
        users : int64 [n]
            User of each rating.
        """
        sums = _sums(errors, users)
        rng = np.random.default_rng(self._fitter.seed)
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
    """Sum squared errors, absolute errors and numbers of ratings per user: float64 [users, 3]."""
    _, rows = np.unique(users, return_inverse=True)
    columns = (errors**2, np.abs(errors), np.ones(len(errors)))
    return np.column_stack([np.bincount(rows, column) for column in columns])


def _difference(errors: Doubles, best: Doubles, users: NDArray[np.int64], seed: int) -> Difference:
    """Compute the difference of RMSE between a model and the best one, paired over users."""
    both = np.column_stack([_sums(errors, users), _sums(best, users)])
    means = resampled_means(both, np.random.default_rng(seed), resamples=RESAMPLES)
    drawn = np.sqrt(means[:, 0] / means[:, 2]) - np.sqrt(means[:, 3] / means[:, 5])
    rmse, least = np.sqrt(np.mean(errors**2)), np.sqrt(np.mean(best**2))
    return Difference(float(rmse - least), *_interval(drawn))


def _interval(draws: Doubles) -> Interval:
    tail = (1.0 - LEVEL) / 2.0
    low, high = np.quantile(draws, [tail, 1.0 - tail])
    return Interval(float(low), float(high))


def _report(
    progress: Progress, name: str, number: int, splits: int, done: int, total: int, _what: str
) -> None:
    """Report the progress of fit `number` of `splits` as progress of all, in steps of 1 %."""
    share = done / total if total else 0.0
    progress(int(100 * (number + share)), 100 * splits, name)
