"""Accuracy for users with 1, 2 or 3 known events: single models compared with blends.

Users are divided at random into five groups. Each fold tests one group, which is not in the
training data, and trains on the other four. Every single model is tuned on the same users, by its
own search or early stopping, or by Optuna's TPE with `--trials` trials. The training data for
tuning contains the first 1, 2 or 3 events of each user of one group (a number drawn once), and the
later events of these users are the validation data. Weights and trees of a blend are found by
stacking: for each of the four groups, models that were trained on the other three rank items from
the first 1, 2 and 3 events. Then all models are fitted again on all four groups, with the settings
found.

All items of a user's later events are relevant. All items are ranked except the known ones; k = 10.
Users with fewer than 6 events are not tested. Differences are paired over the users of all folds.

Blends are `learned_ranking`, as in preset "best":

- `best`: the models of that preset (item graph, sasrec, popularity);
- `blend`: all single models.

    python -m benchmarks.cold_users [movielens-100k online-retail] [--folds 5] [--trials 15]
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from benchmarks.machine import RESULTS, write, write_page

from nearline.data import Dataset, Histories, clean, load_dataset, make_dataset
from nearline.evaluation import Report, evaluate
from nearline.evaluation.bootstrap import mean_intervals, paired_differences
from nearline.models.base import Model
from nearline.models.hybrids.blend import BlendPart
from nearline.models.hybrids.blend_pool import HeldOutUsers, StackingFold
from nearline.models.hybrids.learned_ranking import LearnedRanking, LearnedRankingConfig
from nearline.models.registry import make_model
from nearline.training.search import search

Row = dict[str, Any]

NAMES = {"movielens-100k": "MovieLens 100K", "online-retail": "Online Retail"}
SINGLES = (
    *("popularity", "content", "item_knn", "user_knn", "ease", "implicit_als"),
    *("item_graph", "sasrec"),
)
# Small, so that thirty fits take minutes; the test histories are short.
START: dict[str, Row] = {
    "sasrec": {
        "width": 64,
        "blocks": 1,
        "longest": 10,
        "training": {"epochs": 12, "patience": 2, "batch": 2048},
    }
}
BEST = ("item_graph", "sasrec", "popularity")
BLENDS = {"best": BEST, "blend": SINGLES}
GROUPS, KNOWN, FEWEST, K = 5, (1, 2, 3), 6, 10
METRICS = ("ndcg@10", "recall@10", "hit_rate@10")


def load(name: str) -> Dataset:
    """Read and clean a data set."""
    data = load_dataset(name)
    table, _ = clean(data.interactions, now=time.time())
    return make_dataset(table, data.items)


def first_and_later(histories: Histories, known: int) -> tuple[Histories, Histories]:
    """Split histories into their first `known` events and later events with other items."""
    sizes = np.diff(histories.indptr)
    place = np.arange(len(histories.items)) - np.repeat(histories.indptr[:-1], sizes)
    first = histories.take(place < known)
    row = np.repeat(np.arange(len(histories)), sizes)
    width = int(histories.items.max(initial=0)) + 1
    key = row * width + histories.items
    later = (place >= known) & ~np.isin(key, key[place < known])
    return first, histories.take(later)


def joined(pieces: list[Histories]) -> Histories:
    """Concatenate histories."""
    sizes = np.concatenate([np.diff(piece.indptr) for piece in pieces])
    columns = ("items", "weights", "times")
    return Histories(
        np.concatenate(([0], np.cumsum(sizes))).astype(np.int64),
        *(np.concatenate([getattr(piece, name) for piece in pieces]) for name in columns),
    )


def of_users(data: Dataset, histories: Histories) -> Dataset:
    """Return a data set with the same items and the given histories."""
    return replace(
        data,
        user_ids=[str(user) for user in range(len(histories))],
        histories=histories,
        values=np.full(len(histories.items), np.nan, dtype=np.float32),
    )


def to_tune_with(
    whole: Histories, cold: Histories, rng: np.random.Generator
) -> tuple[Histories, Histories]:
    """Return histories to train on, including short ones, and the later events of these users.

    Each user occurs once, because a longer copy of a history would reveal its held-out part.
    """
    drawn = rng.choice(KNOWN, len(cold))
    pairs = [first_and_later(cold.select(np.flatnonzero(drawn == known)), known) for known in KNOWN]
    nothing = whole.take(np.zeros(len(whole.items), dtype=np.bool_))
    seen = joined([whole, *(first for first, _ in pairs)])
    return seen, joined([nothing, *(later for _, later in pairs)])


def panel(parts: list[Model], cold: Histories, n_items: int) -> StackingFold:
    """Return a stacking fold: short histories of users outside the training data."""
    pairs = [first_and_later(cold, known) for known in KNOWN]
    asked, truth = joined([first for first, _ in pairs]), joined([later for _, later in pairs])
    return StackingFold(parts, HeldOutUsers(asked, truth, n_items))


def tuned(name: str, seen: Dataset, truth: Histories, trials: int, seed: int) -> Model:
    """Fit a model on `seen`, with settings chosen on `truth`."""
    model = make_model(name, START.get(name, {}))
    if model.space and name not in ("item_graph", "sasrec") and trials:
        model = type(model)(search(model, seen, truth, trials=trials, seed=seed))
    return model.fit(seen, validation=truth, seed=seed)


def settled(model: Model) -> Row:
    """Return the settings of a fitted model, such that a second fit does not search again."""
    found: Row = msgspec.to_builtins(model.config)
    if model.name == "item_graph":
        found["search"]["evaluations"] = 0
    return found


def blended(settings: dict[str, Row], panels: list[StackingFold], seed: int) -> LearnedRanking:
    """Return a blend whose weights and trees are found on stacking folds."""
    parts = tuple(BlendPart(model=name, settings=own) for name, own in settings.items())
    blend = LearnedRanking(LearnedRankingConfig(parts=parts))
    blend.weigh_on(panels, seed=seed)
    return blend


class Fold:
    """Five groups of users: group 0 is tested, and the others are for training."""

    def __init__(self, data: Dataset, fold: int, rng: np.random.Generator) -> None:
        self._data = data
        self._group = (rng.permutation(data.n_users) - fold) % GROUPS
        self.others = range(1, GROUPS)

    def histories(self, *groups: int) -> Histories:
        """Return the histories of the given groups."""
        return self._data.histories.select(np.flatnonzero(np.isin(self._group, groups)))

    def asked(self, group: int) -> Histories:
        """Return the histories of one group that are long enough for the test."""
        histories = self.histories(group)
        return histories.select(np.flatnonzero(np.diff(histories.indptr) >= FEWEST))

    def without(self, group: int) -> Dataset:
        """Return a data set of all training groups except one."""
        return of_users(self._data, self.histories(*(one for one in self.others if one != group)))


def stacked(fold: Fold, settings: dict[str, Row], seed: int) -> Iterator[Row]:
    """Yield, for each training group, models by name that were trained on the other groups."""
    for group in fold.others:
        data = fold.without(group)
        yield {name: make_model(name, own).fit(data, seed=seed) for name, own in settings.items()}


def run_fold(data: Dataset, number: int, trials: int, seed: int) -> tuple[Row, dict[str, Any]]:
    """Tune, fit and test all models on one fold; return reports by model and known events."""
    rng = np.random.default_rng(seed)
    fold = Fold(data, number, rng)
    seen, truth = to_tune_with(fold.histories(*fold.others[1:]), fold.asked(1), rng)
    settings: dict[str, Row] = {}
    row: Row = {"fold": number, "users": len(fold.asked(0)), "models": {}}
    for name in SINGLES:
        started = time.perf_counter()
        settings[name] = settled(tuned(name, of_users(data, seen), truth, trials, seed))
        seconds = time.perf_counter() - started
        row["models"][name] = {"seconds": seconds, "settings": settings[name]}
        print(f"  fold {number} {name:14} {seconds:6.1f} s", flush=True)
    fits = list(stacked(fold, settings, seed))
    whole = fold.without(0)
    blends = {}
    for name, parts in BLENDS.items():
        panels = [
            panel([models[part] for part in parts], fold.asked(group), data.n_items)
            for group, models in zip(fold.others, fits, strict=True)
        ]
        blend = blended({part: settings[part] for part in parts}, panels, seed)
        blends[name] = blend.refit(whole, seed=seed)
        row["models"][name] = weights(blend)
        print(f"  fold {number} {name}: {blend.config.trees} trees", flush=True)
    singles = dict(zip(SINGLES, blends["blend"].parts, strict=True))
    return row, tested({**singles, **blends}, fold.asked(0), whole, seed)


def weights(blend: LearnedRanking) -> Row:
    """Describe a blend: its number of trees, and the weights of its parts."""
    parts = blend.config.parts
    fields = ("model", "weights", "normaliser")
    return {
        "trees": blend.config.trees,
        "parts": [{name: getattr(part, name) for name in fields} for part in parts],
    }


def tested(
    models: dict[str, Any], cold: Histories, whole: Dataset, seed: int
) -> dict[str, dict[int, Report]]:
    """Return reports by model and number of known events."""
    counts = np.bincount(whole.histories.items, minlength=whole.n_items)
    reports: dict[str, dict[int, Report]] = {}
    for name, model in models.items():
        reports[name] = {}
        for known in KNOWN:
            first, later = first_and_later(cold, known)
            reports[name][known] = evaluate(
                model, first, later, k=K, popularity=counts, rng=np.random.default_rng(seed)
            )
    return reports


def table(folds: list[dict[str, Any]], seed: int) -> list[Row]:
    """Return means, intervals, and paired differences of the blends to every single model."""
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
            if name in BLENDS:
                row["above"] = {
                    other: paired_differences(mine, values[other], np.random.default_rng(seed))[
                        "ndcg@10"
                    ]._asdict()
                    for other in SINGLES
                }
            rows.append(row)
    return rows


def show(name: str, rows: list[Row]) -> None:
    """Print one line per model and number of known events."""
    for row in rows:
        low, high = row["intervals"]["ndcg@10"]
        line = f"{name} {row['known']} {row['model']:14} {row['means']['ndcg@10']:.4f} "
        line += f"[{low:.4f}, {high:.4f}] recall {row['means']['recall@10']:.4f}"
        if "above" in row:
            least = min(row["above"].items(), key=lambda one: one[1]["mean"])
            line += f"  smallest difference: {least[0]} {least[1]}"
        print(line, flush=True)


def lines(name: str, rows: list[Row]) -> Iterator[str]:
    """Yield one data set as Markdown, with a column for each number of known events."""
    yield f"| {NAMES[name]}: NDCG@10 | 1 event | 2 events | 3 events |"
    yield "|---|---|---|---|"
    models = {row["model"]: [one for one in rows if one["model"] == row["model"]] for row in rows}
    for model, own in models.items():
        cells = [interval(row["means"]["ndcg@10"], *row["intervals"]["ndcg@10"]) for row in own]
        yield f"| {model} | {' | '.join(cells)} |"
    for model in BLENDS:
        cells = []
        for row in models[model]:
            best, lead = min(row["above"].items(), key=lambda one: one[1]["mean"])
            cells.append(interval(lead["mean"], lead["low"], lead["high"], "+") + f" ({best})")
        yield f"| {model} minus the best single model | {' | '.join(cells)} |"
    yield ""


def interval(mean: float, low: float, high: float, sign: str = "") -> str:
    """Format a mean with its interval."""
    return f"{mean:{sign}.4f} [{low:{sign}.4f}, {high:{sign}.4f}]"


def main() -> None:
    """Measure the given data sets, and write the result and the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=list(NAMES))
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
        kept.sort(key=lambda one: list(NAMES).index(one["data"]))
        write("cold_users", {"seed": options.seed, "trials": options.trials}, kept)
        text = [line for one in kept for line in lines(one["data"], one["rows"])]
        write_page("cold-start.md", "cold-users", text[:-1])


if __name__ == "__main__":
    main()
