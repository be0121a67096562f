"""Memory, start and separation of a server with many namespaces.

    python -m benchmarks.namespaces --stores 100 --requests 10000

The stores are filled with items whose names contain that of the store. A server is started in a
process of its own, and lists of random stores are requested, one after another. Limits: a start of
10 s, 1.5 GB of memory, and no item of another store in any list.
"""

import argparse
import http.client
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from benchmarks import machine

import nearline as nl

ITEMS, USERS, EVENTS = 300, 200, 2_000
START_LIMIT, MEMORY_LIMIT = 10.0, 1.5e9


def fill(folder: Path, name: str, seed: int) -> None:
    """Create a store with events of random users and items."""
    generator = np.random.default_rng(seed)
    users, items = generator.integers(0, USERS, EVENTS), generator.integers(0, ITEMS, EVENTS)
    table = pa.table(
        {
            "user_id": [f"u{user}" for user in users],
            "item_id": [f"{name}-{item}" for item in items],
            "timestamp": 1.7e9 + 60.0 * np.arange(EVENTS),
        }
    )
    with nl.Recommender(folder / name) as rec:
        rec.add(table)


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def resident(pid: int) -> int:
    """Return the resident memory of a process in bytes, files that it maps included."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return 1_024 * int(status.split("VmRSS:")[1].split()[0])


def ask(port: int, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
    """Return status and body of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers=dict(headers or {}))
    answer = connection.getresponse()
    return answer.status, answer.read()


def start(folder: Path, port: int, most_open: int) -> tuple["subprocess.Popen[bytes]", float]:
    """Start a server; return its process and the seconds until it is ready."""
    command = [sys.executable, "-m", "nearline.cli", "serve", "--stores", str(folder)]
    began = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--port", str(port), "--most-open", str(most_open)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while True:
        try:
            if ask(port, "/readyz")[0] == 200:
                return process, time.perf_counter() - began
        except OSError:
            time.sleep(0.02)


def main() -> None:
    """Fill the stores, run the server, and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stores", type=int, default=100)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--most-open", type=int, default=100)
    given = parser.parse_args()
    generator = random.Random(0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        names = [f"shop{number}" for number in range(given.stores)]
        for seed, name in enumerate(names):
            fill(folder, name, seed)
        port = free_port()
        process, seconds = start(folder, port, given.most_open)
        try:
            wrong, times = 0, []
            for _ in range(given.requests):
                name, user = generator.choice(names), generator.randrange(USERS)
                began = time.perf_counter()
                status, body = ask(port, f"/v1/ns/{name}/users/u{user}/recommendations")
                times.append(time.perf_counter() - began)
                lines = json.loads(body)["items"] if status == 200 else []
                own = all(line["item_id"].startswith(f"{name}-") for line in lines)
                wrong += not (lines and own)
            memory = resident(process.pid)
        finally:
            process.terminate()
            process.wait(60)
    median, late = np.quantile(times, (0.5, 0.99))
    result = {
        "stores": given.stores,
        "requests": given.requests,
        "start_seconds": round(seconds, 2),
        "memory_mb": round(memory / 1e6),
        "wrong_answers": wrong,
        "median_ms": round(1e3 * float(median), 2),
        "p99_ms": round(1e3 * float(late), 2),
        "within_limits": seconds <= START_LIMIT and memory <= MEMORY_LIMIT and not wrong,
        "machine": machine.describe(),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
