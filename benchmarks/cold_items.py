"""Accuracy on new items: a tenth of the catalogue is held out of training and added later.

    python -m benchmarks.cold_items [beauty toys retail]

The training data contains neither events nor texts of the cold items. Then they are added to the
model one by one, as `put_item` does, and each event on a cold item is a test case: the user's
earlier events with warm items are the history, and the cold item is relevant. It is ranked among
all items outside the history, and among cold items only. Settings are chosen on the second last
warm event of each user. For comparison, NDCG@10 is measured on the last warm event of each user,
with a model that was trained without it.
"""

import argparse
import json
from dataclasses import replace
from typing import Any

import numpy as np
from benchmarks.machine import RESULTS, write
from numpy.typing import NDArray

from nearline.config import Config
from nearline.data import LANGUAGE, Dataset, Histories, leave_one_out, load_dataset, make_dataset
from nearline.deployment.texts import open_texts, with_language
from nearline.evaluation import evaluate
from nearline.evaluation.bootstrap import mean_intervals
from nearline.models.item_graph.config import ItemGraphConfig, Projected
from nearline.models.item_graph.model import ItemGraph

SETS = {"beauty": "amazon-beauty", "toys": "amazon-toys", "retail": "online-retail"}
SHARE, QUESTIONS, K, SEED = 0.1, 20_000, 50, 0
NEVER = 1 << 40
# Variants: whether a language model is used, and whether the relation `projected` is used.
VARIANTS = {
    "TF-IDF": (False, False),
    "TF-IDF, projection": (False, True),
    "language": (True, False),
    "language, projection": (True, True),
}


def questions(data: Dataset, cold: NDArray[np.bool_]) -> tuple[Histories, NDArray[np.int32]]:
    """Draw test cases: histories of warm events, and the cold item that followed."""
    rows, targets = [], []
    for user in range(data.n_users):
        events = data.histories.items[data.histories.indptr[user] : data.histories.indptr[user + 1]]
        for at in np.flatnonzero(cold[events]):
            warm = events[:at][~cold[events[:at]]]
            if len(warm):
                rows.append(warm.tolist())
                targets.append(int(events[at]))
    drawn = np.random.default_rng(SEED).permutation(len(rows))[:QUESTIONS]
    return (
        Histories.from_rows([rows[at] for at in drawn]),
        np.array([targets[at] for at in drawn], dtype=np.int32),
    )


def found(model: ItemGraph, asked: Histories, targets: NDArray[np.int32], allowed: Any) -> Any:
    """Return whether each target is among the top K items, float64 [n]."""
    lists = model.recommend_from(asked, K, allowed=allowed).items
    return (lists == targets[:, None]).any(axis=1).astype(np.float64)


def choose(data: Dataset, *, projection: bool) -> ItemGraphConfig:
    """Choose settings on the second last event of each user."""
    settings = ItemGraphConfig()
    if not projection:
        settings = ItemGraphConfig(projected=Projected(fewest=NEVER))
    split = leave_one_out(leave_one_out(data).train)
    chosen: ItemGraphConfig
    chosen = ItemGraph(settings).fit(split.train, validation=split.test, seed=SEED).config
    return chosen


def put(model: ItemGraph, data: Dataset, cold: NDArray[np.bool_], *, language: bool) -> None:
    """Add the cold items to the model, one by one."""
    for item in np.flatnonzero(cold).tolist():
        vectors = {LANGUAGE: data.vectors[LANGUAGE][[item]]} if language else {}
        model.put_items([item], [(data.texts or [])[item]], vectors)


def of_warm(data: Dataset, settings: ItemGraphConfig) -> float:
    """Return NDCG@10 for the last event of each user."""
    split = leave_one_out(data)
    return evaluate(
        ItemGraph(settings).fit(split.train, seed=SEED),
        split.train.histories,
        split.test,
        k=10,
        popularity=np.bincount(split.train.histories.items, minlength=data.n_items),
        rng=np.random.default_rng(SEED),
    ).means["ndcg@10"]


def run(name: str) -> list[dict[str, Any]]:
    """Measure every variant on one data set."""
    public = load_dataset(SETS[name])
    data = make_dataset(public.interactions, public.items)
    data = with_language(data, open_texts(Config(encoder="auto"), None), lambda *_: None)
    cold = np.zeros(data.n_items, dtype=np.bool_)
    rng = np.random.default_rng(SEED)
    cold[rng.permutation(data.n_items)[: int(SHARE * data.n_items)]] = True
    warm = data.take(~cold[data.histories.items])
    blank = ["" if hidden else text for hidden, text in zip(cold, data.texts or [], strict=True)]
    hidden = {key: np.where(cold[:, None], 0, rows) for key, rows in data.vectors.items()}
    asked, targets = questions(data, cold)
    chance = {"all": K / data.n_items, "cold": K / int(cold.sum())}
    rows = []
    for variant, (language, projection) in VARIANTS.items():
        seen = replace(warm, texts=blank, vectors=hidden if language else {})
        settings = choose(seen, projection=projection)
        model = ItemGraph(settings).fit(seen, seed=SEED)
        put(model, data, cold, language=language)
        hits = {
            "all": found(model, asked, targets, None),
            "cold": found(model, asked, targets, cold),
        }
        row: dict[str, Any] = {"data": name, "variant": variant, "questions": len(targets)}
        for among, values in hits.items():
            row[f"recall@{K}_{among}"] = float(values.mean())
            interval = mean_intervals({"r": values}, np.random.default_rng(SEED))["r"]
            row[f"recall@{K}_{among}_interval"] = list(interval)
            row[f"chance_{among}"] = chance[among]
        row["warm_ndcg@10"] = of_warm(seen, settings)
        rows.append(row)
        print(
            f"{name:8} {variant:22} R@{K} among all {row[f'recall@{K}_all']:.4f} (chance "
            f"{chance['all']:.4f}), among cold {row[f'recall@{K}_cold']:.4f} (chance "
            f"{chance['cold']:.4f}), warm NDCG@10 {row['warm_ndcg@10']:.4f}",
            flush=True,
        )
    return rows


def main() -> None:
    """Measure the given data sets; rows of other data sets are kept in the result file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=list(SETS), help=", ".join(SETS))
    path = RESULTS / "cold_items.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    for name in parser.parse_args().names:
        rows = [row for row in rows if row["data"] != name] + run(name)
        write("cold_items", {"share": SHARE, "k": K, "seed": SEED}, rows)


if __name__ == "__main__":
    main()
