"""Top-10 accuracy on MovieLens 100K of Nearline and other libraries, tuned with the same budget.

The split, the relevant items and the metrics are those of the table published by the `recommenders`
project (github.com/recommenders-team/recommenders, examples/06_benchmarks), k = 10, NDCG /
precision / recall: BiVAE .475/.412/.219, BPR .442/.388/.213, SAR .383/.331/.176.

- Split: 75 % of the ratings of each *item* are for training and 25 % for the test, at random (their
  `python_stratified_split` with `filter_by="item"`); ``--by user`` splits the ratings of each user.
  Their random numbers are not available, so the split is of the same kind, but not identical.
- Relevant items: those of every test rating, regardless of its value.
- Lists: all items are ranked, except those of the user's training ratings.
- NDCG: gain 1, discount 1 / log(rank + 1), divided by the largest value for min(k, relevant) hits.
  (Their logarithm is natural, ours has base 2; the ratio is the same.) Means are over users with a
  test rating.

Every model is tuned for NDCG@10 by Optuna's TPE, with the same number of trials and the same seed,
on 25 % of the training part (split in the same way). Then it is fitted on the whole training part
and tested once. Models of Nearline start from their defaults as the first trial, and stop poor
trials early. BPR starts from other settings, because its defaults were chosen with test ratings of
this data set in view.

    python -m benchmarks.topn_movielens [--trials 30] [--by item] [--models ease slim ...]
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from benchmarks import peers
from benchmarks.machine import write

from nearline.data import (
    Dataset,
    Histories,
    Split,
    hold_out,
    load_dataset,
    make_dataset,
    stratified_split,
)
from nearline.evaluation import Report, compare, evaluate
from nearline.models.base import Model, Ranking
from nearline.models.registry import make_model
from nearline.training.search import search

Row = dict[str, Any]

K, FRACTION = 10, 0.25
OPTUNA = "optuna==5.0.0"
OURS = (
    *("popularity", "content", "word2vec", "item_knn", "user_knn", "rp3beta"),
    *("implicit_als", "bpr", "ease", "slim", "item_graph"),
)
START: dict[str, Row] = {"bpr": {"l2": 0.01, "hardest_of": 1}}
PEERS = {
    "implicit-als": "implicit==0.7.3",
    "implicit-bpr": "implicit==0.7.3",
    "implicit-item-item": "implicit==0.7.3",
    "rectools-ease": "rectools==0.19.0",
    "rectools-puresvd": "rectools==0.19.0",
    "lenskit-item-knn": "lenskit==2025.8.1",
    "lenskit-als": "lenskit==2025.8.1",
    "lenskit-ease": "lenskit==2025.8.1",
    "lenskit-slim": "lenskit==2025.8.1",
}
Splitter = Callable[[Dataset, np.random.Generator], Split]


def by_item(data: Dataset, rng: np.random.Generator) -> Split:
    """Hold out a quarter of each item's interactions at random."""
    items = data.histories.items
    order = np.lexsort((rng.random(len(items)), items))
    sizes = np.bincount(items, minlength=data.n_items)
    place = np.arange(len(items)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    test = np.zeros(len(items), dtype=np.bool_)
    test[order] = place >= np.repeat(np.round((1 - FRACTION) * sizes), sizes)
    return hold_out(data, test)


def by_user(data: Dataset, rng: np.random.Generator) -> Split:
    """Hold out a quarter of each user's interactions at random."""
    return stratified_split(data, FRACTION, rng)


SPLITS: dict[str, Splitter] = {"item": by_item, "user": by_user}


def tuned(name: str, inner: Split, trials: int, seed: int) -> Model:
    """Return a model with the settings that a search finds on `inner`."""
    model = make_model(name, START.get(name, {}))
    if not model.space:
        return model
    return type(model)(search(model, inner.train, inner.test, trials=trials, seed=seed))


def measure_ours(
    name: str, outer: Split, inner: Split, trials: int, seed: int
) -> tuple[Row, Report]:
    """Tune, fit and test a model of Nearline."""
    started = time.perf_counter()
    model = tuned(name, inner, trials, seed)
    searched = time.perf_counter() - started
    started, cpu = time.perf_counter(), time.process_time()
    lists = model.fit(outer.train, seed=seed).recommend(
        np.arange(outer.train.n_users, dtype=np.int32), K
    )
    row = {
        "settings": msgspec.to_builtins(model.config),
        "search_seconds": searched,
        "fit_and_list_seconds": time.perf_counter() - started,
        "fit_and_list_cpu_seconds": time.process_time() - cpu,
    }
    return row, report(lists, outer)


def measure_peer(
    name: str, outer: Split, arrays: Path, trials: int, seed: int
) -> tuple[Row, Report]:
    """Tune and fit a model of a peer in its own environment, and test its lists."""
    answer = peers.run(
        "peer_topn.py",
        {"model": name, "data": str(arrays), "trials": trials, "seed": seed},
        python=peers.environment(PEERS[name], OPTUNA),
        OPENBLAS_NUM_THREADS="1",
        PYTHONWARNINGS="ignore",
    )
    items = np.array(answer.pop("lists"), dtype=np.int32)
    return answer, report(Ranking(items, np.zeros(items.shape, np.float32)), outer)


def report(lists: Ranking, outer: Split) -> Report:
    """Compare the lists of all users with the test part."""
    histories = outer.train.histories
    wanted = np.flatnonzero(np.diff(outer.test.indptr))
    counts = np.bincount(histories.items, minlength=outer.train.n_items)
    return evaluate(
        lambda _: Ranking(lists.items[wanted], lists.scores[wanted]),
        histories,
        outer.test,
        k=K,
        popularity=counts,
        rng=np.random.default_rng(0),
        block=len(histories),
    )


def pairs(histories: Histories) -> np.ndarray:
    """Return distinct pairs of user and item, int64 [2, n]."""
    users = np.repeat(np.arange(len(histories)), np.diff(histories.indptr))
    return np.unique(np.stack((users, histories.items)), axis=1)


def show(name: str, row: Row, found: Report) -> Row:
    """Print a line of the table and return the complete row."""
    low, high = found.intervals[f"ndcg@{K}"]
    means = {metric: found.means[f"{metric}@{K}"] for metric in ("ndcg", "precision", "recall")}
    print(
        f"{name:20} ndcg {means['ndcg']:.4f} [{low:.4f}, {high:.4f}] "
        f"precision {means['precision']:.4f} recall {means['recall']:.4f} "
        f"search {row['search_seconds']:6.1f} s, fit and lists "
        f"{row['fit_and_list_seconds']:.2f} s (CPU {row['fit_and_list_cpu_seconds']:.2f} s)",
        flush=True,
    )
    return {"model": name, **means, "ndcg_interval": [low, high], **row}


def main() -> None:
    """Measure the selected models and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--by", choices=sorted(SPLITS), default="item")
    parser.add_argument("--models", nargs="+", default=[*OURS, *PEERS])
    options = parser.parse_args()
    found = load_dataset("movielens-100k")
    data = make_dataset(found.interactions, found.items)
    outer_rng, inner_rng = np.random.default_rng(options.seed).spawn(2)
    outer = SPLITS[options.by](data, outer_rng)
    inner = SPLITS[options.by](outer.train, inner_rng)
    rows, reports = [], {}
    with tempfile.TemporaryDirectory() as folder:
        arrays = Path(folder) / "pairs.npz"
        np.savez(
            arrays,
            shape=np.array([data.n_users, data.n_items]),
            inner=pairs(inner.train.histories),
            validation=pairs(inner.test),
            train=pairs(outer.train.histories),
        )
        for name in options.models:
            if name in PEERS:
                row, reports[name] = measure_peer(name, outer, arrays, options.trials, options.seed)
            else:
                row, reports[name] = measure_ours(name, outer, inner, options.trials, options.seed)
            rows.append(show(name, row, reports[name]))
    best = max(reports, key=lambda name: reports[name].means[f"ndcg@{K}"])
    print(f"\n{best} minus each other model, NDCG@{K}:")
    for row in rows:
        if row["model"] != best:
            rng = np.random.default_rng(0)
            difference = compare(reports[best], reports[row["model"]], rng)[f"ndcg@{K}"]
            row["behind_best"] = list(difference)
            low, high = difference.low, difference.high
            print(f"{row['model']:20} {difference.mean:+.4f} [{low:+.4f}, {high:+.4f}]")
    settings = {"trials": options.trials, "seed": options.seed, "by": options.by, "best": best}
    write(f"topn_movielens_by_{options.by}", settings, rows)


if __name__ == "__main__":
    main()
