"""Run Nearline's implicit ALS in a separate process, as for peers; see `benchmarks.peers`."""

import json
import resource
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from nearline.common.progress import no_progress
from nearline.data.dataset import Dataset, Histories
from nearline.kernels.topn import Seen, by_norm, top_products
from nearline.models.factors.implicit_als import ImplicitAls
from nearline.models.factors.implicit_als_config import ImplicitAlsConfig


def dataset(path: str) -> Dataset:
    """Read the matrix as a data set; columns that ALS does not use take no memory."""
    with np.load(path) as arrays:
        n_users, n_items = arrays["shape"].tolist()
        items, indptr = arrays["indices"], arrays["indptr"].astype(np.int64)
    weights = np.ones(len(items), dtype=np.float32)
    times = np.broadcast_to(np.zeros(1), len(items))
    values = np.broadcast_to(np.full(1, np.nan, dtype=np.float32), len(items))
    return Dataset(
        user_ids=[""] * n_users,
        item_ids=[""] * n_items,
        histories=Histories(indptr, items, weights, times),
        values=values,
    )


def fit(
    question: dict[str, Any],
    iterations: int,
    data: Dataset,
    progress: Callable[[int, int, str], None] = no_progress,
) -> ImplicitAls:
    names = ("factors", "regularization", "alpha")
    config = ImplicitAlsConfig(iterations=iterations, **{name: question[name] for name in names})
    return ImplicitAls(config).fit(data, seed=question["seed"], progress=progress)


def timed_fit(question: dict[str, Any], iterations: int, data: Dataset) -> dict[str, Any]:
    ticks: list[float] = []
    wall, cpu = time.perf_counter(), time.process_time()
    model = fit(question, iterations, data, lambda *_: ticks.append(time.perf_counter()))
    answer = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    answer["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    answer["loss"] = model.loss()
    answer["sweep"] = min(later - earlier for earlier, later in pairwise(ticks))
    if "given" in question and model.user_factors is not None:
        np.savez(question["given"], users=model.user_factors, items=model.item_factors)
    return answer


def sweeps_needed(question: dict[str, Any], data: Dataset) -> int:
    """Return the smallest number of sweeps with a loss of at most `target`."""
    for iterations in range(1, 31):
        if fit(question, iterations, data).loss() <= question["target"]:
            return iterations
    raise RuntimeError(f"30 sweeps do not reach the loss {question['target']}")


def recommend(question: dict[str, Any], data: Dataset) -> dict[str, Any]:
    """Time the top-k search with given factors, and separately with the fold-in of all users."""
    with np.load(question["given"]) as given:
        users, items = given["users"], given["items"]
    seen = Seen(data.histories.indptr, data.histories.items)
    wall, cpu = time.perf_counter(), time.process_time()
    best = top_products(users, by_norm(items), question["k"], seen=seen)
    answer = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    answer["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    np.savez(question["lists"], items=best.items, scores=best.scores)
    model = fit(question, 1, data)
    wall = time.perf_counter()
    model.recommend_from(data.histories, question["k"])
    return answer | {"with_fold_in": time.perf_counter() - wall}


def main(question: dict[str, Any]) -> dict[str, Any]:
    # Compile first, on a few users.
    tiny = Histories.from_rows([[0, 1], [1]])
    warm = fit(question, 1, Dataset(["", ""], ["", ""], tiny, np.full(3, np.nan, np.float32)))
    warm.loss()
    warm.recommend_from(tiny, 1)
    data = dataset(question["matrix"])
    if question["task"] == "recommend":
        return recommend(question, data)
    if "target" in question:
        return {"iterations": sweeps_needed(question, data)}
    return timed_fit(question, question["iterations"], data)


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
