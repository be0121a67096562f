"""Online learning compared with nightly retraining and fold-in, on replayed data sets.

The protocol is described in docs/replay.md. Up to 50,000 events of each stream are evaluated, and
all are learned. Settings are chosen once, on the first half. Rows of other data sets are kept.

    python -m benchmarks.replay [movielens-100k online-retail amazon-toys] [--seed 0] [--pictures F]
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from benchmarks.machine import RESULTS, write

from nearline.config import Config
from nearline.data import clean, load_dataset
from nearline.replay import ReplayReport, choose_settings, make_stream, replay, spread, summarise
from nearline.replay.picture import draw

NAMES = ("movielens-100k", "online-retail", "amazon-toys")
SAMPLE, WARM_UP, SPREAD_DAYS = 50_000, 0.5, 100.0


def run(name: str, seed: int) -> tuple[dict[str, Any], ReplayReport]:
    """Replay one data set."""
    data = load_dataset(name)
    table, _ = clean(data.interactions, now=time.time())
    if name.startswith("amazon-"):
        table = spread(table, SPREAD_DAYS, np.random.default_rng(seed))
    stream = make_stream(table, data.items, Config().state.weight)
    start = round(WARM_UP * len(stream))
    began = time.perf_counter()
    settings = choose_settings(stream, start, seed=seed)
    chosen = time.perf_counter()
    outcome = replay(stream, start, settings, sample=SAMPLE, rng=np.random.default_rng(seed))
    done = time.perf_counter()
    report = summarise(outcome, np.random.default_rng(seed))
    row = {"data": name, "search_s": chosen - began, "replay_s": done - chosen}
    return row | report.as_dict() | {"model_settings": msgspec.to_builtins(settings)}, report


def main() -> None:
    """Replay the given data sets and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pictures", type=Path, help="folder for the pictures replay-NAME.svg")
    options = parser.parse_args()
    path = RESULTS / "replay.json"
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    settings = {"seed": options.seed, "sample": SAMPLE, "warm_up": WARM_UP}
    for name in options.names:
        row, report = run(name, options.seed)
        rows = [old for old in rows if old["data"] != name] + [row]
        for arm, mean in report.means["ndcg"].items():
            less = report.differences["ndcg"].get(arm)
            behind = f"  {less.mean:+.5f} [{less.low:+.5f}, {less.high:+.5f}]" if less else ""
            print(f"{name:15} {arm:22} ndcg {mean:.4f}{behind}", flush=True)
        if options.pictures is not None:
            picture = options.pictures / f"replay-{name}.svg"
            draw(report, picture, f"{name}: {row['n_evaluated']:,} events of the later half")
        write("replay", settings, rows)


if __name__ == "__main__":
    main()
