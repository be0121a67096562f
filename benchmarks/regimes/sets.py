"""Unordered sets: Gowalla as split for LightGCN, without times, through the public Python API.

All items are ranked, those of the training part are excluded, and Recall@20 and NDCG@20 are means
over all users of the test part.
"""

import json
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from benchmarks.machine import RESULTS, write, write_page

import nearline as nl
from nearline.config import Config

K = 20
NAME = "regimes_sets"
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "best": {"preset": "best"},
    **{
        model: {"config": Config(model=model)}
        for model in ("popularity", "item_knn", "rp3beta", "spectral_filter")
    },
}


def score(lists: pa.Table, test: pa.Table) -> dict[str, float]:
    """Return Recall@20 and NDCG@20, means over the users of `test`."""
    truth: dict[str, set[str]] = {}
    for user, item in zip(test["user_id"].to_pylist(), test["item_id"].to_pylist(), strict=True):
        truth.setdefault(user, set()).add(item)
    hits, gains = dict.fromkeys(truth, 0), dict.fromkeys(truth, 0.0)
    columns = (lists[name].to_pylist() for name in ("user_id", "item_id", "rank"))
    for user, item, rank in zip(*columns, strict=True):
        if item in truth[user]:
            hits[user] += 1
            gains[user] += 1 / np.log2(rank + 1)
    ideal = np.cumsum(1 / np.log2(np.arange(2, K + 2)))
    recall = [hits[user] / len(items) for user, items in truth.items()]
    ndcg = [gains[user] / ideal[min(len(items), K) - 1] for user, items in truth.items()]
    return {f"recall@{K}": float(np.mean(recall)), f"ndcg@{K}": float(np.mean(ndcg))}


def measure(name: str, train: pa.Table, test: pa.Table) -> dict[str, Any]:
    """Fit one variant, and return its row of the table."""
    users = list(dict.fromkeys(test["user_id"].to_pylist()))
    started, cpu = time.perf_counter(), time.process_time()
    with nl.Recommender(**VARIANTS[name]) as rec:
        rec.fit(train)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        lists = rec.recommend_many(users, k=K)
        print("\n".join(rec.training_summary))
        row: dict[str, Any] = {"data": "gowalla", "variant": name} | score(lists, test)
        row |= {"fit_seconds": seconds, "fit_cpu_seconds": cpu} | {"metrics": rec.metrics}
    print({field: value for field, value in row.items() if field != "metrics"}, flush=True)
    return row


def run(folder: Path, only: Collection[str] | None = None) -> None:
    """Measure the variants on Gowalla; other rows of the result file are kept."""
    train, test = (
        pq.read_table(folder / "gowalla" / f"{part}.parquet") for part in ("train", "test")
    )
    path = RESULTS / f"{NAME}.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    found = {row["variant"]: row for row in rows}
    for name in VARIANTS:
        if not only or name in only:
            found[name] = measure(name, train, test)
            kept = [found[one] for one in VARIANTS if one in found]
            write(NAME, {"k": K}, kept)
            write_page("regimes.md", "sets", table(kept))


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = [f"| model | Recall@{K} | NDCG@{K} | CPU seconds of the fit |", "|---|---|---|---|"]
    return lines + [
        f"| {row['variant']} | {row[f'recall@{K}']:.4f} | {row[f'ndcg@{K}']:.4f} "
        f"| {row['fit_cpu_seconds']:.0f} |"
        for row in rows
    ]
