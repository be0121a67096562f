"""Sessions: Diginetica and RSC15, next item of each prefix of each test session, repeats included.

Each test session contributes one list for each of its prefixes. Lists have all items, also those of
the session. P@20 is the share of lists with the next item, and MRR@20 the mean of 1 / rank.
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
NAME = "regimes_sessions"
SETS = ("diginetica", "rsc15-sample")
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "best": {"preset": "best"},
    **{
        model: {"config": Config(model=model)}
        for model in ("popularity", "item_knn", "item_graph", "session_knn")
    },
}


def read(folder: Path, name: str) -> tuple[pa.Table, pa.Table, dict[str, str]]:
    """Return training interactions, test prefixes and the next item of each prefix."""
    train, test = (pq.read_table(folder / name / f"{part}.parquet") for part in ("train", "test"))
    if name == "diginetica":
        target = pq.read_table(folder / name / "target.parquet")
        truth = zip(target["user_id"].to_pylist(), target["item_id"].to_pylist(), strict=True)
        columns = {"position": "timestamp"}
        return _renamed(train, columns), _renamed(test, columns), dict(truth)
    columns = {"SessionId": "user_id", "ItemId": "item_id", "Time": "timestamp"}
    train, test = _renamed(train, columns), _renamed(test, columns)
    known = set(train["item_id"].to_pylist())
    return train, *_prefixes(
        test.filter(pa.array([i in known for i in test["item_id"].to_pylist()]))
    )


def _renamed(table: pa.Table, columns: dict[str, str]) -> pa.Table:
    table = table.rename_columns([columns.get(name, name) for name in table.column_names])
    for name in ("user_id", "item_id"):
        at = table.column_names.index(name)
        table = table.set_column(at, name, table[name].cast(pa.string()))
    return table


def _prefixes(test: pa.Table) -> tuple[pa.Table, dict[str, str]]:
    """Return all prefixes of sessions as sessions of their own, and the item after each."""
    sessions: dict[str, list[tuple[float, str]]] = {}
    for user, item, moment in zip(
        *(test[name].to_pylist() for name in test.column_names), strict=True
    ):
        sessions.setdefault(user, []).append((moment, item))
    rows: dict[str, list[Any]] = {"user_id": [], "item_id": [], "timestamp": []}
    truth = {}
    for user, events in sessions.items():
        events.sort(key=lambda event: event[0])
        for size in range(1, len(events)):
            name = f"{user}-{size}"
            truth[name] = events[size][1]
            for moment, item in events[:size]:
                for column, value in zip(rows, (name, item, moment), strict=True):
                    rows[column].append(value)
    return pa.table(rows), truth


def score(lists: pa.Table, truth: dict[str, str]) -> dict[str, float]:
    """Return P@20 and MRR@20 in percent, with half the width of the 95 % interval of each."""
    place = {user: at for at, user in enumerate(truth)}
    gains = np.zeros(len(truth))
    for user, item, rank in zip(
        *(lists[name].to_pylist() for name in ("user_id", "item_id", "rank")), strict=True
    ):
        if truth[user] == item:
            gains[place[user]] = 100 / rank
    found = {}
    for name, values in ((f"p@{K}", 100.0 * (gains > 0)), (f"mrr@{K}", gains)):
        found[name] = float(values.mean())
        found[f"{name}_interval"] = float(1.96 * values.std() / np.sqrt(len(values)))
    return found


def measure(folder: Path, data: str, name: str) -> dict[str, Any]:
    """Fit one variant, and return its row of the table."""
    train, test, truth = read(folder, data)
    started, cpu = time.perf_counter(), time.process_time()
    with nl.Recommender(**VARIANTS[name]) as rec:
        rec.fit(train)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        print("\n".join(rec.training_summary), f"{seconds:.0f} s", flush=True)
        lists = rec.recommend_many(histories=test, k=K, repeats="include")
        row: dict[str, Any] = {"data": data, "variant": name} | score(lists, truth)
        row |= {"fit_seconds": seconds, "fit_cpu_seconds": cpu, "lists": len(truth)}
        row |= {"metrics": rec.metrics, "chosen": rec.training_summary[-1:]}
    print({field: value for field, value in row.items() if field != "metrics"}, flush=True)
    return row


def run(folder: Path, only: Collection[str] | None = None) -> None:
    """Measure the data sets and variants, or those in `only`; other rows of the file are kept."""
    path = RESULTS / f"{NAME}.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    found = {(row["data"], row["variant"]): row for row in rows}
    sets = [one for one in reversed(SETS) if not only or one in only] or SETS
    variants = [one for one in VARIANTS if not only or one in only] or VARIANTS
    for data in sets:
        for name in variants:
            found[data, name] = measure(folder, data, name)
            kept = [found[d, v] for d in SETS for v in VARIANTS if (d, v) in found]
            write(NAME, {"k": K}, kept)
            write_page("regimes.md", "sessions", table(kept))


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = [
        f"| data | model | P@{K} | MRR@{K} | CPU seconds of the fit |",
        "|---|---|---|---|---|",
    ]
    return lines + [
        f"| {row['data']} | {row['variant']} | {row[f'p@{K}']:.2f} ± {row[f'p@{K}_interval']:.2f} "
        f"| {row[f'mrr@{K}']:.2f} ± {row[f'mrr@{K}_interval']:.2f} | {row['fit_cpu_seconds']:.0f} |"
        for row in rows
    ]
