"""Run implicit's ALS and report times, loss and memory; see `benchmarks.peers`."""

# mypy: ignore-errors

import json
import resource
import sys
import time

import implicit
import numpy as np
from implicit.cpu import _als
from scipy import sparse


def main(question):
    with np.load(question["matrix"]) as arrays:
        shape = tuple(arrays["shape"])
        indices, indptr = arrays["indices"], arrays["indptr"].astype(np.int32)
    # implicit expects confidences, Nearline expects weights: c = 1 + alpha * weight.
    confidence = np.full(len(indices), 1 + question["alpha"], dtype=np.float32)
    matrix = sparse.csr_matrix((confidence, indices, indptr), shape=shape)
    model = implicit.cpu.als.AlternatingLeastSquares(
        factors=question["factors"],
        regularization=question["regularization"],
        alpha=1.0,
        iterations=question["iterations"],
        num_threads=question["threads"],
        random_state=question["seed"],
        dtype=np.float32,
    )
    answer = {}
    wall, cpu = time.perf_counter(), time.process_time()
    if question["task"] == "fit":
        model.fit(matrix, show_progress=False)
    else:
        with np.load(question["given"]) as given:
            model.user_factors, model.item_factors = given["users"], given["items"]
        wall, cpu = time.perf_counter(), time.process_time()
        ids, scores = model.recommend(
            np.arange(shape[0]), matrix, N=question["k"], filter_already_liked_items=True
        )
    answer["wall"], answer["cpu"] = time.perf_counter() - wall, time.process_time() - cpu
    answer["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if question["task"] == "fit":
        answer["loss"] = float(
            _als.calculate_loss(
                matrix,
                model.user_factors,
                model.item_factors,
                question["regularization"],
                num_threads=question["threads"],
            )
        )
    else:
        np.savez(question["lists"], items=ids, scores=scores)
    return answer


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
