"""Hyper-parameter search over a model's declared space with Optuna: seeded, pruned, resumable.

The tree-structured Parzen estimator (Bergstra et al., "Algorithms for hyper-parameter
optimization", NeurIPS 2011) proposes settings. Each is fitted on the training part and evaluated on
growing shares of the users of the validation part, so that poor settings are pruned early (median
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

from nearline.common.progress import Progress, is_over, no_progress
from nearline.data import Dataset, Histories, Split
from nearline.errors import InvalidInput, MissingExtra
from nearline.evaluation import judge, ndcg
from nearline.models.base import Model, Range
from nearline.models.capabilities import PredictsRatings
from nearline.models.registry import convert_settings

K = 10
SHARES = (0.25, 0.5, 1.0)
# Trials that are never pruned, so that there is a median to compare with.
STARTUP_TRIALS = 5

Users = NDArray[np.int64]


# Returns the quality of a fitted model for some users, given their targets; higher is better.
Score = Callable[[Model, Histories, Users], float]


def list_score(model: Model, targets: Histories, users: Users) -> float:
    """Return NDCG@10 of the lists of `users`; row i of `targets` belongs to the i-th user."""
    lists = model.recommend(users.astype(np.int32), K)
    return float(ndcg(judge(lists.items, targets, K)).mean())


def score_with_seen(model: Model, targets: Histories, users: Users) -> float:
    """Return NDCG@10 like `list_score`, of lists that include items of the histories."""
    lists = model.recommend(users.astype(np.int32), K, exclude_seen=False)
    return float(ndcg(judge(lists.items, targets, K)).mean())


def rating_score(model: Model, targets: Histories, users: Users) -> float:
    """Return the negative root mean squared error of predicted ratings (weights of `targets`).

    Raises
    ------
    InvalidInput
        `model` does not predict ratings.
    """
    if not isinstance(model, PredictsRatings):
        raise InvalidInput(f"model {model.name!r} does not predict ratings; use list_score")
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
    """Return a function that searches settings of a model on a split of its data made by `carve`.

    The function returns a model to `refit`. A model without a search space keeps its settings, as
    all do if `trials` is 0. With `own`, a model whose `fit` chooses settings does that instead.
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
        Its settings are tried first; those outside the search space are kept.
    validation : Histories
        Row u has the targets of user u; it is never trained on.
    trials : int
        Total number of trials, including those in `journal`.
    score : callable
        Objective to maximise: `list_score` (NDCG@10), `score_with_seen` or `rating_score`.
    journal : Path or None
        File of the trials, from which an interrupted search is resumed. Its further trials differ
        from those of an uninterrupted search.

    Raises
    ------
    InvalidInput
        The model has no search space, or rejects its initial settings.
    MissingExtra
        Optuna is not installed.
    """
    if not model.space:
        raise InvalidInput(f"model {model.name!r} has no search space; set search=0")
    optuna = _optuna()
    start = msgspec.to_builtins(model.config)
    study = optuna.create_study(
        direction="maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS),
        storage=_storage(optuna, journal),
        # Trials on other data must not be reused.
        study_name=f"{model.name}-{data.n_interactions}-{seed}-{score.__name__}",
        load_if_exists=True,
    )
    done = _resume(optuna, study, {name: _get(start, name) for name in model.space}, seed)
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
        if number and is_over(progress):
            break
        progress(number, trials, f"search {model.name}")
        # Proposed settings that the model rejects are skipped; the initial ones must be valid.
        study.optimize(objective, n_trials=1, catch=(InvalidInput,) if number else ())
    progress(trials, trials, f"search {model.name}")
    return convert_settings(type(model), _settings(study.best_trial, model, start))


def _resume(optuna: Any, study: Any, given: dict[str, Any], seed: int) -> int:
    """Prepare a new or interrupted study for its next trial; return the number of trials done."""
    states = optuna.trial.TrialState
    done = len(study.get_trials(deepcopy=False, states=(states.COMPLETE, states.PRUNED)))
    # A resumed search must not repeat the random draws of its first part.
    begun = len(study.get_trials(deepcopy=False))
    draws = int(np.random.SeedSequence((seed, begun)).generate_state(1)[0]) if begun else seed
    study.sampler = optuna.samplers.TPESampler(seed=draws)
    # If it was interrupted in its first trial, the initial settings were not tried yet.
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
    """Return the users with targets in random order, so that a share of them is a sample."""
    users = np.flatnonzero(np.diff(validation.indptr) > 0)
    return np.random.default_rng(seed).permutation(users)


def _settings(trial: Any, model: Model, start: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of `start` with the settings of the search space taken from a trial."""
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
