"""Accuracy for users without a history whose attributes are known: item graph and popularity.

Users are divided at random into five groups. Each fold tests one group, of whom only age, gender
and occupation are known (MovieLens 100K), and trains on the others, which also choose the settings.
Two questions are asked: which items these users take first (the first ten), and which at all. All
items are ranked; k = 10. Differences are paired over the users of all folds. `shuffled` has the
attributes of another test user, which shows what the attributes add; `two_tower` is measured by
`benchmarks.user_features`.

    python -m benchmarks.attributes [--folds 5]
"""

import time
from dataclasses import replace
from typing import Any

import numpy as np
from benchmarks.user_features import GROUPS, NAME, Row, load, run_folds

from nearline.data import (
    Dataset,
    Histories,
    leave_one_out,
)
from nearline.evaluation import Report, evaluate
from nearline.evaluation.bootstrap import mean_intervals, paired_differences
from nearline.models.base import Ranking
from nearline.models.item_graph.attribute_counts import first_items
from nearline.models.item_graph.config import ItemGraphConfig, Search
from nearline.models.item_graph.model import ItemGraph
from nearline.models.popularity import Popularity

K, FIRST = 10, 10
COLUMNS = ("user_id", "age", "gender", "occupation")
# The relations of items are not used for users without a history, so their search is short.
CONFIG = ItemGraphConfig(search=Search(evaluations=1))


def first_taken(histories: Histories) -> Histories:
    """Return the first items of each user."""
    users, items = first_items(histories, FIRST)
    ones = np.ones(len(items), dtype=np.float32)
    return Histories.group(
        users, len(histories), items, ones, np.arange(len(items), dtype=np.float64)
    )


def run_fold(data: Dataset, fold: int, seed: int) -> tuple[Row, dict[str, Report]]:
    """Fit and test one fold; reports are by list and question."""
    started = time.perf_counter()
    rng = np.random.default_rng(seed)
    group = rng.permutation(data.n_users) % GROUPS
    whole = data.take(group[data.user_of_each()] != fold)
    split = leave_one_out(whole)
    chosen = ItemGraph(CONFIG).fit(split.train, validation=split.test, seed=seed)
    graph = chosen.refit(whole, seed=seed)
    users = np.flatnonzero(group == fold)
    nothing, known = Histories.from_rows([[]] * len(users)), data.user_attributes
    if known is None:
        raise ValueError(f"{NAME} has no attributes of users")

    def by_attributes(rows: Any) -> Ranking:
        features = graph.user_features([known[row] for row in rows])
        return graph.recommend_from(replace(nothing, features=features), K)

    lists = {
        "attributes": by_attributes(users),
        "shuffled": by_attributes(rng.permutation(users)),
        "popularity": Popularity().fit(whole).recommend(users.astype(np.int32), K),
    }
    every = data.histories.select(users)
    counts = np.bincount(whole.histories.items, minlength=data.n_items)
    reports = {
        f"{name}, {question}": evaluate(
            lambda _, found=found: found,  # type: ignore[misc]
            nothing,
            wanted,
            k=K,
            popularity=counts,
            rng=np.random.default_rng(seed),
            block=len(nothing),
        )
        for question, wanted in (("first", first_taken(every)), ("all", every))
        for name, found in lists.items()
    }
    settings = graph.config.attributes
    row: Row = {"fold": fold, "users": len(users), "first": settings.first, "base": settings.base}
    row["weights"] = {c.name: w for c, w in zip(settings.columns, settings.weights, strict=True)}
    row |= {"weight": settings.weight, "seconds": time.perf_counter() - started}
    row |= {name: report.means["ndcg@10"] for name, report in reports.items()}
    print(row, flush=True)
    return row, reports


def table(folds: list[dict[str, Report]], seed: int) -> list[Row]:
    """Return means and intervals, and the lead of `attributes` over the other lists."""
    values = {
        name: np.concatenate([fold[name].per_user["ndcg@10"] for fold in folds])
        for name in folds[0]
    }
    rows = []
    for name, mine in values.items():
        bounds = mean_intervals({"ndcg@10": mine}, np.random.default_rng(seed))["ndcg@10"]
        row: Row = {"list": name, "users": len(mine), "ndcg@10": float(mine.mean())}
        row["interval"] = list(bounds)
        ours = values["attributes, " + name.split(", ")[1]]
        row["ratio of attributes"] = float(ours.mean() / mine.mean())
        lead = paired_differences({"n": ours}, {"n": mine}, np.random.default_rng(seed))["n"]
        row["lead of attributes"] = lead._asdict()
        rows.append(row)
        print(row, flush=True)
    return rows


if __name__ == "__main__":
    run_folds("attributes", __doc__, load(COLUMNS), run_fold, table)
