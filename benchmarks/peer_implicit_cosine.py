"""Run implicit's CosineRecommender and report times and memory; see `benchmarks.peers`."""

# mypy: ignore-errors

import json
import resource
import sys
import time

import numpy as np
from implicit.nearest_neighbours import CosineRecommender
from scipy import sparse


def main(question):
    with np.load(question["matrix"]) as arrays:
        shape = tuple(arrays["shape"])
        indices, indptr = arrays["indices"], arrays["indptr"].astype(np.int32)
    ones = np.ones(len(indices), dtype=np.float32)
    matrix = sparse.csr_matrix((ones, indices, indptr), shape=shape)
    # In implicit, each item is its own first neighbour.
    model = CosineRecommender(K=question["k"] + 1, num_threads=question["threads"])
    wall, cpu = time.perf_counter(), time.process_time()
    model.fit(matrix, show_progress=False)
    answer = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    answer["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = model.similarity.tocsr()
    np.savez(question["lists"], indptr=found.indptr, items=found.indices, weights=found.data)
    return answer


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
