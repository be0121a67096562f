"""Run Nearline's item-based neighbourhood in a separate process; see `benchmarks.peers`."""

import json
import resource
import sys
import time
from typing import Any

import numpy as np
from benchmarks.own_als import dataset

from nearline.data.dataset import Dataset, Histories
from nearline.models.neighbours.item_knn import ItemKnn, ItemKnnConfig


def main(question: dict[str, Any]) -> dict[str, Any]:
    config = ItemKnnConfig(neighbours=question["k"], shrinkage=0.0, measure=question["measure"])
    # Compile first, on a few users.
    tiny = Histories.from_rows([[0, 1], [1]])
    ItemKnn(config).fit(Dataset(["", ""], ["", ""], tiny, np.full(3, np.nan, np.float32)))
    data = dataset(question["matrix"])
    wall, cpu = time.perf_counter(), time.process_time()
    model = ItemKnn(config).fit(data)
    answer = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    answer["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if "lists" in question:
        np.savez(question["lists"], **model.arrays())  # type: ignore[arg-type]
    return answer


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
