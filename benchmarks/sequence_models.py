"""Sequence models on the Amazon 2014 data sets: accuracy, training and response time, quantisation.

Protocols (all items ranked, seen items masked, the last item of each user is the test):

- strict: train on all but the last two items of each user, choose the number of epochs on the
  second last one; histories are all but the last;
- refit: train on all but the last item, for the same number of epochs.

The ONNX graph of the strict model is then quantised (dynamic, int8 weights) and evaluated again.

    python -m benchmarks.sequence_models [beauty sports toys] [--model sasrec] [--seed 0]
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from benchmarks.machine import write
from onnxruntime.quantization import QuantType, quant_pre_process, quantize_dynamic

from nearline.data import Dataset, Histories, leave_one_out, load_dataset, make_dataset
from nearline.evaluation import evaluate
from nearline.models.base import Model
from nearline.models.registry import model_class

K = 10
ASKED = 300


class EpochClock:
    """A progress callback that prints epochs and records their durations, including validation."""

    def __init__(self, name: str) -> None:
        self.name, self.seconds = name, list[float]()
        self._what, self._since = "", time.perf_counter()

    def __call__(self, _done: int, _total: int, what: str) -> None:
        """Handle a step; a new text means a new epoch."""
        if what != self._what:
            now = time.perf_counter()
            if self._what:
                self.seconds.append(now - self._since)
            self._what, self._since = what, now
            print(f"{self.name} {what}", flush=True)


def accuracy(model: Model, histories: Histories, test: Histories, n_items: int) -> dict[str, float]:
    """Return Recall@10 and NDCG@10, with one held-out item per user."""
    counts = np.bincount(histories.items, minlength=n_items)
    rng = np.random.default_rng(0)
    found = evaluate(model, histories, test, k=K, popularity=counts, rng=rng).means
    return {name: found[name] for name in ("recall@10", "ndcg@10")}


def milliseconds(model: Model, histories: Histories) -> float:
    """Return the median time of one list of ten items, in milliseconds."""
    times = []
    for user in range(ASKED):
        one = histories.select(np.array([user]))
        started = time.perf_counter()
        model.recommend_from(one, K)
        times.append(time.perf_counter() - started)
    return float(np.median(times)) * 1e3


def quantised(model: Model) -> tuple[Model, int, int]:
    """Return a copy of a model with 8-bit matrices, and the sizes of both graphs in bytes."""
    arrays = model.arrays()
    with tempfile.TemporaryDirectory() as folder:
        plain, small = Path(folder) / "plain.onnx", Path(folder) / "small.onnx"
        graph = onnx.load_model_from_string(arrays["graph"].tobytes())
        # Folds transposed weights into constants, because only constants are quantised.
        quant_pre_process(graph, plain, skip_symbolic_shape=True)
        quantize_dynamic(plain, small, weight_type=QuantType.QInt8)
        content = small.read_bytes()
    other = arrays | {"graph": np.frombuffer(content, dtype=np.uint8)}
    return type(model).restore(model.config, other), len(arrays["graph"]), len(content)


def run(name: str, kind: type[Model], seed: int) -> dict[str, Any]:
    """Fit under both protocols, evaluate, and quantise."""
    source = load_dataset(f"amazon-{name}")
    data: Dataset = make_dataset(source.interactions, source.items)
    last = leave_one_out(data)
    second = leave_one_out(last.train)
    histories, n = last.train.histories, data.n_items
    clock = EpochClock(name)
    started = time.perf_counter()
    strict = kind().fit(second.train, validation=second.test, seed=seed, progress=clock)
    row: dict[str, Any] = {"data": name, "model": kind.name, "seed": seed}
    row |= {"strict_fit_seconds": time.perf_counter() - started}
    row |= {"epoch_seconds": float(np.median(clock.seconds))}
    row |= {"epochs": strict.config.training.epochs}
    row["strict"] = accuracy(strict, histories, last.test, n)
    row["strict_ms"] = milliseconds(strict, histories)
    small, before, after = quantised(strict)
    row["int8"] = accuracy(small, histories, last.test, n)
    row |= {"int8_ms": milliseconds(small, histories), "bytes": before, "int8_bytes": after}
    print(name, row, flush=True)
    started = time.perf_counter()
    refit = kind(strict.config).fit(last.train, seed=seed, progress=clock)
    row |= {"refit_fit_seconds": time.perf_counter() - started}
    row["refit"] = accuracy(refit, histories, last.test, n)
    print(name, row, flush=True)
    return row


def main() -> None:
    """Measure the given data sets and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=["beauty", "sports", "toys"])
    parser.add_argument("--model", default="sasrec")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    kind = model_class(options.model)
    rows = [run(name, kind, options.seed) for name in options.names]
    write(f"sequence_{options.model}", {"seed": options.seed}, rows)


if __name__ == "__main__":
    main()
