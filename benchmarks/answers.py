"""Response time of uncached lists with all features enabled, on stores of `accuracy_amazon`.

    python -m benchmarks.accuracy_amazon beauty --only strict-text strict-best --stores trained
    python -m benchmarks.answers trained/beauty-strict-text-0 trained/beauty-strict-best-0

Each store is copied and served by `nearline serve`. A client in another process sends an event of a
user and then requests the list of this user, one pair after the other over one connection, so that
no list from before the event can be returned. Server time is taken from the header Server-Timing:
from the head of the request to the head of the answer. The targets are p50 3 ms and p99 8 ms for
models with a network, and 1 ms and 3 ms for all others. If the server has computed the list in
advance between the event and the request, the header is missing: such answers are counted and left
out of the percentiles.
"""

import argparse
import json
import shutil
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from benchmarks.machine import spread, write

from nearline.bench.harness import Server
from nearline.data import load_dataset

PAIRS, WARM_UP = 2_000, 200


def ask(connection: HTTPConnection, method: str, path: str, body: Any = None) -> tuple[float, Any]:
    """Send one request; return the server time in milliseconds and the decoded answer."""
    content = None if body is None else json.dumps(body)
    connection.request(method, path, content, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    found = json.loads(answer.read())
    if answer.status != 200:
        raise RuntimeError(f"{method} {path} gave {answer.status}: {found}")
    timing = answer.getheader("Server-Timing", "")
    return float(timing.partition("dur=")[2].partition(",")[0] or "nan"), found


def measured(store: Path, repeats: int) -> dict[str, Any]:
    """Serve a copy of a store and measure its response times."""
    name = store.name.split("-")[0]
    events = load_dataset(f"amazon-{name}").interactions
    users, items = (events[column].unique().to_pylist() for column in ("user_id", "item_id"))
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / store.name
        shutil.copytree(store, copy)
        with Server.of(copy) as server:
            connection = HTTPConnection("127.0.0.1", server.port)
            for repeat in range(repeats):
                rng = np.random.default_rng(repeat)
                own, seen, tiers = [], [], set()
                for pair in range(WARM_UP + PAIRS):
                    user = users[rng.integers(len(users))]
                    event = {"user_id": user, "item_id": items[rng.integers(len(items))]}
                    ask(connection, "POST", "/v1/events", event)
                    began = time.perf_counter()
                    path = f"/v1/users/{quote(user, safe='')}/recommendations?k=10"
                    spent, answer = ask(connection, "GET", path)
                    if pair >= WARM_UP:
                        seen.append((time.perf_counter() - began) * 1e3)
                        own.append(spent)
                        tiers.add(answer["tier"])
                p50, p99 = np.nanpercentile(own, (50, 99))
                made = int(np.isnan(own).sum())
                rows.append(
                    {
                        "made_before": made,
                        "p50_ms": float(p50),
                        "p99_ms": float(p99),
                        "tiers": sorted(tiers),
                    }
                )
                rows[-1] |= {"client_p50_ms": float(np.median(seen)), "model": answer["model"]}
            connection.close()
    found: dict[str, Any] = {"store": store.name, "items": len(items), "tiers": rows[-1]["tiers"]}
    for name in ("p50_ms", "p99_ms", "client_p50_ms", "made_before"):
        found[name] = spread([row[name] for row in rows])
    return found


def main() -> None:
    """Measure the given stores and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("stores", nargs="+", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rows = []
    for store in options.stores:
        rows.append(measured(store, options.repeats))
        print(rows[-1], flush=True)
    write("answers", {"pairs": PAIRS, "repeats": options.repeats}, rows)


if __name__ == "__main__":
    main()
