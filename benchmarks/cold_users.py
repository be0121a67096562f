"""Users of whom the first 1, 2 or 3 events are known: single models against blends of them.

Users are drawn into five groups. A fold tests one group, of whom nothing was trained on; another
one chooses settings (their first 1, 2 and 3 events stand in the training data, what they did later
is what is to be found), the other three are trained on. Every single model is tuned on the same
users: by its own search or early stopping, or by Optuna's TPE with `--trials` trials. Then all are
fitted once more, with what was found, on all four groups.

What is to be found: every item that a user took after the known events. All items are ranked, known
ones left out; k = 10. Users with fewer than 6 events are not tested. Differences are paired, over
the users of all folds.

- `best`: the parts of preset "best" (item graph, sasrec, popularity);
- `blend`: all single models.

    python -m benchmarks.cold_users [movielens-100k online-retail] [--folds 5] [--trials 15]
"""

import argparse
import json
import time
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from benchmarks.machine import RESULTS, write
from numpy.typing import NDArray

from nearline.data import Dataset, Histories, clean, load_dataset, make_dataset
from nearline.evaluation import Report, evaluate
from nearline.evaluation.bootstrap import mean_intervals, paired_differences
from nearline.models.base import Model
from nearline.models.blend import Blend, BlendConfig, BlendPart
from nearline.models.registry import make_model
from nearline.search import search

Row = dict[str, Any]
Users = NDArray[np.int64]

NAMES = ("movielens-100k", "online-retail")
SINGLES = (
    *("popularity", "content", "item_knn", "user_knn", "ease", "implicit_als"),
    *("item_graph", "sasrec"),
)
# Small, so that ten fits on two cores take minutes; the histories that are asked about are short.
START: dict[str, Row] = {
    "sasrec": {
        "width": 64,
        "blocks": 1,
        "longest": 10,
        "training": {"epochs": 12, "patience": 2, "batch": 2048},
    }
}
BEST = ("item_graph", "sasrec", "popularity")
GROUPS, KNOWN, FEWEST, K = 5, (1, 2, 3), 6, 10
METRICS = ("ndcg@10", "recall@10", "hit_rate@10")


def load(name: str) -> Dataset:
    """Read and clean a data set."""
    data = load_dataset(name)
    table, _ = clean(data.interactions, now=time.time())
    return make_dataset(table, data.items)


def divide(data: Dataset, fold: int, rng: np.random.Generator) -> tuple[Users, Users, Users]:
    """Users to train on, to choose settings with, and to test."""
    group = rng.permutation(data.n_users) % GROUPS
    test, chosen = group == fold, group == (fold + 1) % GROUPS
    train, chosen, test = (np.flatnonzero(mask) for mask in (~test & ~chosen, chosen, test))
    return train, chosen, test


def first_and_later(histories: Histories, known: int) -> tuple[Histories, Histories]:
    """Divide rows into their first `known` events, and later ones with other items."""
    sizes = np.diff(histories.indptr)
    place = np.arange(len(histories.items)) - np.repeat(histories.indptr[:-1], sizes)
    first = histories.take(place < known)
    row = np.repeat(np.arange(len(histories)), sizes)
    width = int(histories.items.max(initial=0)) + 1
    key = row * width + histories.items
    later = (place >= known) & ~np.isin(key, key[place < known])
    return first, histories.take(later)


def joined(pieces: list[Histories]) -> Histories:
    """All rows, one piece after the other."""
    sizes = np.concatenate([np.diff(piece.indptr) for piece in pieces])
    columns = ("items", "weights", "times")
    return Histories(
        np.concatenate(([0], np.cumsum(sizes))).astype(np.int64),
        *(np.concatenate([getattr(piece, name) for piece in pieces]) for name in columns),
    )


def of_users(data: Dataset, histories: Histories) -> Dataset:
    """Make a data set of the same items with other users."""
    return replace(
        data,
        user_ids=[str(user) for user in range(len(histories))],
        histories=histories,
        values=np.full(len(histories.items), np.nan, dtype=np.float32),
    )


def long_enough(histories: Histories) -> Users:
    """Rows with events enough to be tested."""
    return np.flatnonzero(np.diff(histories.indptr) >= FEWEST)


def to_choose_with(data: Dataset, train: Users, chosen: Users) -> tuple[Dataset, Histories]:
    """Training data with short histories in it, and what those users did later."""
    whole = data.histories.select(train)
    cold = data.histories.select(chosen)
    cold = cold.select(long_enough(cold))
    pairs = [first_and_later(cold, known) for known in KNOWN]
    nothing = whole.take(np.zeros(len(whole.items), dtype=np.bool_))
    seen = joined([whole, *(first for first, _ in pairs)])
    return of_users(data, seen), joined([nothing, *(later for _, later in pairs)])


def tuned(name: str, seen: Dataset, truth: Histories, trials: int, seed: int) -> Model:
    """Fit a model on `seen`, with settings chosen by `truth`."""
    model = make_model(name, START.get(name, {}))
    if model.space and name not in ("item_graph", "sasrec") and trials:
        model = type(model)(search(model, seen, truth, trials=trials, seed=seed))
    return model.fit(seen, validation=truth, seed=seed)


def settled(model: Model) -> Row:
    """Return settings that a second fit takes as they stand."""
    found: Row = msgspec.to_builtins(model.config)
    if model.name == "item_graph":
        found["search"]["evaluations"] = 0
    return found


def blended(
    fitted: dict[str, Model],
    again: dict[str, Model],
    seen: Dataset,
    truth: Histories,
    seed: int,
) -> Blend:
    """Weigh models that were fitted on `seen`; hold the weights against those fitted on all."""
    parts = tuple(BlendPart(model=name, settings=settled(one)) for name, one in fitted.items())
    weighed = Blend(BlendConfig(parts=parts))
    weighed.parts = list(fitted.values())
    weighed.weigh(seen, truth, seed=seed)
    found = Blend(weighed.config)
    found.parts = [again[name] for name in fitted]
    return found


def run_fold(data: Dataset, fold: int, trials: int, seed: int) -> tuple[Row, dict[str, Any]]:
    """Tune, fit and test all models on one fold; reports by model and number of known events."""
    train, chosen, test = divide(data, fold, np.random.default_rng(seed))
    seen, truth = to_choose_with(data, train, chosen)
    whole = of_users(data, data.histories.select(np.concatenate((train, chosen))))
    cold = data.histories.select(test)
    cold = cold.select(long_enough(cold))
    fitted: dict[str, Model] = {}
    again: dict[str, Model] = {}
    row: Row = {"fold": fold, "users": len(cold), "models": {}}
    for name in SINGLES:
        started = time.perf_counter()
        fitted[name] = tuned(name, seen, truth, trials, seed)
        again[name] = make_model(name, settled(fitted[name])).fit(whole, seed=seed)
        seconds = time.perf_counter() - started
        row["models"][name] = {"seconds": seconds, "settings": settled(again[name])}
        print(f"  fold {fold} {name:14} {seconds:6.1f} s", flush=True)
    blends = {}
    for name, parts in (("best", BEST), ("blend", SINGLES)):
        some = {part: fitted[part] for part in parts}
        blends[name] = blended(some, again, seen, truth, seed)
        row["models"][name] = {
            "parts": [
                {"model": p.model, "weights": p.weights, "normaliser": p.normaliser}
                for p in blends[name].config.parts
            ]
        }
    counts = np.bincount(whole.histories.items, minlength=whole.n_items)
    reports: dict[str, dict[int, Report]] = {}
    for name, model in {**again, **blends}.items():
        reports[name] = {}
        for known in KNOWN:
            first, later = first_and_later(cold, known)
            reports[name][known] = evaluate(
                model, first, later, k=K, popularity=counts, rng=np.random.default_rng(seed)
            )
    return row, reports


def table(folds: list[dict[str, Any]], seed: int) -> list[Row]:
    """Means, intervals and paired differences of the blends to every single model."""
    rows = []
    for known in KNOWN:
        values = {
            name: {
                metric: np.concatenate([fold[name][known].per_user[metric] for fold in folds])
                for metric in METRICS
            }
            for name in folds[0]
        }
        for name, mine in values.items():
            row: Row = {"known": known, "model": name}
            row["means"] = {metric: float(value.mean()) for metric, value in mine.items()}
            bounds = mean_intervals(mine, np.random.default_rng(seed))
            row["intervals"] = {metric: list(bounds[metric]) for metric in METRICS}
            if name in ("best", "blend"):
                row["above"] = {
                    other: paired_differences(mine, values[other], np.random.default_rng(seed))[
                        "ndcg@10"
                    ]._asdict()
                    for other in SINGLES
                }
            rows.append(row)
    return rows


def show(name: str, rows: list[Row]) -> None:
    """Print one line a model and number of known events."""
    for row in rows:
        low, high = row["intervals"]["ndcg@10"]
        line = f"{name} {row['known']} {row['model']:14} {row['means']['ndcg@10']:.4f} "
        line += f"[{low:.4f}, {high:.4f}] recall {row['means']['recall@10']:.4f}"
        if "above" in row:
            least = min(row["above"].items(), key=lambda one: one[1]["mean"])
            line += f"  least lead: {least[0]} {least[1]}"
        print(line, flush=True)


def main() -> None:
    """Run what the command line asks for and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--folds", type=int, default=GROUPS)
    parser.add_argument("--trials", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    path = RESULTS / "cold_users.json"
    kept = json.loads(path.read_text())["rows"] if path.exists() else []
    for name in options.names:
        data = load(name)
        runs = [run_fold(data, f, options.trials, options.seed) for f in range(options.folds)]
        rows = table([reports for _, reports in runs], options.seed)
        show(name, rows)
        kept = [old for old in kept if old["data"] != name]
        kept.append({"data": name, "rows": rows, "folds": [row for row, _ in runs]})
        write("cold_users", {"seed": options.seed, "trials": options.trials}, kept)


if __name__ == "__main__":
    main()
