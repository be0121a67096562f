"""Time to import and learn a large catalogue whose texts share words, and events meanwhile.

    python -m benchmarks.bulk_catalogue [--sizes 25000 50000 100000 200000] [--repeats 3]

The catalogue has titles and descriptions of words with frequencies after Zipf's law, and URLs that
share all words but one. It is imported into a store with 2,000 events and no trained model. Learned
means that the first list is answered, which waits until the model has learned all texts. Another
thread stores one event after the other, and measures how long each takes. Each run has a process of
its own; its CPU time depends less on other load than its duration.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import pyarrow as pa
from benchmarks import machine

import nearline as nl

SIZES = (25_000, 50_000, 100_000, 200_000)
WORDS, TITLE, DESCRIPTION = 3_000, 8, 15
EVENTS, PAUSE_SECONDS = 2_000, 0.01


def make_catalogue(n_items: int) -> pa.Table:
    """Return a table of items whose texts share words."""
    rng = random.Random(0)
    words = [f"w{number}" for number in range(WORDS)]
    chances = list(accumulate(1 / (rank + 1) for rank in range(WORDS)))

    def text(length: int) -> str:
        return " ".join(rng.choices(words, cum_weights=chances, k=length))

    return pa.table(
        {
            "item_id": [f"i{number}" for number in range(n_items)],
            "title": [text(TITLE) for _ in range(n_items)],
            "description": [text(DESCRIPTION) for _ in range(n_items)],
            "url": [f"https://shop.example/catalogue/item-{n}.html" for n in range(n_items)],
        }
    )


def measure(n_items: int) -> dict[str, float]:
    """Import one catalogue; return seconds, CPU seconds, and waits of events in milliseconds."""
    table = make_catalogue(n_items)
    waits: list[float] = []
    ended = threading.Event()
    with tempfile.TemporaryDirectory() as folder, nl.Recommender(f"{folder}/store") as rec:
        past = [
            nl.Event(user_id=f"u{n % 50}", item_id=f"i{n % 200}", timestamp=1.7e9 + n)
            for n in range(EVENTS)
        ]
        rec.append_events(past).result()
        rec.put_item("i0", text="compile the kernels")
        rec.recommend("u1")

        def send() -> None:
            while not ended.wait(PAUSE_SECONDS):
                start = time.perf_counter()
                rec.observe(f"x{len(waits) % 40}", f"i{len(waits) % 300}")
                waits.append(1e3 * (time.perf_counter() - start))

        sender = threading.Thread(target=send)
        sender.start()
        cpu, start = time.process_time(), time.perf_counter()
        rec.add(items=table)
        imported = time.perf_counter()
        rec.recommend("u1")
        learned = time.perf_counter()
        cpu = time.process_time() - cpu
        ended.set()
        sender.join()
    return {
        "import_seconds": imported - start,
        "learn_seconds": learned - imported,
        "seconds": learned - start,
        "cpu_seconds": cpu,
        "event_p50_ms": statistics.median(waits),
        "event_p99_ms": statistics.quantiles(waits, n=100)[-1],
        "event_max_ms": max(waits),
    }


def run_apart(n_items: int) -> dict[str, float]:
    """Call `measure` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.bulk_catalogue", "--one", str(n_items)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def run(sizes: Sequence[int], repeats: int) -> list[dict[str, Any]]:
    """Measure all sizes; add the ratio of each size's medians to those of the smallest size."""
    rows: list[dict[str, Any]] = []
    for n_items in sizes:
        runs = [run_apart(n_items) for _ in range(repeats)]
        row: dict[str, Any] = {name: machine.spread([r[name] for r in runs]) for name in runs[0]}
        first = rows[0] if rows else {"items": n_items, **row}
        growth = {
            name: row[name]["median"] / first[name]["median"] for name in ("seconds", "cpu_seconds")
        }
        rows.append({"items": n_items, "size": n_items / first["items"], "growth": growth, **row})
        print_row(rows[-1])
    return rows


def print_row(row: dict[str, Any]) -> None:
    """Print the medians of one size."""
    import_s, learn_s, total, cpu, p50, p99, most = (
        row[name]["median"]
        for name in (
            *("import_seconds", "learn_seconds", "seconds", "cpu_seconds"),
            *("event_p50_ms", "event_p99_ms", "event_max_ms"),
        )
    )
    print(
        f"{row['items']:>9,} items ({row['size']:g}x): import {import_s:.1f} s + learn "
        f"{learn_s:.1f} s = {total:.1f} s ({row['growth']['seconds']:.1f}x), CPU {cpu:.1f} s "
        f"({row['growth']['cpu_seconds']:.1f}x); events p50 {p50:.1f}, p99 {p99:.1f}, "
        f"max {most:.0f} ms",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), metavar="ITEMS")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each size")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure(asked.one)))
        return
    settings = {"sizes": asked.sizes, "repeats": asked.repeats}
    print(machine.write("bulk_catalogue", settings, run(asked.sizes, asked.repeats)))


if __name__ == "__main__":
    main()
