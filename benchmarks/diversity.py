"""Diversity of lists on MovieLens-100K: genres against accuracy, and the time of a selection.

    python -m benchmarks.diversity [--users N]

The newest fifth of each user's events is held out, and the model is trained on the others. For each
method and strength, the table has NDCG@10, and the genre diversity: one minus the Jaccard
similarity of the genres, averaged over all pairs of a list and over the lists. The targets are 15 %
more diversity at no more than 2 % less NDCG@10 for some strength, and 0.3 ms for the selection of
10 from 200 candidates.
"""

import argparse
import time
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
from benchmarks.machine import write

import nearline as nl
from nearline.data import load_dataset
from nearline.kernels.diversity import DPP, MMR, Sparse, no_features, select

K, SEED = 10, 0
DISCOUNTS = 1.0 / np.log2(np.arange(K) + 2.0)
SHAPES: list[dict[str, Any]] = [
    {},
    *({"diversity": d} for d in (0.1, 0.2, 0.3, 0.4, 0.5)),
    *({"diversity": d, "diversity_method": "dpp"} for d in (0.1, 0.2, 0.3, 0.4)),
    *({"calibration": c} for c in (0.1, 0.3, 0.5)),
]


def split(table: pa.Table) -> tuple[pa.Table, dict[str, set[str]]]:
    """Return the older four fifths of each user's events, and the items of the others by user."""
    table = table.sort_by([("user_id", "ascending"), ("timestamp", "ascending")])
    users = table["user_id"].to_numpy(zero_copy_only=False)
    _, first, counts = np.unique(users, return_index=True, return_counts=True)
    places = np.arange(len(users)) - np.repeat(first, counts)
    held = places >= 0.8 * np.repeat(counts, counts)
    targets: dict[str, set[str]] = {}
    newest = table.filter(pa.array(held))
    for user, item in zip(
        newest["user_id"].to_pylist(), newest["item_id"].to_pylist(), strict=True
    ):
        targets.setdefault(user, set()).add(item)
    return table.filter(pa.array(~held)), targets


def measured(
    rec: nl.Recommender,
    users: list[str],
    targets: dict[str, set[str]],
    genres: dict[str, set[str]],
    shape: dict[str, Any],
) -> tuple[float, float]:
    """Return NDCG@10 and the genre diversity of the lists of some users."""
    frame = pa.table(rec.recommend_many(users, k=K, **shape)).to_pydict()
    lists: dict[str, list[str]] = {user: [] for user in users}
    for user, item in zip(frame["user_id"], frame["item_id"], strict=True):
        lists[user].append(item)
    gains, diversities = [], []
    for user, items in lists.items():
        hits = np.array([item in targets[user] for item in items])
        best = DISCOUNTS[: len(targets[user])].sum()
        gains.append(float((DISCOUNTS[: len(items)] * hits).sum() / best))
        pairs = [(genres[a], genres[b]) for a, b in combinations(items, 2)]
        diversities.append(np.mean([1.0 - len(a & b) / (len(a | b) or 1) for a, b in pairs]))
    return float(np.mean(gains)), float(np.mean(diversities))


def milliseconds(method: int) -> float:
    """Return the median time of a selection of 10 from 200 candidates with 30 features each."""
    rng = np.random.default_rng(SEED)
    n, terms, per_item = 200, 20_000, 30
    columns = [np.sort(rng.choice(terms, per_item, replace=False)) for _ in range(n)]
    values = rng.random((n, per_item))
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    indptr = np.arange(n + 1, dtype=np.int64) * per_item
    features = Sparse(indptr, np.concatenate(columns).astype(np.int32), values.ravel(), terms)
    nothing, room = no_features(n), np.zeros(0, np.int32)
    relevance = np.sort(rng.random(n))[::-1].copy() + 0.1
    seconds = []
    for _ in range(200):
        start = time.perf_counter()
        select(
            K,
            method,
            relevance,
            0.5,
            features,
            0.0,
            nothing,
            np.zeros(0),
            nothing.indptr,
            nothing.columns,
            room,
        )
        seconds.append(time.perf_counter() - start)
    return 1e3 * float(np.median(seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--users", type=int, default=943, help="number of users to measure")
    chosen = parser.parse_args()
    data = load_dataset("movielens-100k")
    train, targets = split(pa.table(data.interactions))
    users = sorted(targets)[: chosen.users]
    genres = {item.item_id: set(item.categories) for item in data.items or []}
    with nl.Recommender() as rec:
        rec.fit(train, seed=SEED)
        rec.put_items(list(data.items or [])).result()
        rows: list[dict[str, Any]] = []
        for shape in SHAPES:
            ndcg, diversity = measured(rec, users, targets, genres, shape)
            rows.append({"options": shape, "ndcg@10": ndcg, "genre_diversity": diversity})
            base = rows[0]
            print(
                f"{shape!s:60} NDCG@10 {ndcg:.4f} ({ndcg / base['ndcg@10'] - 1:+.1%})  "
                f"genre diversity {diversity:.4f} ({diversity / base['genre_diversity'] - 1:+.1%})"
            )
    times = {"mmr_ms": milliseconds(MMR), "dpp_ms": milliseconds(DPP)}
    print(f"10 of 200: MMR {times['mmr_ms']:.3f} ms, DPP {times['dpp_ms']:.3f} ms")
    write("diversity", {"k": K, "seed": SEED, "users": len(users), **times}, rows)


if __name__ == "__main__":
    main()
