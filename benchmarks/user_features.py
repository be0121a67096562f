"""Accuracy for users without a history: two towers with user attributes, and popularity.

Users are divided at random into five groups. Each fold tests one group. The number of epochs is
chosen on another group with a model trained on the other three, and then the model is trained on
all four. Only age, gender and occupation of the test users are known (MovieLens 100K), and all
items with which they interacted are relevant. All items are ranked; k = 10. Differences are paired
over the users of all folds. `shuffled` is the same model with the attributes of another test user:
its accuracy shows what the model reaches without the right attributes.

    python -m benchmarks.user_features [--folds 5]
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from benchmarks.machine import write
from numpy.typing import NDArray

from nearline.data import Dataset, Histories, clean, load_dataset, make_dataset, read_users
from nearline.evaluation import Report, evaluate
from nearline.evaluation.bootstrap import mean_intervals, paired_differences
from nearline.models.base import Ranking
from nearline.models.popularity import Popularity
from nearline.models.sequence.sequence_model import SequenceObjective
from nearline.models.sequence.training_config import TrainingConfig
from nearline.models.sequence.two_tower import TwoTower, TwoTowerConfig

Row = dict[str, Any]
Fold = Callable[[Dataset, int, int], tuple[Row, dict[str, Report]]]
Table = Callable[[list[dict[str, Report]], int], list[Row]]

NAME = "movielens-100k"
GROUPS, K = 5, 10
METRICS = ("ndcg@10", "recall@10", "hit_rate@10")
# Small, so that ten fits on two cores take minutes. Chosen on the validation users of fold 0.
TRAINING = TrainingConfig(epochs=30, patience=4, batch=1000, weight_decay=0.3, memory=60)
OBJECTIVE = SequenceObjective(unit=True, temperature=0.2, negatives=256, in_batch=256)
CONFIG = TwoTowerConfig(
    width=32,
    hidden=64,
    longest=20,
    objective=OBJECTIVE,
    training=TRAINING,
)


def load(columns: Sequence[str] | None = None) -> Dataset:
    """Read and clean the data set, including the attributes of its users or some of them."""
    data = load_dataset(NAME)
    table, _ = clean(data.interactions, now=time.time())
    users, _ = read_users(data.users)
    return make_dataset(
        table, data.items, users=users if columns is None else users.select(columns)
    )


def run_fold(data: Dataset, fold: int, seed: int) -> tuple[Row, dict[str, Report]]:
    """Fit and test one fold."""
    started = time.perf_counter()
    rng = np.random.default_rng(seed)
    group = rng.permutation(data.n_users) % GROUPS
    of_event = group[data.user_of_each()]
    chosen, test = (fold + 1) % GROUPS, fold
    seen = data.take((of_event != test) & (of_event != chosen))
    truth = data.take(of_event == chosen).histories
    chosen_config = TwoTower(CONFIG).fit(seen, validation=truth, seed=seed).config
    whole = data.take(of_event != test)
    towers = TwoTower(chosen_config).fit(whole, seed=seed)
    users = np.flatnonzero(group == test).astype(np.int32)
    nothing = Histories.from_rows([[]] * len(users))
    if data.user_features is None:
        raise ValueError(f"{NAME} has no user attributes")
    others = data.user_features[rng.permutation(users)]
    lists = {
        "features": towers.recommend(users, K),
        "shuffled": towers.recommend_from(replace(nothing, features=others), K),
        "popularity": Popularity().fit(whole).recommend(users, K),
    }
    wanted = data.histories.select(users)
    counts = np.bincount(whole.histories.items, minlength=data.n_items)
    reports = {name: report(found, nothing, wanted, counts, seed) for name, found in lists.items()}
    seconds = time.perf_counter() - started
    row: Row = {"fold": fold, "users": len(users), "epochs": chosen_config.training.epochs}
    row |= {"seconds": seconds, **{n: r.means["ndcg@10"] for n, r in reports.items()}}
    print(row, flush=True)
    return row, reports


def report(
    lists: Ranking, nothing: Histories, wanted: Histories, counts: NDArray[np.int64], seed: int
) -> Report:
    """Evaluate lists that were computed for all users at once."""
    return evaluate(
        lambda _: lists,
        nothing,
        wanted,
        k=K,
        popularity=counts,
        rng=np.random.default_rng(seed),
        block=len(nothing),
    )


def table(folds: list[dict[str, Report]], seed: int) -> list[Row]:
    """Return means, intervals, and differences between `features` and the other lists."""
    values = {
        name: {
            metric: np.concatenate([fold[name].per_user[metric] for fold in folds])
            for metric in METRICS
        }
        for name in folds[0]
    }
    rows = []
    for name, mine in values.items():
        bounds = mean_intervals(mine, np.random.default_rng(seed))
        row: Row = {"model": name, "users": len(mine["ndcg@10"])}
        row["means"] = {metric: float(value.mean()) for metric, value in mine.items()}
        row["intervals"] = {metric: list(bounds[metric]) for metric in METRICS}
        if name != "features":
            lead = paired_differences(values["features"], mine, np.random.default_rng(seed))
            row["lead of features"] = {metric: lead[metric]._asdict() for metric in METRICS}
        rows.append(row)
        print(row, flush=True)
    return rows


def run_folds(
    name: str, description: str | None, data: Dataset, run_fold: Fold, table: Table
) -> None:
    """Run the folds that the command line asks for, and write the result."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folds", type=int, default=GROUPS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    runs = [run_fold(data, fold, options.seed) for fold in range(options.folds)]
    rows = table([reports for _, reports in runs], options.seed)
    settings = {"seed": options.seed, "folds": [row for row, _ in runs]}
    write(name, settings, rows)


if __name__ == "__main__":
    run_folds("user_features", __doc__, load(), run_fold, table)
