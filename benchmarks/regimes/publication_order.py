"""Order of publication: accuracy on the Amazon 2014 sets by the direction of the last pair.

Reviews of one day stand in order of ASIN in these files, so that the item number of the last pair
of a user rises more often than in half of the cases. The table shows all users, those whose last
pair rises, and those whose last pair falls. Protocol: strict (see `benchmarks.accuracy_amazon`),
all items ranked, seed 0.
"""

import json
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from benchmarks.machine import RESULTS, write, write_page

from nearline.config import BEST, BEST_MODEL
from nearline.data import Dataset, leave_one_out, load_dataset, make_dataset
from nearline.evaluation import judge, ndcg, recall
from nearline.models.registry import make_model

K, SEED = 10, 0
NAME = "regimes_publication_order"
SETS = ("amazon-toys", "amazon-beauty", "amazon-sports")
# Model, and whether items have texts.
VARIANTS: dict[str, tuple[str, bool]] = {
    "popularity": ("popularity", False),
    "item kNN": ("item_knn", False),
    "item graph, ids": ("item_graph", False),
    "item graph, ids and text": ("item_graph", True),
    "transformer, ids": ("sasrec", False),
    "transformer, ids and text": ("sasrec", True),
    "best": (BEST_MODEL, True),
}


def measure(folder: Path, data: str, name: str) -> dict[str, Any]:
    """Fit one variant on one data set, and return its row of the table."""
    found = load_dataset(data, path=folder / data)
    model_name, with_text = VARIANTS[name]
    everything = make_dataset(found.interactions, found.items if with_text else [])
    last = leave_one_out(everything)
    strict = leave_one_out(last.train)
    started = time.process_time()
    model = make_model(model_name, BEST if model_name == BEST_MODEL else {})
    model.fit(strict.train, validation=strict.test if model.tunes_itself else None, seed=SEED)
    seconds = time.process_time() - started
    hits = judge(model.recommend_from(last.train.histories, K).items, last.test, K)
    rank = ranks(folder / data, everything)
    pairs = np.stack(
        [
            last.train.histories.items[last.train.histories.indptr[1:] - 1],
            last.test.items[last.test.indptr[1:] - 1],
        ]
    )[:, hits.users]
    rise = rank[pairs[1]] - rank[pairs[0]]
    row: dict[str, Any] = {"data": data, "variant": name, "fit_cpu_seconds": seconds}
    for part, chosen in (("all", rise == rise), ("rises", rise > 0), ("falls", rise < 0)):
        row[part] = {
            "users": int(chosen.sum()),
            "recall@10": float(recall(hits)[chosen].mean()),
            "ndcg@10": float(ndcg(hits)[chosen].mean()),
        }
    print(row, flush=True)
    return row


def ranks(folder: Path, data: Dataset) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the rank of each item in order of ASIN; NaN if it is unknown."""
    table = pq.read_table(folder / "publication_order.parquet")
    known = dict(zip(table["item_id"].to_pylist(), table["asin_rank"].to_pylist(), strict=True))
    return np.array([known.get(item, np.nan) for item in data.item_ids], dtype=np.float64)


def run(folder: Path, only: Collection[str] | None = None) -> None:
    """Measure the data sets and variants, or those in `only`; other rows are kept."""
    path = RESULTS / f"{NAME}.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    found = {(row["data"], row["variant"]): row for row in rows}
    sets = [one for one in SETS if not only or one in only] or SETS
    variants = [one for one in VARIANTS if not only or one in only] or VARIANTS
    for data in sets:
        for name in variants:
            found[data, name] = measure(folder, data, name)
            kept = [found[d, v] for d in SETS for v in VARIANTS if (d, v) in found]
            write(NAME, {"k": K, "seed": SEED, "protocol": "strict"}, kept)
            write_page("accuracy.md", "order", table(kept))


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the lines of a Markdown table: Recall@10 / NDCG@10."""
    lines = ["| data | model | all | last pair rises | last pair falls |", "|---|---|---|---|---|"]
    for row in rows:
        cells = (
            f"{row[p]['recall@10']:.4f} / {row[p]['ndcg@10']:.4f}"
            for p in ("all", "rises", "falls")
        )
        lines.append(f"| {row['data']} | {row['variant']} | {' | '.join(cells)} |")
    return lines
