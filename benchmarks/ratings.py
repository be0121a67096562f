"""Accuracy of predicted ratings on MovieLens 100K, compared with Surprise on the same five folds.

    python -m benchmarks.ratings [--only item_knn_ratings svd ...] [--without-peers] [--seed 0]

The ratings are divided at random into five folds; each fold is predicted by models fitted on the
other four. RMSE and MAE are means over the folds, seconds are per fold. Every rating model is
measured with its default settings, and with the settings in `NAMED`. Some defaults were chosen with
this data in view: see "Known biases" in docs/evaluation.md.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks import machine, peers
from numpy.typing import NDArray

from nearline.data import Dataset, load_dataset, make_dataset
from nearline.models.capabilities import PredictsRatings
from nearline.models.registry import discover, make_model

FOLDS = 5
SURPRISE = ("scikit-surprise==1.1.5", "numpy<3")
PEERS: dict[str, dict[str, Any]] = {"SVD": {}, "SVDpp": {}, "KNNBaseline": {}}

# Label of a row: model, and settings that differ from its defaults.
NAMED: dict[str, tuple[str, dict[str, Any]]] = {
    "user kNN, weighted average, cosine": (
        "user_knn_ratings",
        {"measure": "cosine", "prediction": "average", "shrinkage": 0.0},
    ),
    "user kNN, means, Pearson": (
        "user_knn_ratings",
        {"measure": "pearson", "prediction": "mean"},
    ),
    "item kNN, means, adjusted cosine": (
        "item_knn_ratings",
        {"measure": "adjusted_cosine", "prediction": "mean"},
    ),
}


def folds_of(n: int, seed: int) -> NDArray[np.int64]:
    """Return the fold of each of n ratings; folds are equal in size, up to one rating."""
    return np.random.default_rng(seed).permutation(np.arange(n) % FOLDS)


def errors_of(predicted: NDArray[Any], given: NDArray[Any]) -> tuple[float, float]:
    """Return RMSE and MAE."""
    distance = predicted.astype(np.float64) - given
    return float(np.sqrt((distance**2).mean())), float(np.abs(distance).mean())


def row_of(label: str, library: str, folds: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Return one row of the table: means over the folds, and the folds."""
    names = folds[0].keys()
    means = {name: float(np.mean([fold[name] for fold in folds])) for name in names}
    return {"name": label, "library": library, **means, "folds": list(folds)}


def measure(
    label: str, model: str, settings: dict[str, Any], data: Dataset, fold: NDArray[np.int64]
) -> dict[str, Any]:
    """Fit and evaluate one model on every fold."""
    users = data.user_of_each()
    results = []
    for number in range(FOLDS):
        test = fold == number
        train = data.take(~test)
        fitted = make_model(model, settings)
        assert isinstance(fitted, PredictsRatings)
        start, cpu = time.perf_counter(), time.process_time()
        fitted.fit(train, seed=number)
        fit_seconds, fit_cpu = time.perf_counter() - start, time.process_time() - cpu
        start = time.perf_counter()
        predicted = fitted.predict(users[test], data.histories.items[test])
        seconds = time.perf_counter() - start
        rmse, mae = errors_of(predicted, data.values[test])
        results.append(
            {
                "rmse": rmse,
                "mae": mae,
                "fit_seconds": fit_seconds,
                "fit_cpu_seconds": fit_cpu,
                "predict_seconds": seconds,
            }
        )
    return row_of(label, "nearline", results)


def measure_peers(data: Dataset, fold: NDArray[np.int64], names: Sequence[str]) -> list[Any]:
    """Fit and predict the same folds with Surprise, in its own environment."""
    python = peers.environment(*SURPRISE)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ratings.npz"
        users, items = data.user_of_each(), data.histories.items
        np.savez(path, users=users, items=items, ratings=data.values, fold=fold)
        for name in names:
            question = {"path": str(path), "algorithm": name, "settings": PEERS[name]}
            answer = peers.run("peer_surprise.py", question, python=python)
            rows.append(row_of(name, SURPRISE[0], answer["folds"]))
            print_row(rows[-1])
    return rows


def print_row(row: dict[str, Any]) -> None:
    """Print one row of the table."""
    print(
        f"{row['name']:36}{row['library']:24}{row['rmse']:8.4f}{row['mae']:8.4f}"
        f"{row['fit_seconds']:9.2f}{row['predict_seconds']:9.3f}",
        flush=True,
    )


def main() -> None:
    """Measure the selected models, and print and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", nargs="*", help="names of models")
    parser.add_argument("--without-peers", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    source = load_dataset("movielens-100k")
    data = make_dataset(source.interactions, source.items)
    fold = folds_of(data.n_interactions, options.seed)
    kinds = [name for name, kind in discover().items() if kind.needs_ratings]
    plan = {name: (name, dict[str, Any]()) for name in kinds} | NAMED
    print(f"{'':36}{'':24}{'RMSE':>8}{'MAE':>8}{'fit s':>9}{'pred. s':>9}")
    rows = []
    for label, (model, settings) in plan.items():
        if not options.only or model in options.only:
            rows.append(measure(label, model, settings, data, fold))
            print_row(rows[-1])
    if not options.without_peers:
        rows += measure_peers(data, fold, list(PEERS))
    if options.only or options.without_peers:
        return
    print(f"written to {machine.write('ratings', {'seed': options.seed, 'folds': FOLDS}, rows)}")


if __name__ == "__main__":
    main()
