"""Rates of keys, and what a server answers at five times its capacity.

    python -m benchmarks.limits --seconds 10 --rounds 5 --write

*Rate*: `wrk` sends requests for a cached list with a key as fast as it can. The rate that is
admitted is the number of requests answered by 200 between two readings of `/metrics`, a few seconds
after the start, when the burst is used up, and later; it is divided by the time between them.
Limit: within 1 % of the configured rate.

*Goodput*: lists that are computed for each request (no cache). The peak is the largest rate at
which 200s are answered to 8, 16 or 32 connections that send the next request after each answer. The
overload comes from 2,000 connections, which wait between requests so long that they send five times
the peak. Goodput is the rate of 200s, relative to the peak of the same round: for a server without
a rate, which refuses by 503 what would wait for more than a second, and for one on which the key
may send 0.95 of the peak, which refuses the rest by 429. `offered` is the rate of all requests
relative to the peak. Limit: 0.9. Needs `wrk`.
"""

import argparse
import json
import re
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from benchmarks import machine
from benchmarks.keys import Server
from benchmarks.namespaces import ask

import nearline as nl
from nearline.trust.keys import KeyStore

USERS, ITEMS, EVENTS = 2_000, 2_000, 60_000
RATE, RATE_LIMIT = 500, 0.01
PEAK_CONNECTIONS, OVERLOADED, TIMES = (8, 16, 32), 2_000, 5
# A server lets one address hold a quarter of the files that it may open.
FILES = 16_384
SHARE_OF_PEAK, GOODPUT_LIMIT = 0.95, 0.9
# Seconds in which the burst of a bucket is used up, and those of a run that finds the peak.
BURST_SECONDS, PEAK_SECONDS = 3, 3
# Lists of 100 for random users; with a delay, each connection waits before each request.
SCRIPT = """
request = function()
  return wrk.format("GET", "/v1/users/u" .. math.random({users}) - 1 .. "/recommendations?k={k}")
end
{delay}
"""
DELAY = """
delay = function() return math.random(0, {most}) end
"""


class Load(NamedTuple):
    """What `wrk` counted: requests, and those answered by 200, per second."""

    offered: float
    good: float


def load(server: Server, key: str, script: Path, connections: int, seconds: int) -> Load:
    """Send requests for some seconds."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise SystemExit("wrk is not installed; install it to run this benchmark")
    command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
    output = subprocess.run(
        [*command, "-H", f"X-API-Key: {key}", "-s", script, f"http://127.0.0.1:{server.port}/"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    count = re.search(r"(\d+) requests in", output)
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", output)
    if count is None or rate is None:
        raise SystemExit(f"wrk printed something else: {output}")
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    share = 1 - (0 if refused is None else int(refused[1])) / max(1, int(count[1]))
    return Load(float(rate[1]), float(rate[1]) * share)


def script_for(folder: Path, users: int, k: int, milliseconds: float | None = None) -> Path:
    """Write a script for `wrk`, whose connections wait so long on average; return its path."""
    delay = "" if milliseconds is None else DELAY.format(most=round(2 * milliseconds))
    path = folder / "requests.lua"
    path.write_text(SCRIPT.format(users=users, k=k, delay=delay))
    return path


def answered(server: Server, key: str) -> int:
    """Return the number of lists that the server answered by 200."""
    metrics = ask(server.port, "/metrics", {"X-API-Key": key})[1].decode()
    lines = re.findall(r"^nearline_requests_total\{(.*)\} ([0-9.]+)$", metrics, re.MULTILINE)
    return round(
        sum(
            float(count)
            for labels, count in lines
            if 'status="200"' in labels and "recommendations" in labels
        )
    )


def admitted(folder: Path, keys: dict[str, str], seconds: int) -> float:
    """Return the rate that a key gets, relative to the configured one."""
    server = Server(folder / "cached", ("--key-rate", str(RATE)))
    with ExitStack() as stack:
        stack.callback(server.stop)
        server.wait()
        script = script_for(folder, users=1, k=2)
        whole = BURST_SECONDS + seconds + 2
        wrk = subprocess.Popen(
            [
                *(str(shutil.which("wrk")), "-t1", "-c8", f"-d{whole}s"),
                *("-H", f"X-API-Key: {keys['limited']}", "-s", str(script)),
                f"http://127.0.0.1:{server.port}/",
            ],
            stdout=subprocess.DEVNULL,
        )
        stack.callback(wrk.wait)
        time.sleep(BURST_SECONDS)
        readings = []
        for _ in range(2):
            began = time.perf_counter()
            count = answered(server, keys["other"])
            readings.append((count, (began + time.perf_counter()) / 2))
            time.sleep(seconds if len(readings) == 1 else 0)
    (first, start), (last, end) = readings
    return (last - first) / (end - start) / RATE


def goodput(folder: Path, key: str, seconds: int) -> dict[str, float]:
    """Return the peak (requests per second), and goodput and offered load relative to it."""
    found: dict[str, float] = {}
    peak = 0.0
    for name in ("503", "429"):
        # The second server is started when the peak is known.
        options = ("--key-rate", str(round(SHARE_OF_PEAK * peak))) if name == "429" else ()
        server = Server(folder / "computed", options)
        try:
            server.wait()
            if not peak:
                script = script_for(folder, USERS, 100)
                load(server, key, script, 8, 1)  # compiles what is compiled at first use
                peak = max(
                    load(server, key, script, connections, PEAK_SECONDS).good
                    for connections in PEAK_CONNECTIONS
                )
                found["peak"] = peak
            script = script_for(folder, USERS, 100, 1_000 * OVERLOADED / (TIMES * peak))
            load(server, key, script, OVERLOADED, BURST_SECONDS)
            measured = load(server, key, script, OVERLOADED, seconds)
        finally:
            server.stop()
        found[f"goodput, {name}"] = measured.good / peak
        found[f"offered, {name}"] = measured.offered / peak
    return found


def fill(folder: Path) -> None:
    """Create a store with random events."""
    generator = np.random.default_rng(0)
    users, items = generator.integers(0, USERS, EVENTS), generator.integers(0, ITEMS, EVENTS)
    table = pa.table(
        {
            "user_id": [f"u{user}" for user in users],
            "item_id": [f"i{item}" for item in items],
            "timestamp": 1.7e9 + 60.0 * np.arange(EVENTS),
        }
    )
    with nl.Recommender(folder) as rec:
        rec.add(table)


def main() -> None:
    """Run the benchmark, print its result and write it to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=10, help="duration of a measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="write the result to a file")
    given = parser.parse_args()
    machine.end_on_signals()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES if hard < 0 else min(FILES, hard), hard))
    rates, loads = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        keys: dict[str, dict[str, str]] = {}
        for store, toml in (("cached", ""), ("computed", "[limits]\ncache_entries = 0\n")):
            fill(folder / store)
            (folder / store / "nearline.toml").write_text(toml)
            made = KeyStore(folder / store)
            keys[store] = {
                which: made.create(["read"], now=time.time()).key for which in ("limited", "other")
            }
        for _ in range(given.rounds):
            rates.append(admitted(folder, keys["cached"], given.seconds))
            loads.append(goodput(folder, keys["computed"]["limited"], given.seconds))
            print(round(rates[-1], 4), loads[-1], flush=True)
    rows: list[dict[str, Any]] = [{"name": "rate, relative", **machine.spread(rates)}]
    rows += [{"name": name, **machine.spread([one[name] for one in loads])} for name in loads[0]]
    medians = {name: statistics.median(one[name] for one in loads) for name in loads[0]}
    passed = {
        "rate": max(abs(one - 1) for one in rates) <= RATE_LIMIT,
        "goodput": min(medians["goodput, 503"], medians["goodput, 429"]) >= GOODPUT_LIMIT,
    }
    print(json.dumps({"rows": rows, "passed": passed}, indent=1))
    if given.write:
        settings = {"seconds": given.seconds, "rounds": given.rounds, "rate": RATE, "times": TIMES}
        machine.write("limits", settings, rows, passed=passed)


if __name__ == "__main__":
    main()
