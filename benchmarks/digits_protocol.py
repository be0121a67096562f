"""Errors of off-policy estimators on the digits data, by the protocol of the Open Bandit Pipeline.

The digits become a bandit problem: an action is a class, and its reward is 1 if it is right. A
logistic regression (share 0.4, the rest uniform) logs 70 % of the rows; the value of a random
forest (share 0.9) is estimated. A gradient boosting predicts rewards, cross-fitted in three folds.
The truth is known from the labels. Published are the means over 30 splits (zr-obp,
examples/multiclass).
"""

from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.evaluation.off_policy import ESTIMATORS, Rounds, estimate

PUBLISHED = {
    "dm": 0.436541,
    "ips": 0.030288,
    "snips": 0.022764,
    "dr": 0.016156,
    "sndr": 0.022082,
    "switch-dr": 0.034657,
    "dros": 0.015868,
}
CLASSES, FOLDS, SEED = 10, 3, 12345
TREES = {"n_estimators": 30, "max_depth": 5, "min_samples_leaf": 10, "random_state": SEED}


def mean_errors(runs: int, workers: int = 1) -> dict[str, float]:
    """Return the mean relative error of each estimator over the first `runs` splits."""
    if workers == 1:
        found = [errors_of(run) for run in range(runs)]
    else:
        with ProcessPoolExecutor(workers, initializer=_use_one_thread) as pool:
            found = list(pool.map(errors_of, range(runs)))
    return {name: float(np.mean([errors[name] for errors in found])) for name in ESTIMATORS}


def _use_one_thread() -> None:
    """Let linear algebra use one thread: each core has a process already."""
    import_module("threadpoolctl").threadpool_limits(1)


def errors_of(run: int) -> dict[str, float]:
    """Return the relative error of each estimator on one split."""
    features, labels = _sklearn("datasets").load_digits(return_X_y=True)
    split = _sklearn("model_selection").train_test_split(
        features, labels, test_size=0.7, random_state=run
    )
    seen, shown, known, truth = split
    regression = _sklearn("linear_model").LogisticRegression(
        C=100, max_iter=10_000, random_state=SEED
    )
    forest = _sklearn("ensemble").RandomForestClassifier(**TREES)
    logging = _policy(regression.fit(seen, known).predict(shown), 0.4)
    target = _policy(forest.fit(seen, known).predict(shown), 0.9)
    rows = np.arange(len(shown))
    drawn = np.random.RandomState(run).uniform(size=len(shown))
    action = (logging.cumsum(axis=1) > drawn[:, None]).argmax(axis=1)
    reward = (action == truth).astype(np.float64)
    predicted = _predictions(shown, action, reward)
    rounds = Rounds(
        reward,
        target[rows, action] / logging[rows, action],
        predicted[rows, action],
        (target * predicted).sum(axis=1),
    )
    value = target[rows, truth].mean()
    return {one.name: float(abs(one.value - value) / value) for one in estimate(rounds)}


def _sklearn(module: str) -> Any:
    """Import a module of scikit-learn, which has no types."""
    return import_module(f"sklearn.{module}")


def _policy(choices: NDArray[np.int64], share: float) -> NDArray[np.float64]:
    table = np.full((len(choices), CLASSES), (1.0 - share) / CLASSES)
    table[np.arange(len(choices)), choices] += share
    return table


def _predictions(
    context: NDArray[Any], action: NDArray[np.int64], reward: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Predict the reward of each action in each row, by models that did not see the row."""
    folds = _sklearn("model_selection").KFold(FOLDS, shuffle=True, random_state=SEED)
    boosting = _sklearn("ensemble").GradientBoostingClassifier
    found = np.empty((len(context), CLASSES))
    one_hot = np.eye(CLASSES)
    for train, held in folds.split(context):
        model = boosting(learning_rate=0.01, **TREES)
        model.fit(np.hstack([context[train], one_hot[action[train]]]), reward[train])
        for choice in range(CLASSES):
            rows = np.hstack([context[held], np.tile(one_hot[choice], (len(held), 1))])
            found[held, choice] = model.predict_proba(rows)[:, 1]
    return found
