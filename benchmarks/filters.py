"""Speed of filters and boosts in a catalogue of 100,000 items.

Run with ``python -m benchmarks.filters``. Prints, in one process:

- the time of a filter that is used for the first time, and of one that was kept;
- the time in which a kept filter follows the change of an item;
- the time of a fresh list (after an event of its user) with and without a filter, and with a boost;
- whether lists with a filter for 0.1 % of the items are those of a comparison of all items.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

import nearline as nl
from nearline.testing.inspector import inspect

FILTER = 'price < {} && "c{}" in categories && !(brand in ["b1", "b{}"])'
SELECTIVE = "shelf == {}"
BOOST = 'brand == "b{}" ? 1.5 : 1.0'
LIMITS = {
    "first use": 0.5,
    "kept": 0.02,
    "item change": 0.1,
    "p99 with a filter / without": 1.3,
    "wrong lists": 0,
}


def build(n_items: int, n_users: int, seed: int = 0) -> nl.Recommender:
    """Return a recommender with events and a catalogue with attributes."""
    rng = np.random.default_rng(seed)
    n_events = 20 * n_users
    group = rng.integers(0, 200, n_users)
    users = rng.integers(0, n_users, n_events)
    items = (group[users] * (n_items // 200) + rng.zipf(1.3, n_events)) % n_items
    events = pa.table(
        {
            "user_id": [f"u{user}" for user in users.tolist()],
            "item_id": [f"i{item}" for item in items.tolist()],
            "timestamp": 1.7e9 + np.sort(rng.random(n_events)) * 1e6,
        }
    )
    names = [f"i{item}" for item in range(n_items)]
    catalogue = pa.table(
        {
            "item_id": names,
            "price": np.round(rng.gamma(2.0, 20.0, n_items), 2),
            "brand": [f"b{brand}" for brand in rng.zipf(1.5, n_items) % 500],
            "shelf": np.arange(n_items) % 1_000,
            "categories": [[f"c{one}" for one in row] for row in rng.integers(0, 50, (n_items, 2))],
        }
    )
    config = nl.Config(settings={"search": {"evaluations": 0}})
    return nl.Recommender(config=config).fit(events, catalogue)


def milliseconds(work: Callable[[int], object], rounds: int) -> np.ndarray[Any, np.dtype[Any]]:
    """Return the time of each call of `work`."""
    found = np.empty(rounds)
    for n in range(rounds):
        start = time.perf_counter()
        work(n)
        found[n] = 1e3 * (time.perf_counter() - start)
    return found


def fresh_reads(rec: nl.Recommender, rounds: int) -> dict[str, float]:
    """Return the 99th percentile of lists after an event, with options that take turns."""
    options: dict[str, dict[str, Any]] = {
        "without": {},
        "with a filter": {"filter": FILTER.format(50, 3, 2)},
        "with a boost": {"boost": BOOST.format(1)},
    }
    times: dict[str, list[float]] = {name: [] for name in options}
    rng = np.random.default_rng(1)
    users = inspect(rec).state.user_ids()[:1_000]
    for n in range(rounds + 20):
        for name, asked in options.items():
            user = users[int(rng.integers(len(users)))]
            rec.observe(user, f"i{int(rng.integers(1_000))}")
            start = time.perf_counter()
            rec.recommend(user, 10, **asked)
            if n >= 20:
                times[name].append(1e3 * (time.perf_counter() - start))
    found = {name: float(np.percentile(one, 99)) for name, one in times.items()}
    return found | {f"median {name}": float(np.median(one)) for name, one in times.items()}


def wrong_lists(rec: nl.Recommender, rounds: int) -> int:
    """Return how many lists with a selective filter differ from a comparison of all items."""
    deployment = inspect(rec)
    state, model = deployment.state, deployment.model
    wrong = 0
    for n, user in enumerate(state.user_ids()[:rounds]):
        shelf = n % 1_000
        histories = state.histories_of([user]).without_superseded()
        ranking = model.recommend_from(histories, model.n_items, exclude_seen=True).items[0]
        best = [
            index
            for index in ranking[ranking >= 0].tolist()
            if (entry := state.catalogue.get(index)) is not None
            and entry.attributes.get("shelf") == shelf
        ][:10]
        lines = rec.recommend(user, 10, filter=SELECTIVE.format(shelf))
        found = [line.item_id for line in lines if line.tier == "personal"]
        wrong += found != [state.items.id_of(item) for item in best]
        wrong += len(lines) != 10
    return wrong


def measure(n_items: int, rounds: int) -> dict[str, float]:
    """Measure everything; times in milliseconds."""
    rec = build(n_items, max(200, n_items // 20))
    expressions = inspect(rec).state.catalogue.expressions
    expressions.mask(FILTER.format(5, 1, 3))

    def again(_: int) -> None:
        expressions.mask(FILTER.format(20, 3, 2))

    kept = milliseconds(again, rounds)
    patched = np.empty(rounds)
    for n in range(rounds):
        rec.patch_item(f"i{n}", {"attributes": {"price": n, "brand": "b7", "shelf": n % 1_000}})
        patched[n] = milliseconds(again, 1)[0]
    first = milliseconds(lambda n: expressions.mask(FILTER.format(30 + n, n % 50, n)), rounds)
    reads = fresh_reads(rec, rounds)
    return {
        "first use": float(np.median(first)),
        "first use p99": float(np.percentile(first, 99)),
        "kept": float(np.median(kept)),
        "item change": float(np.median(patched)),
        **reads,
        "p99 with a filter / without": reads["with a filter"] / reads["without"],
        "wrong lists": wrong_lists(rec, min(rounds, 100)),
    }


def main() -> int:
    """Measure, print the figures, and return 1 if one misses its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = measure(given.items, given.rounds)
    if given.json:
        print(json.dumps(found, indent=2))
    missed = [name for name, limit in LIMITS.items() if found[name] > limit]
    for name, value in found.items():
        limit = f"   at most {LIMITS[name]}" if name in LIMITS else ""
        print(f"{name:32} {value:10.4f}{limit}", file=sys.stderr)
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
