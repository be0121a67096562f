"""Search over a model's declared space with Optuna: seeded, pruned, resumable.

The tree-structured Parzen estimator (Bergstra et al., "Algorithms for hyper-parameter
optimization", NeurIPS 2011) proposes settings; each is fitted on the training part and judged on
the validation part, in growing shares of its users, so that a poor one is given up early (median
stopping, Golovin et al., "Google Vizier", KDD 2017, section 3.2).
"""

import logging
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from nearline.common.progress import Progress, no_progress
from nearline.data import Dataset, Histories, Split
from nearline.errors import InvalidInput, MissingExtra
from nearline.evaluation import judge, ndcg
from nearline.models.base import Model, Range
from nearline.models.capabilities import PredictsRatings
from nearline.models.registry import convert_settings

K = 10
SHARES = (0.25, 0.5, 1.0)
# Trials that are never given up: the median needs some to compare with.
STARTUP_TRIALS = 5

Users = NDArray[np.int64]


# How good a fitted model is for some users, given their targets: more is better.
Score = Callable[[Model, Histories, Users], float]


def list_score(model: Model, targets: Histories, users: Users) -> float:
    """NDCG@10 of the lists of `users`; row u of `targets` belongs to the u-th of them."""
    lists = model.recommend(users.astype(np.int32), K)
    return float(ndcg(judge(lists.items, targets, K)).mean())


def rating_score(model: Model, targets: Histories, users: Users) -> float:
    """Root mean squared error of predicted ratings, negative: the weights of `targets` are those.

    Raises
    ------
    InvalidInput
        `model` predicts no ratings.
    """
    if not isinstance(model, PredictsRatings):
        raise InvalidInput(f"model {model.name!r} predicts no ratings; search by its lists")
    pairs = np.repeat(users, np.diff(targets.indptr)).astype(np.int32)
    errors = model.predict(pairs, targets.items) - targets.weights
    return -float(np.sqrt(np.mean(errors.astype(np.float64) ** 2)))


def tuner(
    carve: Callable[[Dataset], Split],
    *,
    trials: int,
    seed: int,
    score: Score = list_score,
    own: bool = False,
) -> Callable[[Model, Dataset], Model]:
    """Make a function that searches settings of a model on a part that `carve` takes from its data.

    It returns a model to `refit`. One that declares no space keeps its settings. With `own`, one
    whose `fit` chooses settings does so, and is not searched; no model is where `trials` is 0.
    """

    def tune(model: Model, data: Dataset) -> Model:
        if own and model.tunes_itself:
            inner = carve(data)
            fresh = type(model)(model.config)
            return fresh.fit(inner.train, validation=inner.test, seed=seed)
        if model.space and trials:
            inner = carve(data)
            found = search(model, inner.train, inner.test, trials=trials, seed=seed, score=score)
            return type(model)(found)
        return model

    return tune


def search(
    model: Model,
    data: Dataset,
    validation: Histories,
    *,
    trials: int,
    seed: int,
    score: Score = list_score,
    journal: Path | None = None,
    progress: Progress = no_progress,
) -> msgspec.Struct:
    """Find settings of the class of `model` with a high score on `validation`.

    Parameters
    ----------
    model : Model
        Its settings are tried first; those that the space does not name stay as they are.
    validation : Histories
        Row u holds the targets of user u; it is never trained on.
    trials : int
        Settings tried in all, those found in `journal` included.
    score : callable
        What is to be high: `list_score` (NDCG@10) or `rating_score`.
    journal : Path or None
        File that keeps the trials: a search that was cut off goes on from there, with other
        draws than it would have had.

    Raises
    ------
    InvalidInput
        The model declares no space, or does not work with the settings given.
    MissingExtra
        Optuna is not installed.
    """
    if not model.space:
        raise InvalidInput(f"model {model.name!r} declares no space to search; set search=0")
    optuna = _optuna()
    start = msgspec.to_builtins(model.config)
    study = optuna.create_study(
        direction="maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS),
        storage=_storage(optuna, journal),
        # Trials on other data say nothing about this.
        study_name=f"{model.name}-{data.n_interactions}-{seed}-{score.__name__}",
        load_if_exists=True,
    )
    done = _go_on(optuna, study, {name: _get(start, name) for name in model.space}, seed)
    users = _users(validation, seed)

    def objective(trial: Any) -> float:
        settings = convert_settings(type(model), _settings(trial, model, start))
        fitted = type(model)(settings).fit(data, seed=seed)
        value = 0.0
        for step, share in enumerate(SHARES):
            some = users[: max(1, int(len(users) * share))]
            value = score(fitted, validation.select(some), some)
            trial.report(value, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return value

    for number in range(done, trials):
        progress(number, trials, f"search {model.name}")
        # Settings that were drawn and do not work are passed over; those given must.
        study.optimize(objective, n_trials=1, catch=(InvalidInput,) if number else ())
    progress(trials, trials, f"search {model.name}")
    return convert_settings(type(model), _settings(study.best_trial, model, start))


def _go_on(optuna: Any, study: Any, given: dict[str, Any], seed: int) -> int:
    """Prepare a study, begun or not, for its next trial; return how many are done."""
    states = optuna.trial.TrialState
    done = len(study.get_trials(deepcopy=False, states=(states.COMPLETE, states.PRUNED)))
    # A search that goes on must not draw again what its first part drew.
    begun = len(study.get_trials(deepcopy=False))
    draws = int(np.random.SeedSequence((seed, begun)).generate_state(1)[0]) if begun else seed
    study.sampler = optuna.samplers.TPESampler(seed=draws)
    # One that was cut off in its first trial has tried nothing yet.
    if not done and not study.get_trials(deepcopy=False, states=(states.WAITING,)):
        study.enqueue_trial(given)
    return done


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise MissingExtra("the search needs Optuna: pip install 'nearline[search]'") from None
    optuna.logging.set_verbosity(logging.WARNING)
    return optuna


def _storage(optuna: Any, journal: Path | None) -> Any:
    if journal is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        backend = optuna.storages.journal.JournalFileBackend(str(journal))
        return optuna.storages.JournalStorage(backend)


def _users(validation: Histories, seed: int) -> Users:
    """Users with a target, in random order: every share of them is like the whole."""
    users = np.flatnonzero(np.diff(validation.indptr) > 0)
    return np.random.default_rng(seed).permutation(users)


def _settings(trial: Any, model: Model, start: Mapping[str, Any]) -> dict[str, Any]:
    """Copy `start` with what the space names set by a trial, a running or a finished one."""
    settings: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(start))
    for name, choice in model.space.items():
        if isinstance(choice, Range):
            whole = isinstance(choice.low, int) and isinstance(choice.high, int)
            suggest = trial.suggest_int if whole else trial.suggest_float
            value = suggest(name, choice.low, choice.high, log=choice.log)
        else:
            value = trial.suggest_categorical(name, choice)
        _set(settings, name, value)
    return settings


def _get(settings: Mapping[str, Any], name: str) -> Any:
    value: Any = settings
    for part in name.split("."):
        value = value[part]
    return value


def _set(settings: dict[str, Any], name: str, value: Any) -> None:
    *parts, last = name.split(".")
    for part in parts:
        settings = settings[part]
    settings[last] = value
