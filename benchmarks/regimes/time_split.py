"""Split by time, models frozen: everything after a point in time is predicted from what was before.

The default model and simple ones are trained on the first four fifths of the log and then neither
learn nor see new events. Two questions are asked of the same models: what new items a user gets
(seen items left out of lists and truth), and everything the user gets (`repeats`).
"""

import json
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.machine import RESULTS, write
from benchmarks.regimes.repeats import most_frequent

from nearline.cli.study import EngineModel, Subject, SubjectTables
from nearline.config import Config
from nearline.data import Histories, clean, load_dataset, time_split
from nearline.data.splits import Split
from nearline.engine import Recommender
from nearline.evaluation import Report, compare, evaluate
from nearline.evaluation.protocol import RanksItems
from nearline.models.base import Model
from nearline.models.popularity import Trending, TrendingConfig
from nearline.models.registry import make_model
from nearline.schema import DAY
from nearline.schema.rules import REPEATS_FOUND

NAMES = ("online-retail", "movielens-100k", "synthetic")
HALF_LIVES = (1, 3, 7, 30)
MEMBERS = ("popularity", "item_knn", "user_knn", "rp3beta")
SHARE, K, SEED = 0.2, 10, 0
DEFAULT = "default"


def run(data: Path, only: Collection[str] | None = None) -> None:
    """Measure the data sets in the folder `data`, or those in `only`, and write the results."""
    path = RESULTS / "regimes_time_split.json"
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    for name in only or NAMES:
        folder = data / name
        row = measure(name, folder if folder.exists() else None)
        rows = [old for old in rows if old["data"] != name] + [row]
        write("regimes_time_split", {"share": SHARE, "k": K, "seed": SEED}, rows)


def measure(name: str, folder: Path | None) -> dict[str, Any]:
    """Measure one data set; return the accuracy of each model, and the default minus each."""
    found = load_dataset(name, path=folder)
    table, _ = clean(found.interactions, now=time.time())
    tables = SubjectTables(Subject(name, table, found.items))
    split = time_split(tables.data, SHARE)
    moment = float(split.train.histories.times.max())
    engine = Recommender(config=Config(), clock=lambda: moment).fit(
        tables.interactions(split.train.histories, tables.data.user_ids),
        tables.catalogue,
        seed=SEED,
    )
    models: dict[str, RanksItems] = {DEFAULT: EngineModel(engine, tables)}
    models |= {member: _fitted(make_model(member, {}), split) for member in MEMBERS}
    models |= {
        f"trending, {days} d": _fitted(Trending(TrendingConfig(half_life=days * DAY)), split)
        for days in HALF_LIVES
    }
    new = split.test.take(~repeated(split))
    row: dict[str, Any] = {
        "data": name,
        "repeat_share": float(repeated(split).mean()),
        "repeats_auto": bool(engine.metrics.get(REPEATS_FOUND, 0.0)),
        "metrics": engine.metrics,
        "model": engine.model_id,
    }
    row["new"] = _measured(models, split, new, exclude_seen=True)
    models["most frequent, then trending"] = most_frequent(split.train, 3 * DAY)
    row["repeats"] = _measured(models, split, split.test, exclude_seen=False)
    engine.close()
    return row


def repeated(split: Split) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which test interactions repeat an item of the user's history: bool [n]."""
    keys = []
    for rows in (split.train.histories, split.test):
        users = np.repeat(np.arange(len(rows)), np.diff(rows.indptr)).astype(np.int64)
        keys.append(users * split.train.n_items + rows.items)
    return np.isin(keys[1], keys[0])


def _fitted(model: Model, split: Split) -> Model:
    return model.fit(split.train, seed=SEED)


def _measured(
    models: dict[str, RanksItems], split: Split, truth: Histories, *, exclude_seen: bool
) -> dict[str, Any]:
    counts = np.bincount(split.train.histories.items, minlength=split.train.n_items)
    reports: dict[str, Report] = {}
    for name, model in models.items():
        reports[name] = evaluate(
            model,
            split.train.histories,
            truth,
            k=K,
            popularity=counts,
            exclude_seen=exclude_seen,
            rng=np.random.default_rng(SEED),
        )
        print(f"  {name:30} {reports[name].means['ndcg@10']:.4f}", flush=True)
    rows = {}
    for name, report in reports.items():
        less = compare(reports[DEFAULT], report, np.random.default_rng(SEED))["ndcg@10"]
        rows[name] = {
            "ndcg@10": report.means["ndcg@10"],
            "recall@10": report.means["recall@10"],
            "interval": list(report.intervals["ndcg@10"]),
            "default_minus": [less.mean, less.low, less.high],
            "users": report.n_users,
        }
    return rows
