"""Sampled-negatives protocol of neural collaborative filtering on MovieLens-100K, and full ranking.

The last event of each user is the test part, and settings are chosen on the event before it. Then
each model is fitted again on all but the last event. Every rating counts as an event.

- sampled: the test item is ranked among 100 random items with which the user never interacted, the
  same for all models (X. He et al., "Neural collaborative filtering", WWW 2017, section 4.1); ties
  with the test item are broken at random, in expectation;
- full: the test item is ranked among all items outside the user's history.

W. Krichene and S. Rendle ("On sampled metrics for item recommendation", KDD 2020) show that sampled
metrics can order models incorrectly, so full ranking is the one to trust.

    python -m benchmarks.ncf_protocol [--trials 20] [--seeds 0 1 2]

ALS is tuned by Optuna with `--trials` trials; the networks choose their number of epochs, and the
item graph has a search of its own. Seeds apply to the fit and the search.
"""

import argparse
import time
from typing import Any

import msgspec
import numpy as np
from benchmarks.machine import spread, write
from numpy.typing import NDArray

from nearline.data import Dataset, Split, clean, leave_one_out, load_dataset, make_dataset
from nearline.evaluation import evaluate
from nearline.models.base import Model
from nearline.models.registry import make_model
from nearline.training.search import tuner

DATA, SAMPLED, K = "movielens-100k", 100, 10
ENTRIES: dict[str, tuple[str, dict[str, Any]]] = {
    "popularity": ("popularity", {}),
    "implicit_als": ("implicit_als", {}),
    "gmf": ("ncf", {"kind": "gmf"}),
    "mlp": ("ncf", {"kind": "mlp"}),
    "neumf": ("ncf", {"kind": "neumf"}),
    "item_graph": ("item_graph", {}),
}


def load() -> Dataset:
    """Read and clean the data set."""
    data = load_dataset(DATA)
    table, _ = clean(data.interactions, now=time.time())
    return make_dataset(table, data.items)


def drawn(data: Dataset, seed: int) -> NDArray[np.int64]:
    """Draw distinct items outside each user's history, int64 [n_users, SAMPLED]."""
    rng = np.random.default_rng(seed)
    every = np.arange(data.n_items)
    rows = [
        rng.choice(np.setdiff1d(every, data.histories.row(user)), SAMPLED, replace=False)
        for user in range(data.n_users)
    ]
    return np.array(rows, dtype=np.int64)


def among_sampled(model: Model, split: Split, others: NDArray[np.int64]) -> dict[str, float]:
    """Return hit rate and NDCG at 10 among the sampled items; ties count in expectation."""
    hits, gains, users = 0.0, 0.0, 0
    for first in range(0, len(split.test), 256):
        block = np.arange(first, min(first + 256, len(split.test)))
        asked, truth = split.train.histories.select(block), split.test.select(block)
        scores = model.score_many(asked)
        for row, user in enumerate(block):
            (target,) = truth.row(row)
            own, rest = scores[row, target], scores[row, others[user]]
            before = int((rest > own).sum())
            # All ranks among tied items are equally likely.
            places = before + np.arange(int((rest == own).sum()) + 1)
            inside = places < K
            hits += float(inside.mean())
            gains += float(np.where(inside, 1.0 / np.log2(places + 2.0), 0.0).mean())
            users += 1
    return {f"hit_rate@{K}": hits / users, f"ndcg@{K}": gains / users}


def among_all(model: Model, split: Split) -> dict[str, float]:
    """Return hit rate and NDCG at 10 under full ranking."""
    data = split.train
    counts = np.bincount(data.histories.items, minlength=data.n_items)
    rng = np.random.default_rng(0)
    means = evaluate(model, data.histories, split.test, k=K, popularity=counts, rng=rng).means
    return {name: means[name] for name in (f"hit_rate@{K}", f"ndcg@{K}")}


def run(
    name: str, split: Split, others: NDArray[np.int64], trials: int, seed: int
) -> dict[str, Any]:
    """Tune, fit and evaluate one model."""
    kind, settings = ENTRIES[name]
    model = make_model(kind, settings)
    started = time.perf_counter()
    tune = tuner(leave_one_out, trials=trials, seed=seed, own=True)
    model = tune(model, split.train).refit(split.train, seed=seed)
    row = {"model": name, "seed": seed, "seconds": time.perf_counter() - started}
    row |= {"settings": msgspec.to_builtins(model.config)}
    row |= {"sampled": among_sampled(model, split, others), "full": among_all(model, split)}
    print(
        f"{name:14} seed {seed} {row['seconds']:6.1f} s  {row['sampled']}  {row['full']}",
        flush=True,
    )
    return row


def main() -> None:
    """Measure all models and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    options = parser.parse_args()
    data = load()
    split = leave_one_out(data)
    others = drawn(data, 0)
    rows = [
        run(name, split, others, options.trials, seed) for name in ENTRIES for seed in options.seeds
    ]
    for name in ENTRIES:
        own = [row for row in rows if row["model"] == name]
        cells = [
            spread([row[how][metric] for row in own])
            for how in ("sampled", "full")
            for metric in (f"hit_rate@{K}", f"ndcg@{K}")
        ]
        print(
            f"{name:14}",
            "  ".join(f"{c['median']:.4f} ({c['min']:.4f}-{c['max']:.4f})" for c in cells),
        )
    write("ncf_protocol", vars(options), rows)


if __name__ == "__main__":
    main()
