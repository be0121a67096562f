"""Cost of API keys: the check of a key, and cached lists with keys and without.

    python -m benchmarks.keys --seconds 2 --pairs 5 --write

The check is timed alone. The cached lists of 500 users are requested from two servers in processes
of their own, one with keys, a rate and audit, and one without, by `wrk` over 32 connections in
alternating order, so that both see the same machine. Two servers differ by chance (by the layout of
their memory), so several pairs are started one after another. For each round, the ratio of the
rates, and that of the seconds of processor time that the servers took per request, which depends
less on what else runs. Limits: 5 µs for a check, and 0.95 of the rate without keys. Needs `wrk`.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import machine
from benchmarks.namespaces import ask, free_port

import nearline as nl
from nearline.trust.keyring import Keyring
from nearline.trust.keys import KeyStore

CHECK_LIMIT, READ_LIMIT = 5.0, 0.95
ROUNDS, USERS = 11, 500
STOP_SECONDS = 30
# Lists of the personal tier alone, which are cached.
PATH = "/v1/users/u{}/recommendations?k=2"
REQUESTS = """
local requests = {{}}
init = function()
  for n = 0, {last} do
    requests[n + 1] = wrk.format("GET", "/v1/users/u" .. n .. "/recommendations?k=2")
  end
end
request = function() return requests[math.random(#requests)] end
"""


def check_microseconds(folder: Path, key: bytes, calls: int = 20_000) -> float:
    """Return the median time of a check of a valid key, in microseconds."""
    ring = Keyring(KeyStore(folder), time.time)
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(calls // ROUNDS):
            ring.grant(key)
        times.append((time.perf_counter() - began) / (calls // ROUNDS))
    return 1e6 * statistics.median(times)


class Server:
    """A server process.

    Parameters
    ----------
    store : Path
    options : sequence of str
        Of the command line.
    """

    def __init__(self, store: Path, options: Sequence[str]) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "nearline.cli", "serve", "--store", str(store)]
        sink = subprocess.DEVNULL
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port), *options], stdout=sink, stderr=sink
        )

    def wait(self) -> None:
        """Wait until the server is ready."""
        while not self._ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with status {self.process.returncode}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End the process."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def measure(self, key: str, script: Path, seconds: int) -> "Measured":
        """Request lists for some seconds; a server without keys ignores the key."""
        wrk = shutil.which("wrk")
        if wrk is None:
            raise SystemExit("wrk is not installed; install it to run this benchmark")
        load = [wrk, "-t1", "-c32", f"-d{seconds}s", "-H", f"Authorization: Bearer {key}"]
        before = self._processor_seconds()
        output = subprocess.run(
            [*load, "-s", str(script), f"http://127.0.0.1:{self.port}/"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        used = self._processor_seconds() - before
        rate = re.search(r"Requests/sec:\s+([0-9.]+)", output)
        count = re.search(r"(\d+) requests in", output)
        if rate is None or count is None or "Non-2xx" in output or "Socket errors" in output:
            raise SystemExit(f"not all requests were answered: {output}")
        return Measured(float(rate[1]), 1e6 * used / int(count[1]))

    def misses(self, key: str) -> int:
        """Return the number of lists that were not cached when they were requested."""
        metrics = ask(self.port, "/metrics", {"X-API-Key": key})[1].decode()
        found = re.search(r"^nearline_cache_misses_total ([0-9.]+)", metrics, re.MULTILINE)
        if found is None:
            raise RuntimeError("the server has no metric of its cache")
        return int(float(found[1]))

    def _ready(self) -> bool:
        try:
            return ask(self.port, "/readyz")[0] == 200
        except OSError:
            return False

    def _processor_seconds(self) -> float:
        """Return the processor time that the process has used, in user and system mode."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8")
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


class Measured(NamedTuple):
    """Requests per second, and microseconds of processor time of the server per request."""

    per_second: float
    processor: float


def measured_pair(
    folder: Path, key: str, script: Path, *, seconds: int, rounds: int, first: int
) -> list[dict[str, Measured]]:
    """Start both servers and measure them in turns; return what each round found.

    `first` is the number of the server, 0 or 1, that is started and measured first.
    """
    options = {"plain": (), "keyed": ("--audit", "--key-rate", "1000000")}
    names = list(options)[:: -1 if first else 1]
    found = []
    with ExitStack() as stack:
        servers = {}
        for name in names:
            servers[name] = Server(folder / name, options[name])
            stack.callback(servers[name].stop)
        for server in servers.values():
            server.wait()
            for user in range(USERS):
                status, _ = ask(server.port, PATH.format(user), {"X-API-Key": key})
                if status != 200:
                    raise RuntimeError(f"the list of user {user} was answered by {status}")
        for turn in range(rounds + 1):  # the first is not counted
            order = names[:: -1 if turn % 2 else 1]
            measured = {name: servers[name].measure(key, script, seconds) for name in order}
            if turn:
                found.append(measured)
        for server in servers.values():
            if server.misses(key) != USERS:
                raise RuntimeError("not all lists were cached")
    return found


def figures(pairs: Sequence[Sequence[dict[str, Measured]]]) -> dict[str, Any]:
    """Return the medians of both servers, and the spread of their ratios."""
    rounds = [one for pair in pairs for one in pair]
    rates = [one["keyed"].per_second / one["plain"].per_second for one in rounds]
    processor = [
        [one["plain"].processor / one["keyed"].processor for one in pair] for pair in pairs
    ]
    in_all = [ratio for pair in processor for ratio in pair]
    medians = {
        name: Measured(*map(statistics.median, zip(*(one[name] for one in rounds), strict=True)))
        for name in ("plain", "keyed")
    }
    return {
        "without_keys_per_second": round(medians["plain"].per_second),
        "with_keys_per_second": round(medians["keyed"].per_second),
        "ratio": round(statistics.median(rates), 3),
        "ratio_quartiles": quartiles(rates),
        "without_keys_processor_microseconds": round(medians["plain"].processor, 2),
        "with_keys_processor_microseconds": round(medians["keyed"].processor, 2),
        "processor_ratio": round(statistics.median(in_all), 3),
        "processor_ratio_quartiles": quartiles(in_all),
        "processor_ratio_by_pair": [round(statistics.median(one), 3) for one in processor],
    }


def quartiles(values: Sequence[float]) -> list[float]:
    """Return the first and the third quartile."""
    low, _, high = statistics.quantiles(values, n=4)
    return [round(low, 3), round(high, 3)]


def fill(folder: Path) -> None:
    """Create a store with a few events."""
    with nl.Recommender(folder) as rec:
        for user in range(USERS):
            for item in range(5):
                rec.observe(f"u{user}", f"i{(user * 7 + item * 3) % 40}", timestamp=1.7e9)


def main() -> None:
    """Run the benchmark, print its result and write it to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=2, help="duration of a run")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="measured with each pair")
    parser.add_argument("--pairs", type=int, default=5, help="of servers, started in turn")
    parser.add_argument("--write", action="store_true", help="write the result to a file")
    options = parser.parse_args()
    machine.end_on_signals()
    pairs = []
    with tempfile.TemporaryDirectory() as name:
        folder, script = Path(name), Path(name) / "requests.lua"
        script.write_text(REQUESTS.format(last=USERS - 1))
        for part in ("plain", "keyed"):
            fill(folder / part)
        key = KeyStore(folder / "keyed").create(["read"], now=time.time()).key
        for number in range(options.pairs):
            pairs.append(
                measured_pair(
                    folder,
                    key,
                    script,
                    seconds=options.seconds,
                    rounds=options.rounds,
                    first=number % 2,
                )
            )
            print(figures(pairs[-1:]), flush=True)
        check = check_microseconds(folder / "keyed", key.encode())
    found = figures(pairs)
    result = {
        "check_microseconds": round(check, 2),
        **found,
        "passed": check <= CHECK_LIMIT and found["ratio"] >= READ_LIMIT,
    }
    print(json.dumps(result, indent=1))
    if options.write:
        settings = {name: getattr(options, name) for name in ("seconds", "rounds", "pairs")}
        machine.write("keys", settings | {"users": USERS}, [result])


if __name__ == "__main__":
    main()
