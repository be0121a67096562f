"""Accuracy on the Amazon 2014 sets, leave one out, by the public Python calls.

Protocols (all items ranked, seen items masked, the last item of each user is the test):

- strict: train on all but the last two, choose on the second last, histories are all but the last;
- refit: train on all but the last, settings chosen on the last of those.

    python -m benchmarks.accuracy_amazon [toys beauty sports] [--seed 0]
"""

import argparse
import time
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from benchmarks.machine import write

import nearline as nl
from nearline.data import load_dataset

K = 10


def score(lists: pa.Table, test: pa.Table) -> dict[str, float]:
    """Recall@10 and NDCG@10 of one held-out item a user."""
    wanted = dict(zip(test["user_id"].to_pylist(), test["item_id"].to_pylist(), strict=True))
    columns = (lists[name].to_pylist() for name in ("user_id", "item_id", "rank"))
    gains = [
        1 / np.log2(rank + 1)
        for user, item, rank in zip(*columns, strict=True)
        if wanted[user] == item
    ]
    return {"recall@10": len(gains) / len(wanted), "ndcg@10": float(sum(gains)) / len(wanted)}


def parts(interactions: pa.Table) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Split into all but the last two, the second last, and the last interaction of each user."""
    last = interactions.group_by("user_id").aggregate([("timestamp", "max")])
    sizes = dict(zip(last["user_id"].to_pylist(), last["timestamp_max"].to_pylist(), strict=True))
    ends = pa.array([sizes[user] for user in interactions["user_id"].to_pylist()])
    left = pc.subtract(ends, interactions["timestamp"].combine_chunks())
    return (
        interactions.filter(pc.greater(left, 1)),
        interactions.filter(pc.equal(left, 1)),
        interactions.filter(pc.equal(left, 0)),
    )


def run(name: str, seed: int, only: str | None) -> list[dict[str, Any]]:
    """Fit and score one data set by both protocols, with and without text."""
    data = load_dataset(f"amazon-{name}")
    train, second_last, test = parts(data.interactions)
    history = pa.concat_tables([train, second_last])
    users = test["user_id"].to_pylist()
    items = pa.table(
        {"item_id": [i.item_id for i in data.items], "text": [i.text for i in data.items]}
    )
    rows = []
    for protocol, what in (
        ("strict", "ids"),
        ("strict", "text"),
        ("refit", "ids"),
        ("refit", "text"),
    ):
        if only and only != f"{protocol}-{what}":
            continue
        started, cpu = time.perf_counter(), time.process_time()
        with nl.Recommender() as rec:
            catalogue = items if what == "text" else None
            if protocol == "strict":
                rec.fit(train, items=catalogue, validation=second_last, seed=seed)
            else:
                rec.fit(history, items=catalogue, seed=seed)
            fit = time.perf_counter() - started, time.process_time() - cpu
            lists = rec.recommend_many(users, k=K, histories=history)
            row = {"data": name, "protocol": protocol, "relations": what, **score(lists, test)}
            row |= {
                "validation_ndcg@10": rec.metrics["validation_ndcg@10"],
                "fit_seconds": fit[0],
                "fit_cpu_seconds": fit[1],
            }
        print(
            f"{name:8} {protocol:7} {what:5} recall {row['recall@10']:.4f} "
            f"ndcg {row['ndcg@10']:.4f} validation {row['validation_ndcg@10']:.4f} "
            f"fit {fit[0]:.0f} s (CPU {fit[1]:.0f} s)",
            flush=True,
        )
        rows.append(row)
    return rows


def main() -> None:
    """Run what the command line asks for and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=["toys", "beauty", "sports"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="one run, such as refit-text")
    options = parser.parse_args()
    rows = [row for name in options.names for row in run(name, options.seed, options.only)]
    write("accuracy_amazon", {"seed": options.seed}, rows)


if __name__ == "__main__":
    main()
