"""Accuracy on the Amazon 2014 data sets (leave-one-out), through the public Python API.

Protocols (all items ranked, seen items masked, the last item of each user is the test):

- strict: train on all but the last two items of each user, choose settings on the second last one;
  histories are all but the last;
- refit: train on all but the last item, with settings chosen on the last item of the training data.

Variants: `ids` (no catalogue), `text` (IDs and texts, the default), `language` (as `text`, with
`encoder="auto"`) and `best` (as `language`, with `preset="best"`, which trains a network).

    python -m benchmarks.accuracy_amazon [toys beauty sports] [--seeds 0 1 2] [--only strict-text]
        [--stores FOLDER]
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from benchmarks.machine import RESULTS, write

import nearline as nl
from nearline.data import load_dataset

K = 10


def score(lists: pa.Table, test: pa.Table) -> dict[str, float]:
    """Return Recall@10 and NDCG@10, with one held-out item per user."""
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


PROTOCOLS = ("strict", "refit")
SETTINGS: dict[str, dict[str, Any]] = {
    "ids": {},
    "text": {},
    "language": {"encoder": "auto"},
    "best": {"encoder": "auto", "preset": "best"},
}


def run(name: str, seed: int, wanted: list[str], stores: Path | None) -> list[dict[str, Any]]:
    """Fit and evaluate variants on one data set.

    Parameters
    ----------
    wanted : list of str
        Protocol and variant, such as ``"strict-text"``.
    stores : Path or None
        Folder in which to keep the stores; None keeps them in memory.
    """
    data = load_dataset(f"amazon-{name}")
    train, second_last, test = parts(data.interactions)
    history = pa.concat_tables([train, second_last])
    users = test["user_id"].to_pylist()
    items = pa.table(
        {"item_id": [i.item_id for i in data.items], "text": [i.text for i in data.items]}
    )
    rows = []
    for one in wanted:
        protocol, what = one.split("-")
        started, cpu = time.perf_counter(), time.process_time()
        store = stores / f"{name}-{one}-{seed}" if stores else None
        with nl.Recommender(store, **SETTINGS[what]) as rec:
            catalogue = None if what == "ids" else items
            if protocol == "strict":
                rec.fit(train, items=catalogue, validation=second_last, seed=seed)
            else:
                rec.fit(history, items=catalogue, seed=seed)
            fit = time.perf_counter() - started, time.process_time() - cpu
            lists = rec.recommend_many(users, k=K, histories=history)
            row = {"data": name, "protocol": protocol, "relations": what, "seed": seed}
            row |= score(lists, test)
            row |= {
                "validation_ndcg@10": rec.metrics["validation_ndcg@10"],
                "fit_seconds": fit[0],
                "fit_cpu_seconds": fit[1],
            }
        print(
            f"{name:8} {protocol:7} {what:8} seed {seed} recall {row['recall@10']:.4f} "
            f"ndcg {row['ndcg@10']:.4f} validation {row['validation_ndcg@10']:.4f} "
            f"fit {fit[0]:.0f} s (CPU {fit[1]:.0f} s)",
            flush=True,
        )
        rows.append(row)
    return rows


def main() -> None:
    """Run the selected variants; other rows of the result file are kept."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    every = [f"{protocol}-{what}" for protocol in PROTOCOLS for what in SETTINGS]
    parser.add_argument("names", nargs="*", default=["toys", "beauty", "sports"])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--only", nargs="*", choices=every, default=every)
    parser.add_argument(
        "--stores", type=Path, metavar="FOLDER", help="folder in which to keep the stores"
    )
    options = parser.parse_args()
    for name in options.names:
        for seed in options.seeds:
            for one in options.only:
                keep(run(name, seed, [one], options.stores))


def keep(rows: list[dict[str, Any]]) -> None:
    """Replace the rows of the same variant and seed in the result file."""
    path = RESULTS / "accuracy_amazon.json"
    old = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    new = {_key(row): row for row in [*old, *rows]}
    write("accuracy_amazon", {}, [new[key] for key in sorted(new)])


def _key(row: dict[str, Any]) -> tuple[str, str, str, int]:
    return row["data"], row["protocol"], row["relations"], row.get("seed", 0)


if __name__ == "__main__":
    main()
